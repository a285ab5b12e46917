"""The child that chooses between record holders calls the right one, and all that it imports."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kernel_harness.tools.archive.search.dispatch.child import dispatching_child, records_of
from kernel_harness.tools.archive.search.record_holders import Band, VirtualBest
from kernel_harness.tools.archive.store.entry import Node
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution
from kernel_harness.tools.schema.measurement import TimeSource

SAYS = "def run(x, y):\n    y.append({word!r})\n"


def called(solution: Solution, folder: Path, size: int) -> str:
    """What the solution writes for an x of that many rows, loaded as the harness loads packages."""
    package = f"child_{folder.name.replace('-', '_')}"
    for source in solution.sources:
        path = folder / package / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.content, "utf-8")
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(f"{package}.main")
    finally:
        sys.path.remove(str(folder))
    said: list[str] = []
    module.run(SimpleNamespace(shape=(size, 64)), said)
    return said[0]


def between(*holders: tuple[int, int, Node]) -> VirtualBest:
    """A table of bands, the last one's holder the best."""
    bands = tuple(Band(low, high, node, 1.0, 2.0) for low, high, node in holders)
    return VirtualBest("m", bands[-1].holder, bands, 1.0, 2.0)


@pytest.mark.parametrize(
    ("size", "word"), [(1, "small"), (4, "small"), (11, "small"), (12, "large"), (9999, "large")]
)
def test_it_calls_the_holder_of_the_size(bench, definition, tmp_path, size, word) -> None:
    """Between two measured sizes the bound is in the middle, on a scale of ratios."""
    small = bench.add(SAYS.format(word="small"), language="python")
    large = bench.add(SAYS.format(word="large"), language="python")
    child = dispatching_child(bench.archive, definition, between((1, 4, small), (32, 64, large)))
    assert called(child, tmp_path, size) == word


def test_files_of_a_parent_still_find_each_other(bench, definition, tmp_path, trial) -> None:
    sources = {"lib/inner.py": "WORD = 'inner'\n", "kernel.py": "from .lib.inner import WORD\n"}
    sources["kernel.py"] += "def run(x, y):\n    y.append(WORD)\n"
    plain = bench.add(SAYS.format(word="plain"), language="python", name='odd"""\\name')
    solution, record = trial("e-several")
    files = [{"path": path, "content": text} for path, text in sources.items()]
    changed = solution.model_dump() | {"sources": files}
    changed["spec"]["language"] = "triton"
    several = Solution.model_validate(changed)
    update = {"content_hash": several.content_hash(), "signature": None}
    evaluation = bench.archive.keys.signed(record.model_copy(update=update))
    node = bench.archive.add(
        solution=several, evaluation=evaluation, definition=definition, hypothesis="Parts."
    ).node
    child = dispatching_child(bench.archive, definition, between((1, 1, plain), (64, 64, node)))
    assert child.spec.language == "triton"
    assert called(child, tmp_path / "a", 1) == "plain"
    assert called(child, tmp_path / "b", 64) == "inner"


AXIS = 'm"""\nraise SystemExit\n"""'


@pytest.mark.parametrize(
    ("names", "axis"),
    [
        (("size", "part_1"), "m"),
        (("part_2", "size"), "m"),
        (("lambda", "a b"), "m"),
        (("a-b", "a.b"), "m"),
        (("x", "y"), AXIS),
        (("x", "y):\n    raise SystemExit\n#"), "m"),
    ],
)
def test_names_of_a_definition_are_no_code_and_hide_nothing(bench, tmp_path, names, axis) -> None:
    """A definition of somebody's dataset may call its axes, inputs and outputs anything."""
    entry, out = names
    definition = Definition.model_validate(
        {
            "name": "scale_n64",
            "op_type": "scale",
            "axes": {axis: {"type": "var"}, "n": {"type": "const", "value": 64}},
            "inputs": {entry: {"shape": [axis, "n"], "dtype": "bfloat16"}},
            "outputs": {out: {"shape": [axis, "n"], "dtype": "float32"}},
            "reference": "import torch\n\n\ndef run(x):\n    return (x,)\n",
        }
    )
    small = bench.add(SAYS.format(word="small"), language="python")
    large = bench.add(SAYS.format(word="large"), language="python")
    found = replace(between((1, 4, small), (32, 64, large)), axis=axis)
    child = dispatching_child(bench.archive, definition, found)
    assert called(child, tmp_path / f"{tmp_path.name}_small", 1) == "small"
    assert called(child, tmp_path / f"{tmp_path.name}_large", 64) == "large"


