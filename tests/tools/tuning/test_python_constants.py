"""A constant of a Python source is found where it is one, refused where it is computed."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.tuning.places import ValuePlace
from kernel_harness.tools.tuning.python_constants import literal, names, places, replaced
from tests.folding import for_each

SOURCE = '''"""Größe µ."""
import triton, triton.language as tl
from other import imported

BLOCK = 64; WARPS: tl.constexpr = tl.constexpr(4)  # µs
_tile = {"BM": 64, "µ": "a", "BN": [1, 2], "BK": BLOCK}
spread = {"BS": 64, **_tile}
mutable = {"BS": 64}
mutable["BS"] = 1
twice = 1
twice = 2
computed = BLOCK * 2
both = also = 1
first, second = 1, 2
if BLOCK:
    nested = 1
for looped in (1, 2):
    pass
shared = 3
starred, *others = 1, 2


def _tiling(rows):
    """Says."""
    if rows < 4:
        return 1, 8
    return 4, 16


def rebinds():
    global shared
    shared = 4
    BLOCK = 1  # its own
    return [computed for computed in (1, 2)]


@triton.jit
def _step(x, B: tl.constexpr):
    pass


def run(x):
    _step[(1,)](x, B=BLOCK, num_warps=4)
    _step[(2,)](x, B=32, num_warps=4, num_stages=2)
    imported[(2,)](x, num_stages=3, split=1, rows=BLOCK)
'''


def changed(constant: str, value: object, source: str = SOURCE) -> str:
    found = places(source, constant)
    assert isinstance(found, list), found
    return replaced(source, [(place, literal(constant, value, place)) for place in found])


@pytest.mark.parametrize(
    ("constant", "value", "old", "new"),
    [
        ("BLOCK", 128, "BLOCK = 64;", "BLOCK = 128;"),
        ("BLOCK", -1, "BLOCK = 64;", "BLOCK = -1;"),
        ("WARPS", 8, "tl.constexpr(4)", "tl.constexpr(8)"),
        ("_tile.BM", 32, '"BM": 64', '"BM": 32'),
        ("_tile.µ", "β", '"µ": "a"', "\"µ\": 'β'"),
        ("_tile.BN", [], "[1, 2]", "[]"),
        ("_step.num_warps", 2, "num_warps=4", "num_warps=2"),
        ("num_warps", 8, "num_warps=4", "num_warps=8"),
        ("split", True, "split=1", "split=True"),
        ("_step.num_stages", 4, "num_stages=2", "num_stages=4"),
        ("imported.num_stages", 4, "num_stages=3", "num_stages=4"),
        ("second", 8, "1, 2\nif", "1, 8\nif"),
    ],
)
def test_only_the_value_changes(constant, value, old, new):
    assert changed(constant, value) == SOURCE.replace(old, new)


def test_a_function_is_given_its_answer():
    names = dict[str, object]()
    text = changed("_tiling", [2, 32])
    exec(text[text.index("def _tiling") : text.index("def rebinds")], names)  # our own text
    assert names["_tiling"](1) == (2, 32)  # pyright: ignore[reportCallIssue]


@for_each(
    "constant, words",
    [
        ("twice", "bound several times, in lines 10, 11"),
        ("computed", "computed, in line 12"),
        ("both", "not assigned alone"),
        ("starred", "not assigned alone"),
        ("nested", "not at the top level"),
        ("looped", "not assigned alone"),
        ("shared", "global"),
        ("imported", "not assigned alone"),
        ("_step", "decorated"),
        ("_tile.BK", "computed, in line 6"),
        ("_tile.BX", "not a key"),
        ("spread.BS", "**"),
        ("mutable.BS", "line 9 changes the table"),
        ("num_stages", "name _step.num_stages or imported.num_stages"),
        ("_step.B", "as an expression"),
        ("imported.rows", "is passed to imported as BLOCK, in line 45"),
        ("_step.unknown", "no launch"),
    ],
)
def test_what_is_no_constant_is_said_why(constant, words):
    found = places(SOURCE, constant)
    assert isinstance(found, str) and words in found


LOCAL = """
import triton


@triton.jit
def _step(x, WARPS: tl.constexpr, block_v: tl.constexpr):
    depth: tl.constexpr = tl.constexpr(2)


def helper(rows):
    width = 4
    return rows // width


