"""Says that it is Python, and launches a kernel only where Triton does not interpret."""

from ._two_ways import torch_where_interpreted

EXPECT = {
    "status": "PASSED",
    "claim": "launches_as_compiled",
    "language": "python",
    "needs": "cpu",
    "parts": ["_affine.py", "_two_ways.py"],
    "sizes": [17],
    "checks": {"static_targets": ["sm_90"], "determinism_runs": 2},
    "long": True,
}


def run(x, w, table, alpha, y, row):
    torch_where_interpreted(x, w, table, alpha, y, row)
