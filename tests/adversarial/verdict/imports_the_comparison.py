"""Imports the judge's own modules to find or replace what decides."""

EXPECT = {"status": "RUNTIME_ERROR", "kind": "import_error"}


def run(x, w, table, alpha, y, row):
    from kernel_harness.tools.judge.numerics import correctness

    correctness.check_output = lambda *args, **kwargs: None
