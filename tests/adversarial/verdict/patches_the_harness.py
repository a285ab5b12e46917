"""Disables the harness's own checks in its process, then breaks what they would have found."""

import sys

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "inputs_unchanged", "style": "value"}


def run(x, w, table, alpha):
    call = sys.modules["kernel_harness.tools.candidate.calls.caller"]
    call.Caller._check = lambda *args: None
    call.Caller._alias_fault = lambda *args: None
    result = x[table.long()] * w * alpha + 1.0
    x.copy_(result)
    return x, result.sum(dim=-1)
