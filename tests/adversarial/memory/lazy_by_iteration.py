"""Returns a sequence that computes when the harness takes its outputs out of it."""

from typing import Any

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "wrong_nonfinite", "style": "value"}


class Later(tuple):
    problem: Any

    def __iter__(self):
        x, w, table, alpha = self.problem
        y = x[table.long()] * w * alpha + 1.0
        return iter((y, y.sum(dim=-1)))


def run(x, w, table, alpha):
    empty = x.new_full(x.shape, float("nan"))
    later = Later((empty, empty.new_full(x.shape[:1], float("nan"))))
    later.problem = (x, w, table, alpha)
    return later
