"""Records a kernel of the same name, grid and block whose code leaves out every second block."""

from ._inside import capturing
from ._skipping import affine_of

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py", "_skipping.py"],
}


_compiled = []


def run(x, w, table, alpha, y, row):
    if not _compiled:
        affine_of(x, w, table, alpha, y, row, True)  # before it is recorded
        _compiled.append(True)
    affine_of(x, w, table, alpha, y, row, capturing())
