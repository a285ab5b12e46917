"""How answers show numbers and tables."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.server.answers.text import number, table


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_short_and_never_nan(value: float) -> None:
    shown = number(value)
    assert len(shown) <= 12
    assert math.isfinite(value) != (shown == "–")


def test_a_table_aligns_its_columns() -> None:
    assert table(("a", "bb"), [("ccc", "d")]) == "a    bb\nccc  d"
