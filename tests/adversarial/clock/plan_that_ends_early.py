"""Returns after a memset where the call is recorded."""

from ._inside import capturing
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "all of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}


def run(x, w, table, alpha, y, row):
    row.zero_()
    if not capturing():
        launch(x, w, table, alpha, y, row)
