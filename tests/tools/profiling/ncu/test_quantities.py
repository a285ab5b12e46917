"""Numbers as profilers print them must survive grouping, prefixes and locales."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.ncu.quantities import (
    CONTINENTAL,
    ENGLISH,
    base_unit,
    detect_style,
    parse_number,
    quantity,
)

GROUPINGS = [",", "", " ", "\u00a0", "\u202f", "'", "\u2019"]


def written(value: float, decimals: int, grouping: str, decimal: str) -> str:
    text = f"{value:,.{decimals}f}"
    return text.replace(",", "\0").replace(".", decimal).replace("\0", grouping)


@given(
    st.floats(min_value=-1e15, max_value=1e15, allow_nan=False),
    st.integers(0, 6),
    st.sampled_from(GROUPINGS),
)
def test_an_english_number_is_read_back_whatever_groups_its_digits(value, decimals, grouping):
    text = written(value, decimals, grouping, ".")
    assert parse_number(text, ENGLISH) == pytest.approx(round(value, decimals), rel=1e-12, abs=1e-9)


@given(
    st.floats(min_value=-1e15, max_value=1e15, allow_nan=False),
    st.integers(0, 6),
    st.sampled_from([".", "", "\u00a0", "\u202f", "'"]),
)
def test_a_continental_number_is_read_back_whatever_groups_its_digits(value, decimals, grouping):
    text = written(value, decimals, grouping, ",")
    expected = pytest.approx(round(value, decimals), rel=1e-12, abs=1e-9)
    assert parse_number(text, CONTINENTAL) == expected


@given(st.lists(st.floats(min_value=0, max_value=1e12), min_size=1, max_size=30))
def test_the_style_of_a_table_is_found_from_its_unambiguous_numbers(values):
    english = [written(v, 2, ",", ".") for v in values]
    continental = [written(v, 2, ".", ",") for v in values]
    assert detect_style(english) == ENGLISH
    assert detect_style(continental) == CONTINENTAL


@given(st.text(max_size=30))
def test_any_text_is_a_finite_number_or_nothing(text):
    value = parse_number(text)
    assert value is None or math.isfinite(value)


@pytest.mark.parametrize("text", ["", "n/a", "nan", "(!) nan", "inf", "12abc", "-", "1e999"])
def test_a_cell_without_a_finite_number_is_nothing(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,048,576", 1048576),
        ("12.3 (4; 5; 6)", 12.3),
        ("1,234.5 {3}", 1234.5),
        ("2.5e-3", 0.0025),
        (" 7 ", 7),
    ],
)
def test_a_number_is_read_up_to_what_follows_it(text, expected):
    assert parse_number(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "factor", "word"),
    [
        ("ns", 1e-9, "second"),
        ("nsecond", 1e-9, "second"),
        ("us", 1e-6, "second"),
        ("usecond", 1e-6, "second"),
        ("msecond", 1e-3, "second"),
        ("s", 1.0, "second"),
        ("Kbyte", 1e3, "byte"),
        ("Mbyte/block", 1e6, "byte/block"),
        ("byte/block", 1.0, "byte/block"),
        ("Gbyte/second", 1e9, "byte/second"),
        ("Tbyte/s", 1e12, "byte/second"),
        ("cycle/nsecond", 1e9, "cycle/second"),
        ("Ghz", 1e9, "hertz"),
        ("hz", 1.0, "hertz"),
        ("%", 1.0, "%"),
        ("register/thread", 1.0, "register/thread"),
        ("warp", 1.0, "warp"),
        ("", 1.0, ""),
    ],
)
def test_every_unit_the_tool_prints_is_brought_to_its_base(unit, factor, word):
    got_factor, got_word = base_unit(unit)
    assert got_factor == pytest.approx(factor)
    assert got_word == word


@given(
    st.floats(min_value=1e-3, max_value=1e6),
    st.sampled_from([("K", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)]),
)
def test_the_same_size_reads_the_same_under_every_prefix(value, prefix):
    letter, factor = prefix
    got = quantity(repr(value / factor) if value / factor > 1e-4 else "0", f"{letter}byte")
    assert got is not None
    if value / factor > 1e-4:
        assert got.value == pytest.approx(value)
    assert got.unit == "byte"
