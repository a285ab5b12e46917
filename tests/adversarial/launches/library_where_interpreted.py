"""Has torch compute where it is interpreted, and launches a wrong kernel where it is compiled."""

from ._two_ways import torch_where_interpreted

EXPECT = {
    "long": True,
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "triton",
    "needs": "cpu",
    "parts": ["_affine.py", "_two_ways.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
}


def run(x, w, table, alpha, y, row):
    torch_where_interpreted(x, w, table, alpha, y, row)