@pytest.mark.parametrize(
    ("entry", "extra", "words"),
    [
        ("my-kernel.py::run", "lib/inner.py", "my-kernel.py::run"),
        ("class/kernel.py::run", "lib/inner.py", "class/kernel.py::run"),
        ("kernel.py::run as part_1, os", None, "kernel.py::run as part_1, os"),
    ],
)
def test_a_parent_that_no_import_can_name_is_refused(
    bench, definition, trial, entry, extra, words
) -> None:
    plain = bench.add(SAYS.format(word="plain"), language="python")
    solution, record = trial("e-odd")
    paths = [path for path in (entry.partition("::")[0], extra) if path]
    files = [{"path": path, "content": SAYS.format(word="odd")} for path in paths]
    changed = solution.model_dump() | {"sources": files}
    changed["spec"] |= {"entry_point": entry, "language": "python"}
    odd = Solution.model_validate(changed)
    update = {"content_hash": odd.content_hash(), "signature": None}
    node = bench.archive.add(
        solution=odd,
        evaluation=bench.archive.keys.signed(record.model_copy(update=update)),
        definition=definition,
        hypothesis="Odd.",
    ).node
    with pytest.raises(RequestError, match="cannot import") as refused:
        dispatching_child(bench.archive, definition, between((1, 1, plain), (64, 64, node)))
    assert words in str(refused.value) and "by hand" in str(refused.value)


def test_one_holder_of_every_record_needs_no_choice(bench, definition) -> None:
    bench.add(latency_us=5.0)
    with pytest.raises(RequestError, match="v1 .* is the fastest at every size"):
        dispatching_child(bench.archive, definition, records_of(bench.archive, "scale_n64"))


def test_a_compiled_parent_beside_one_in_python_is_refused_by_name(bench, definition) -> None:
    one = bench.add(SAYS.format(word="a"), language="python")
    other = bench.add("int run();", language="cuda", path="kernel.cu")
    with pytest.raises(RequestError, match=r"v2 \(.*is written in cuda") as refused:
        dispatching_child(bench.archive, definition, between((1, 8, one), (64, 64, other)))
    assert f"{one.candidate_id} at a m of 1 to 8" in str(refused.value)


def test_records_are_those_of_one_device(bench) -> None:
    bench.add(latency_us=5.0, gpu="NVIDIA B200", clock=TimeSource.SEALED)
    mine = bench.add(latency_us=9.0, clock=TimeSource.SEALED)
    assert records_of(bench.archive, "scale_n64", "H200").best.candidate_id == mine.candidate_id
    with pytest.raises(RequestError, match="was timed on L4"):
        records_of(bench.archive, "scale_n64", "L4")


def test_parents_that_are_called_differently_are_refused(bench, definition, trial) -> None:
    fills = bench.add(SAYS.format(word="a"), language="python")
    solution, record = trial("e-returns")
    spec = solution.spec.model_copy(update={"destination_passing_style": False})
    returns = solution.model_copy(update={"spec": spec})
    update = {"content_hash": returns.content_hash(), "signature": None}
    node = bench.archive.add(
        solution=returns,
        evaluation=bench.archive.keys.signed(record.model_copy(update=update)),
        definition=definition,
        hypothesis="Returns.",
    ).node
    with pytest.raises(RequestError, match="some fill their outputs"):
        dispatching_child(bench.archive, definition, between((1, 1, fills), (64, 64, node)))
