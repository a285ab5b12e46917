"""Whatever comes through a door is let in or refused in words: no exception that is not ours."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_harness.tools.errors import HarnessError, RequestError
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.workloads.solution_folder import given_solution, read_solution
from kernel_harness.tools.workloads.workspace import confined

TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["kernel.py", "kernel.py::run", "./k.py", "..", "a/b", "\x00", "\ud800", "~x"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SOLUTION: dict[str, Any] = {
    "name": "n",
    "definition": "d",
    "author": "a",
    "spec": {"language": "python", "target_hardware": ["cuda"], "entry_point": "kernel.py::run"},
    "sources": [{"path": "kernel.py", "content": "def run(): ...\n"}],
}
FIELDS = st.sampled_from([*SOLUTION, "description", "other"])
SOURCES = st.lists(st.fixed_dictionaries({"path": TEXT, "content": TEXT}), max_size=4)


@given(st.dictionaries(FIELDS, JSON, max_size=3), SOURCES)
@settings(max_examples=60, deadline=None)
def test_a_solution_is_read_or_refused_in_words(
    changes: dict[str, Any], sources: list[Any]
) -> None:
    value = SOLUTION | {"sources": SOLUTION["sources"] + sources} | changes
    with contextlib.suppress(RequestError):
        given_solution(value).content_hash()


@given(st.binary(max_size=200) | TEXT.map(lambda t: t.encode(errors="replace")), st.data())
@settings(max_examples=40, deadline=None)
def test_a_folder_is_read_or_refused_in_words(toml: bytes, data: st.DataObject) -> None:
    head = b'name="n"\ndefinition="d"\nlanguage="python"\nentry_point="kernel.py::run"\n'
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "candidate.toml").write_bytes(data.draw(st.sampled_from([b"", head])) + toml)
        (folder / "kernel.py").write_bytes(data.draw(st.binary(max_size=20)))
        with contextlib.suppress(HarnessError):
            read_solution(folder).content_hash()


@given(TEXT | st.sampled_from(["x" * 5_000, "/" * 300, "a\nb", "~nobody-of-this-name/x"]))
@settings(max_examples=60, deadline=None)
def test_a_workspace_is_named_or_refused_in_words(named: str) -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(HarnessError):
        assert Path(name) in confined(Path(name), named).parents


@given(JSON | st.binary(max_size=100))
@settings(max_examples=40, deadline=None)
def test_a_record_is_read_or_refused_in_words(content: Any) -> None:
    known = "ev-20261120-221530-9f3a61c2"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, f"{known}.json")
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with contextlib.suppress(HarnessError):
            RecordStore(Path(name)).get(known)
