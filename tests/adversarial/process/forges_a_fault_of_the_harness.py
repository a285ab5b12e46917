"""Raises the harness's own kind of exception to have its failure blamed on the harness."""

import sys

EXPECT = {"status": "RUNTIME_ERROR", "kind": "exception"}


def run(x, w, table, alpha, y, row):
    faults = sys.modules["kernel_harness.tools.candidate.faults"]
    raise faults.CandidateError("arena", "the harness could not lay out its memory")
