"""The commands import and score, as a person gives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.suites import kernelbench
from kernel_harness.tools.suites.probing.client import TaskFacts, TensorFacts
from kernel_harness.tools.suites.texts.kernelbench import CallForm
from kernel_harness.tools.workloads.dataset import Dataset

from ...tools.suites.kernelbench_tasks import write_candidate, write_checkout
from ...tools.suites.verdicts import verdict

NAMES = ("level1/1_Scaled_product.py", "level2/1_Linear_and_norm.py", "level3/5_Has_no_inputs.py")


@pytest.fixture
def checkout(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of three tasks, one of which cannot be imported; their code is not run."""

    def probed(files: list[Path]) -> Iterator[TaskFacts | str]:
        square = TensorFacts((4, 4), "float32")
        for file in files:
            lacks = "has_no" in file.name
            facts = TaskFacts({"x": square}, (square,), (), False, CallForm(("x",)))
            yield "it has no inputs" if lacks else facts

    monkeypatch.setattr(kernelbench, "probe", probed)
    write_candidate(Path("runs/mine"), 1, 1, "x = 1\n")
    return write_checkout(Path("checkout"), *NAMES)


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.run([*words]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_import_says_what_it_wrote_and_what_it_left_out(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", "kernelbench", str(checkout), "--out", "ops", "--candidates", "runs/mine"]
    printed = said(capsys, *words)
    assert "Wrote ops: 2 operators." in printed
    assert "Candidates written beside them: 1." in printed
    assert "Not imported: level3/5_Has_no_inputs: it has no inputs." in printed
    assert Path("ops/kernelbench_l1_1_scaled_product/candidates/mine-sample-0").is_dir()
    assert "1 operator." in said(capsys, *words, "--level", "2")


def test_score_is_a_table_or_json_of_what_was_evaluated(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "import", "kernelbench", str(checkout), "--out", "ops")
    records = RecordStore(load_settings().evaluations_dir)
    one, two = Dataset.load(Path("ops")).operators.values()
    records.write(verdict(one, speedup=1.6))
    records.write(verdict(two, "INCORRECT_NUMERICAL", device="NVIDIA H200"))
    printed = said(capsys, "score", "kernelbench", "ops")
    assert "2 of 2 tasks have a verdict on NVIDIA H200" in printed
    assert [line.split()[0] for line in printed.splitlines()[2:6]] == ["level", "1", "2", "all"]
    found = json.loads(said(capsys, "score", "kernelbench", "ops", "--json"))
    assert found["total"]["fast"]["1.5"]["share"] == 0.5
    assert found["outcomes"]["tasks"][0]["speedup"] == pytest.approx(1.6)


def test_a_record_that_cannot_be_read_is_named_and_stops_no_score(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "import", "kernelbench", str(checkout), "--out", "ops")
    folder = load_settings().evaluations_dir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ev-20261130-000000-00000000.json").write_text("{")
    words = ["score", "kernelbench", "ops"]
    assert "cannot be read: record ev-20261130-000000-00000000" in said(capsys, *words)
    assert json.loads(said(capsys, *words, "--json"))["unreadable"]


def test_a_suite_or_folder_that_is_none_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = said(capsys, "import", "kernelbensh", "x", "--out", "y", status=cli.EXIT_ERROR)
    assert "Nearest: kernelbench" in words
    words = said(capsys, "import", "kernelbench", "nowhere", "--out", "y", status=cli.EXIT_ERROR)
    assert "level1" in words


def test_an_option_that_a_suite_does_not_have_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", "gpu-mode", "x", "--out", "y", "--level", "2", "--reduce-by", "4"]
    words = said(capsys, *command, status=cli.EXIT_ERROR)
    assert "gpu-mode has no levels, reduce_by" in words and "It takes: candidates" in words


def test_score_draws_its_curve(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "import", "kernelbench", str(checkout), "--out", "ops")
    words = ["score", "kernelbench", "ops", "--picture", "fast.svg"]
    assert "no curve to draw" in said(capsys, *words, status=cli.EXIT_ERROR)
    records = RecordStore(load_settings().evaluations_dir)
    for operator in Dataset.load(Path("ops")).operators.values():
        records.write(verdict(operator, speedup=1.6))
    assert "2 of 2 tasks" in said(capsys, *words)
    assert "<svg" in Path("fast.svg").read_text()
