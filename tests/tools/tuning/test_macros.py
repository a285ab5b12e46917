"""A constant of a CUDA source is found where it is defined once, and refused elsewhere."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.tuning.macros import literal, names, places, replaced

SOURCE = r"""// #define COMMENTED 1
/* #define COMMENTED 2 */
#define BLOCK 64  // threads
#define CALLED(x) x
#ifndef GUARDED
# define GUARDED (32u)
#endif
static constexpr int TILE = 16;
constexpr float SCALE{1.5f};
constexpr int FIRST = 1, SECOND = 2;
template <int WIDTH = 4> struct Holder {};
#if X
#define EITHER 1
#else
#define EITHER 2
#endif
#define SPLIT 1 \
 + 2
const char* text = "#define QUOTED 3"; const char* raw = R"(
#define RAW 4
)"; int digits = 1'000'000;
#define TYPE float
#define EMPTY
#define GONE 1
#undef GONE
"""


def changed(constant: str, value: object) -> str:
    found = places(SOURCE, constant)
    assert isinstance(found, list), found
    return replaced(SOURCE, [(place, literal(constant, value, place)) for place in found])


@pytest.mark.parametrize(
    ("constant", "value", "old", "new"),
    [
        ("BLOCK", 128, "BLOCK 64 ", "BLOCK 128 "),
        ("GUARDED", -2, "GUARDED (32u)", "GUARDED (-2)"),
        ("TILE", 8, "TILE = 16;", "TILE = 8;"),
        ("SCALE", 0.25, "SCALE{1.5f}", "SCALE{0.25f}"),
        ("BLOCK", True, "BLOCK 64 ", "BLOCK true "),
        ("TYPE", "cute::half_t", "TYPE float", "TYPE cute::half_t"),
    ],
)
def test_only_the_value_changes(constant, value, old, new):
    assert changed(constant, value) == SOURCE.replace(old, new)


@pytest.mark.parametrize(
    ("constant", "words"),
    [
        ("CALLED", "no plain number or name, in line 4"),
        ("FIRST", "no plain number"),
        ("WIDTH", "no #define or constexpr"),
        ("EITHER", "several times, or undefined again, in lines 13, 15"),
        ("SPLIT", "no plain number"),
        ("EMPTY", "no plain number"),
        ("GONE", "undefined again"),
    ],
)
def test_what_is_no_constant_is_said_why(constant, words):
    found = places(SOURCE, constant)
    assert isinstance(found, str) and words in found


@pytest.mark.parametrize("constant", ["COMMENTED", "QUOTED", "RAW", "nowhere", "a.b", "x y"])
def test_what_is_in_comments_and_texts_is_nowhere(constant):
    assert places(SOURCE, constant) == ""


@pytest.mark.parametrize(
    "value", ['1); system("true"', "1 + 1", "a\nb", None, [1], {"a": 1}, 1 << 64, "#", "f()"]
)
def test_what_is_no_value_of_a_macro_is_refused(value):
    with pytest.raises(RequestError):
        changed("BLOCK", value)


def test_the_names_of_plain_constants_are_listed():
    text = (
        "#define ROWS 4\n#define SQUARE(x) ((x) * (x))\n// #define GONE 1\n"
        "constexpr int WARPS = 8;\nstatic constexpr unsigned TILE{16};\n"
        "constexpr int SUM = 2 + ROWS;\n"
    )
    assert names(text, 9) == ["ROWS", "WARPS", "TILE"]