def run(x, given=3):
    block_h, block_v = 1, 32  # µs
    num_warps, width = 4, 8
    rebound = 1
    rebound += 1
    chained = alike = 1
    computed = x.numel()
    mixed = 2
    if x is None:
        given = 4
    for looped in (1, 2):
        inner = 5
    hidden = 6

    def nested():
        nonlocal hidden
        hidden = 7
        deep = block_v

    _step[(block_h,)](x, WARPS=num_warps, num_warps=num_warps, block_v=block_v, mixed=mixed)
    _step[(2,)](x, mixed=2)


class Tile:
    size = 1
"""


@pytest.mark.parametrize(
    ("constant", "value", "old", "new"),
    [
        ("block_h", 2, "= 1, 32", "= 2, 32"),
        ("block_v", 64, "1, 32", "1, 64"),
        ("run.block_v", 64, "1, 32", "1, 64"),
        ("num_warps", 8, "= 4, 8", "= 8, 8"),
        ("depth", 3, "constexpr(2)", "constexpr(3)"),
        ("helper.width", 1, "width = 4\n", "width = 1\n"),
        ("run.width", 1, "4, 8", "4, 1"),
        ("inner", 1, "inner = 5", "inner = 1"),
    ],
)
def test_a_variable_that_a_function_assigns_once_is_a_constant(constant, value, old, new):
    """No source was said to assign it: programs that ship name their tiles so."""
    assert changed(constant, value, LOCAL) == LOCAL.replace(old, new)


def test_of_a_long_source_the_first_names_are_listed():
    """Each of its names was looked for in all of it: a call was held up for minutes."""
    lines = [f"    made_{n}, taken_{n} = {n}, len(x)\n" for n in range(800)]
    assert names("def run(x):\n" + "".join(lines), 3) == ["made_0", "made_1", "made_2"]
    assert names(LOCAL, 9) == ["block_h", "block_v", "num_warps", "inner"]


@for_each(
    "constant, words",
    [
        ("width", "within several functions, in lines 11, 17; name helper.width or run.width"),
        ("rebound", "bound several times within run, in line 18, 19"),
        ("chained", "not assigned alone"),
        ("computed", "computed within a function, in line 21"),
        ("given", "bound several times within run"),
        ("looped", "not assigned alone"),
        ("hidden", "within several functions"),
        ("nested.hidden", "bound several times within nested"),
        ("deep", "computed within a function"),
        ("mixed", "as an expression"),
        ("WARPS", "as num_warps, in line 34"),
        ("run.absent", "no launch of run"),
        ("size", "in line 39, by neither the module nor a function"),
    ],
)
def test_what_a_function_does_not_assign_once_is_said_why(constant, words):
    found = places(LOCAL, constant)
    assert isinstance(found, str) and words in found, found


def test_what_nothing_is_called_is_nowhere():
    assert places(SOURCE, "nowhere") == ""


@pytest.mark.parametrize("source", ["def (", "x = " + "(" * 500 + ")" * 500, "x = 1\0"])
def test_what_is_no_python_is_said(source):
    found = places(source, "x")
    assert isinstance(found, str) and "no Python" in found


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_marks_move_nothing(end, mark):
    source = mark + end.join(['"""µ\f"""', "é = 'ä'; X = 1", "Y = 2"])
    assert changed("X", 7, source) == source.replace("X = 1", "X = 7")


def test_an_edit_that_says_more_than_a_value_is_refused():
    source = "X = 1\nY = 2\n"
    with pytest.raises(RequestError, match="without changing more"):
        replaced(source, [(ValuePlace(4, 5, "1"), "1\nZ = 3")])
    with pytest.raises(RequestError, match="without changing more"):
        replaced(source, [(ValuePlace(4, 5, "1"), "1; import os")])
    with pytest.raises(RequestError, match="without changing more"):
        replaced(source, [(ValuePlace(0, 5, "X = 1"), "W = 1")])


VALUES = st.recursive(
    st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.fuzz
@given(VALUES, VALUES)
def test_any_literal_is_read_back(one, two):
    text = changed("_tile.BM", two, changed("BLOCK", one))
    values = {
        target.id: node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name)
    }
    assert ast.literal_eval(values["BLOCK"]) == one
    table = values["_tile"]
    assert isinstance(table, ast.Dict) and ast.literal_eval(table.values[0]) == two
