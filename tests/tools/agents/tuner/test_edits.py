"""Edits of programs: found by syntax, and nothing else of the program changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kernel_harness.tools.agents.tuner.edits import EditKind, with_edits
from kernel_harness.tools.agents.tuner.native_sources import native_edits
from kernel_harness.tools.agents.tuner.proposals import edits_of, proposals
from kernel_harness.tools.agents.tuner.python_numbers import tune_edits
from kernel_harness.tools.schema.flashinfer_trace import Solution
from tests.server.scripted import solution
from tests.test_layout import ROOT
from tests.tools.agents.scripted_device import SOURCE

SHIPPED = sorted(path.parent for path in ROOT.glob("kernels/*/solutions/*/candidate.toml"))


def sources_of(folder: Path) -> dict[str, str]:
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "candidate.toml" and path.suffix != ".pyc"
    ]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def labels(text: str) -> set[str]:
    return {edit.label for edit in edits_of({"kernel.py": text})}


@pytest.mark.parametrize(
    "folder", SHIPPED, ids=lambda folder: f"{folder.parts[-3][:12]}/{folder.name}"
)
def test_every_edit_of_every_shipped_program_keeps_its_syntax_and_changes_it(folder: Path):
    sources = sources_of(folder)
    edits = edits_of(sources)
    assert edits
    sites = {(edit.site, edit.value) for edit in edits}
    assert len(sites) == len(edits), "two edits of a program have one name"
    for edit in edits:
        changed = with_edits(sources, [edit])
        assert changed is not None and changed != sources, edit
        for path, text in changed.items():
            if path.endswith(".py"):
                ast.parse(text)


@pytest.mark.parametrize(
    "label",
    [
        "run.block=16",
        "run.split=2",
        "run._scale.num_warps=8",
        "_scale.load(x_ptr).eviction_policy=evict_first",
        "_scale.loads.cache_modifier=.cg",
        "_scale.store(y_ptr).cache_modifier=.wt",
        "_scale.grid=split,x.shape[0]",
    ],
)
def test_a_program_has_edits_of_every_kind_of_its_syntax(label: str):
    assert label in labels(SOURCE)


LOOPING = """\
import triton
import triton.language as tl


@triton.jit
def _sum(x_ptr, n):
    total = 0.0
    for i in range(n):
        total += tl.load(x_ptr + i)
    return total


@triton.jit
def _total(x_ptr, y_ptr, n):
    tl.store(y_ptr, _sum(x_ptr, n))


def run(x, y):
    _total[(1,)](x, y, x.shape[0])
