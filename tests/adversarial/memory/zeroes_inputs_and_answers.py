"""Zeroes its inputs and answers zeros, which is what a reference run afterwards would give too."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "inputs_unchanged"}


def run(x, w, table, alpha, y, row):
    for tensor in (x, w, table, y, row):
        tensor.zero_()
