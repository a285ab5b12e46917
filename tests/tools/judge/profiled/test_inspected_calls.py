"""One call and the reference's on the same inputs: what is called alike is compared, no verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kernel_harness.tools.judge.profiled.inspected_calls import (
    _compared,
    _Found,
    _paired,
    _read,
)
from kernel_harness.tools.messages.judge import CallInspected, InspectCall, SeededWorkload
from kernel_harness.tools.messages.profiler import OUTPUT_NAME

from ....judging import (
    AFFINE,
    JudgeProcess,
    make_solution,
    read_definition,
    read_workloads,
)

RIGHT = """
import torch


def run(x, w, table, alpha, y, row):
    gathered = x[table.long()]
    inner(gathered)
    y.copy_(gathered * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))


def inner(given):
    twice = given * 2
    return twice
"""


def asked(folder: Path, source: str = RIGHT, **changes: Any) -> InspectCall:
    definition = read_definition(AFFINE)
    ours = make_solution(source, definition="affine_n64")
    reference = make_solution(
        {"main.py": definition.reference},
        definition="affine_n64",
        style="value",
        entry_point="main.py::run",
    )
    values = {
        "request_id": "r1",
        "definition": definition.model_dump(mode="json"),
        "operator_dir": str(AFFINE),
        "solution": ours.model_dump(mode="json"),
        "content_hash": ours.content_hash(),
        "reference": reference.model_dump(mode="json"),
        "reference_hash": reference.content_hash(),
        "workloads": [SeededWorkload(workload=read_workloads(AFFINE)[-1], seed=5)],
        "folder": str(folder),
    }
    return InspectCall(**{**values, **changes})


def inspected(judge: JudgeProcess, request: InspectCall) -> CallInspected:
    judge.send(request)
    while not isinstance(message := judge.read(), CallInspected):
        pass
    return message


@pytest.mark.process
def test_outputs_and_named_tensors_stand_beside_the_references(judge, tmp_path):
    found = inspected(judge, asked(tmp_path))
    rows = {row.name: row for row in found.compared}
    assert found.fault is None and found.reference_fault is None
    for name in ("output y", "output row"):
        assert rows[name].reference == name
        assert (rows[name].rms_relative or 0.0) < 1e-5
    assert {"gathered", "inner.twice"} <= set(rows)
    assert "x" not in rows and "inner.given" in rows


@pytest.mark.process
def test_a_wrong_step_shows_where_it_is_and_how_far(judge, tmp_path):
    found = inspected(judge, asked(tmp_path, RIGHT.replace("+ 1.0", "+ 2.0")))
    (row,) = [row for row in found.compared if row.name == "output y"]
    assert row.equal is False and row.max_absolute == pytest.approx(1.0, abs=1e-4)
    assert float(row.got) == pytest.approx(float(row.expected) + 1, abs=1e-3)


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def run(x, w, table, alpha, y, row):\n    1 / 0\n", "ZeroDivisionError"),
        ("import os\n\n\ndef run(x, w, table, alpha, y, row):\n    os._exit(3)\n", "lost"),
        ("raise ValueError('at import')\n\n\ndef run():\n    pass\n", "could not be built"),
    ],
)
def test_a_call_that_fails_is_a_fault_in_words(judge, tmp_path, source, words):
    found = inspected(judge, asked(tmp_path, source))
    assert found.fault is not None and words in found.fault and not found.compared


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (RIGHT.replace("    y.copy_", "    gathered.view(7, 7, 7)\n    y.copy_"), "invalid for"),
        (RIGHT + "\n\nLATE = 1\n", ""),
    ],
)
def test_what_was_named_until_a_call_failed_is_shown_and_no_output(judge, tmp_path, source, words):
    found = inspected(judge, asked(tmp_path, source, pairs={"gathered": "y"}))
    assert words in (found.fault or "") and (found.fault is not None) == bool(words)
    rows = {row.name: row for row in found.compared if row.name}
    assert {"gathered", "inner.twice"} <= set(rows) and rows["gathered"].reference == "y"
    named = {*rows, *(row.reference for row in found.compared)}
    assert ("output y" in named) == (not words)


@pytest.mark.process
def test_an_unknown_family_names_those_that_there_are(judge, tmp_path):
    found = inspected(judge, asked(tmp_path, family="nowhere"))
    assert found.not_made is not None and "Its families are" in found.not_made
    assert found.fault is None, "the candidate is not to blame"


def rows_of(ours: dict[str, Any], theirs: dict[str, Any], **pairs: str) -> dict[str, Any]:
    found = _compared(_Found(ours, []), _Found(theirs, []), pairs, ["y"])
    return {row.name or f"only {row.reference}": row for row in found}


def test_names_that_differ_are_paired_when_it_is_said():
    ours, theirs = {"a": torch.ones(2, 3)}, {"b": torch.ones(6)}
    assert set(rows_of(ours, theirs)) == {"a", "only b"}
    paired = rows_of(ours, theirs, a="b")
    assert set(paired) == {"a"} and paired["a"].equal is True


def test_a_pair_of_what_is_not_there_is_named_and_an_output_is_called_as_it_is_shown():
    ours = _Found({f"{OUTPUT_NAME}0": torch.ones(2), "a": torch.ones(2)}, [])
    theirs = _Found({f"{OUTPUT_NAME}0": torch.ones(2), "b": torch.ones(2)}, [])
    pairs = {"a": "output y", "output y": "b", "nope": "b", "a ": "b"}
    found, missing = _paired(ours, theirs, pairs, ["y"])
    assert found == {"a": f"{OUTPUT_NAME}0", f"{OUTPUT_NAME}0": "b"}
    assert missing == [
        "the candidate names no tensor 'nope'",
        "the candidate names no tensor 'a '",
    ]
    _, missing = _paired(ours, theirs, {"a": "far"}, ["y"])
    assert missing == ["the reference names no tensor 'far'"]


@pytest.mark.process
def test_pairs_that_name_nothing_are_said(judge, tmp_path):
    found = inspected(judge, asked(tmp_path, pairs={"gathered": "nowhere"}))
    assert found.unpaired == ["the reference names no tensor 'nowhere'"]


def test_other_sizes_are_shown_and_not_compared():
    (row,) = rows_of({"a": torch.ones(4)}, {"a": torch.ones(3)}).values()
    assert row.equal is None and row.reference_shape == [3]


def test_what_is_not_finite_is_counted_and_is_the_worst():
    ours = torch.tensor([1.0, float("nan"), 3.0])
    (row,) = rows_of({"a": ours}, {"a": torch.tensor([1.0, 2.0, 3.5])}).values()
    assert row.not_finite == 1 and row.worst_index == [1]
    assert row.equal is False and row.rms_relative is None
    same = torch.tensor([float("nan"), float("inf")])
    (row,) = rows_of({"a": same}, {"a": same.clone()}).values()
    assert row.equal is True


def test_a_file_that_is_none_is_said(tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 64)
    assert "cannot be read" in (_read(broken).fault or "")
    save_file({"a": torch.ones(1)}, str(broken), metadata={"left_out": "{"})
    assert "cannot be read" in (_read(broken).fault or "")
    save_file({"a": torch.ones(1)}, str(broken), metadata={"left_out": '["big [9]"]'})
    assert _read(broken).left_out == ["big [9]"]