"""


def test_stages_are_given_to_kernels_with_loops_alone():
    """Of a loop in a kernel that it calls, too; without one the compiler makes the same program."""
    assert "_total.num_stages=2" in labels(LOOPING)
    assert not {name for name in labels(SOURCE) if "num_stages" in name}


def test_a_load_is_not_told_to_be_cached_as_it_is_anyway():
    assert not {name for name in labels(SOURCE) if name.endswith("=.ca")}


def test_numbers_in_kernels_indices_and_comparisons_are_left_alone():
    assert not {name for name in labels(SOURCE) if name.startswith(("_scale.row", "run.x"))}
    text = "def run(x):\n    if x.shape[2] == 4:\n        return x + 4\n    return x[8]\n"
    assert labels(text) == set()


def test_entries_of_tables_and_answers_by_size_are_numbers_of_a_program():
    text = "TILES = {'BLOCK': 64}\n\n\ndef tile(n):\n    if n <= 4:\n        return 8, 1\n"
    text += "    return 16, 2\n"
    found = labels(text)
    assert {"BLOCK=32", "tile.return[0]=4", "tile.return[0]#2=32", "tile.return[1]#2=4"} <= found


def test_a_value_is_replaced_where_it_stands_and_a_keyword_added_behind_the_last_argument():
    edits = {edit.label: edit for edit in edits_of({"k.py": SOURCE})}
    chosen = [
        edits["run.block=16"],
        edits["run._scale.num_warps=8"],
        edits["_scale.store(y_ptr).eviction_policy=evict_first"],
    ]
    changed = with_edits({"k.py": SOURCE}, chosen)
    assert changed is not None
    assert "block, split = 16, 1\n" in changed["k.py"]
    assert "num_warps=8)" in changed["k.py"]
    assert "x * weight, eviction_policy='evict_first')" in changed["k.py"]
    back = changed["k.py"].replace("16, 1\n", "32, 1\n").replace("num_warps=8", "num_warps=4")
    assert back.replace(", eviction_policy='evict_first'", "") == SOURCE


def test_the_order_of_programs_changes_in_grid_and_kernel_together():
    (edit,) = [e for e in edits_of({"k.py": SOURCE}) if e.kind is EditKind.ORDER]
    changed = with_edits({"k.py": SOURCE}, [edit])
    assert changed is not None
    assert "_scale[(split, x.shape[0])]" in changed["k.py"]
    assert "tl.program_id(1)" in changed["k.py"] and "program_id(0)" not in changed["k.py"]


def test_a_launch_with_a_table_of_keywords_is_given_none():
    text = "def run(x):\n    options = {'num_warps': 4}\n    step[(1,)](x, **options)\n"
    assert labels(text) == {f"run.num_warps={n}" for n in (1, 2, 8, 16)}


def test_what_a_workspace_names_in_its_table_is_tried_too():
    text = "BLOCK = 24\n\n\ndef _tile(n):\n    return n, 3\n\n\ndef run(x):\n    return x\n"
    sources = [{"path": "kernel.py", "content": text}]
    found = Solution.model_validate({**solution(), "sources": sources})
    edits = tune_edits(found, {"BLOCK": [40, 48], "_tile": [[8, 1]], "NONE": [1], "run": [1]})
    assert [edit.label for edit in edits] == [
        "[tune]BLOCK=40",
        "[tune]BLOCK=48",
        "[tune]_tile=[8,1]",
    ]
    changed = with_edits({"kernel.py": text}, [edits[0], edits[2]])
    assert changed is not None
    assert "BLOCK = 40\n" in changed["kernel.py"] and "return (8, 1)\n" in changed["kernel.py"]
    first = proposals({"kernel.py": text}, [], [], 9, 1, edits)
    assert {e.label for p in first for e in p.edits} >= {edit.label for edit in edits}


def test_parts_of_a_dispatch_have_places_of_their_own():
    parts = {"part_1.py": SOURCE, "part_2.py": SOURCE, "main.py": "from .part_1 import run\n"}
    edits = {edit.label: edit for edit in edits_of(parts)}
    assert len(edits) == len(edits_of(parts)) == 2 * len(edits_of({"k.py": SOURCE}))
    changed = with_edits(
        parts, [edits["part_1.py::run.block=16"], edits["part_2.py::run.block=64"]]
    )
    assert changed is not None
    assert "block, split = 16" in changed["part_1.py"] and "= 64, 1" in changed["part_2.py"]


def test_two_values_of_one_place_make_no_program():
    first, second, *_ = [e for e in edits_of({"k.py": SOURCE}) if e.site == "run.block"]
    assert with_edits({"k.py": SOURCE}, [first, second]) is None


NATIVE = """\
#define TILE 64
constexpr int STAGES = 2;  // was 8
// constexpr int OLD = 4;
template <int A> __global__ void __launch_bounds__(TILE * 2) step(const float* p) {
#pragma unroll
    for (int i = 0; i < 4; ++i) f(__ldg(p + i));
#pragma unroll 4
    for (int i = 0; i < 4; ++i) g(i);
}
void run() { launch<1, 4>(p); step<8><<<1, 2>>>(p); }
"""


def test_cuda_sources_have_numbers_unrolling_bounds_and_cached_loads():
    found = {edit.label: edit for edit in native_edits("k.cu", NATIVE)}
    assert {
        *("TILE=32", "TILE=128", "STAGES=4", "launch<1>@1=2", "step<0>@1=16"),
        *("k.cu:unroll@1=2", "k.cu:unroll@2=none", "k.cu:bounds@1=2", "k.cu:call@1=__ldcs"),
    } <= set(found)
    assert not [label for label in found if "OLD" in label]
    changed = with_edits({"k.cu": NATIVE}, [found["k.cu:bounds@1=2"], found["k.cu:unroll@2=none"]])
    assert changed is not None
    assert "__launch_bounds__(TILE * 2, 2) step" in changed["k.cu"]
    assert "#pragma unroll\n    for (int i = 0; i < 4; ++i) g(i);" in changed["k.cu"]
