"""Whatever comes through a door gives what it should or an error of ours, and blocks nothing.

The doors are a workspace on disk, a Solution that a client sends, and a record's file. Time is the
processor's, so that a busy machine changes nothing.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.evaluation.precheck import precheck
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.evaluation.records.under_way import EvaluationsUnderWay
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution
from kernel_harness.tools.workloads.solution_folder import given_solution, read_solution
from tests.records import make_record

MOST_SECONDS = 1.0
DEFINITION = Definition.model_validate(
    {
        "name": "double",
        "op_type": "elementwise",
        "axes": {"n": {"type": "var"}},
        "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
        "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
        "reference": "def run(x):\n    return 2 * x\n",
    }
)
SOLUTION: dict[str, Any] = {
    "name": "mine",
    "definition": "double",
    "author": "agent",
    "spec": {
        "language": "python",
        "target_hardware": ["cuda"],
        "entry_point": "kernel.py::run",
        "dependencies": [],
        "destination_passing_style": True,
    },
    "sources": [{"path": "kernel.py", "content": "def run(x, y):\n    y.copy_(2 * x)\n"}],
}
IDENTITY = "ev-20261128-120000-0123abcd"
RECORD = json.loads(make_record(evaluation_id=IDENTITY, definition="double").model_dump_json())

any_text = st.text(st.characters(), max_size=40)
odd_text = st.sampled_from(
    [
        *(
            "",
            ".",
            "..",
            "/",
            "kernel.py",
            "./kernel.py",
            "a/../b.py",
            "kernel.py::run",
            "::",
            "\0",
        ),
        *("kernel/__init__.py", ".mcp.json", "CLAUDE.md", "reference.py", "\ud800", "²", "ß" * 300),
        *(
            "a/" * 3_000 + "b.py",
            "(" * 5_000,
            "-" * 5_000 + "1",
            "x" * 70_000,
            "\x1b[31m",
            "\ufeff",
        ),
        *(
            "def run(x, y):\n    y.copy_(x)\n",
            "def run(:\n",
            "[" * 500,
            "lambda: " * 900,
            "1" * 5_000,
        ),
        *("sm_100a", "cuda", "triton", "torch", "NaN", "1e999", "null", "float32"),
    ]
)
text = any_text | odd_text
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | text | st.just(10**400) | st.just(-1)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, whole: dict[str, Any]) -> Any:
    """A document with up to three of its places, at any depth, holding something else."""
    document = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys) | st.just("more")) if keys else "more"
            inner = place[key] if key in keys else None
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                place = inner
                continue
            if isinstance(place, list):
                place.append(draw(values))
            elif draw(st.booleans()) or key not in keys:
                place[key] = draw(values)
            else:
                del place[key]
            break
    return document


def through_solution(value: Any) -> None:
    """A Solution that a client sent, as far as it comes without a process."""
    solution = given_solution(value)
    solution.content_hash()
    precheck(solution, DEFINITION)


def through_workspace(case: tuple[bytes, list[tuple[str, str, bytes]]]) -> None:
    """A folder with a candidate.toml and entries of every kind."""
    manifest, entries = case
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "workspace")
        folder.mkdir()
        for kind, path, content in entries:
            with contextlib.suppress(OSError, ValueError):
                _make(kind, folder / path.lstrip("/"), content, folder)
        if not os.path.lexists(folder / "candidate.toml"):
            (folder / "candidate.toml").write_bytes(manifest)
        solution = read_solution(folder)
        assert all(".." not in source.path.split("/") for source in solution.sources)
        precheck(solution, DEFINITION)


def _make(kind: str, path: Path, content: bytes, folder: Path) -> None:
    if os.path.lexists(path) or not path.resolve().is_relative_to(folder.resolve()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(os.fsdecode(content) or "/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        path.touch()
        os.truncate(path, 6 << 30)
    else:
        path.write_bytes(content)


def through_record(content: bytes) -> None:
    """A record's file, and a note of one under way."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, f"{IDENTITY}.json").write_bytes(content)
        EvaluationsUnderWay(Path(name)).find(IDENTITY)
        assert RecordStore(Path(name)).get(IDENTITY).schema_version


def as_toml(document: dict[str, Any]) -> bytes:
    """A candidate.toml of what JSON and TOML have in common, right or not."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in document.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


MANIFEST = {
    "name": "mine",
    "definition": "double",
    "language": "python",
    "entry_point": "kernel.py::run",
}
manifests = changed(MANIFEST).map(as_toml) | st.binary(max_size=60)
contents = st.binary(max_size=60) | text.map(lambda t: t.encode("utf-8", "surrogatepass"))
entries = st.tuples(
    st.sampled_from(["file", "file", "file", "folder", "link", "pipe", "sparse"]), text, contents
)
records = (
    changed(RECORD).map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass"))
    | st.integers(0, 400).map(lambda cut: json.dumps(RECORD).encode()[:cut])
    | st.binary(max_size=80)
)
DOORS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    "solution": (through_solution, changed(SOLUTION) | values),
    "workspace": (through_workspace, st.tuples(manifests, st.lists(entries, max_size=6))),
    "record": (through_record, records),
}


def pass_through(door: str, examples: int) -> None:
    through, strategy = DOORS[door]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ],
    )
    @given(strategy)
    def tried(value: Any) -> None:
        gc.disable()  # it would walk all that other tests have made
        began = time.process_time()
        try:
            with contextlib.suppress(HarnessError):
                through(value)
            assert time.process_time() - began < MOST_SECONDS
        finally:
            gc.enable()

    tried()


@pytest.mark.parametrize("examples", [50, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("door", DOORS)
def test_what_is_let_in_is_right_and_what_is_not_is_refused_in_words(
    door: str, examples: int
) -> None:
    pass_through(door, examples)


@pytest.mark.long
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("door", DOORS)
def test_ten_thousand_things_are_let_in_or_refused_in_words(door: str) -> None:
    pass_through(door, 10_000)


def test_what_is_right_comes_through_every_door() -> None:
    through_solution(SOLUTION)
    through_record(json.dumps(RECORD).encode())
    source = SOLUTION["sources"][0]["content"].encode()
    through_workspace((as_toml(MANIFEST), [("file", "kernel.py", source)]))
    assert Solution.model_validate(SOLUTION).content_hash()
