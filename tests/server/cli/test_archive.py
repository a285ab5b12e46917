"""Commands on the archive and its records: what they print, and how they end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.service import Evaluated, EvaluationService
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import (
    Evaluation,
    Evidence,
    Failure,
    Scope,
    Stage,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.measurement import Measurement
from kernel_harness.tools.settings import load_settings
from tests.records import make_record

from ..scripted import DEFINITION, passed, solution

ID = "ev-20261120-221530-9f3a61c2"
UUID = "00000000-0000-4000-8000-000000000000"
MINE = Solution.model_validate(solution())


@pytest.fixture
def here(tmp_path: Path, kernels_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a project of one's own, without a GPU."""
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KERNEL_HARNESS_KERNELS_DIR", str(kernels_dir))
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def evaluation(identity: str = ID, **changes: Any) -> Evaluation:
    """A passed record of `MINE` with seeds."""
    evidence = Evidence(
        started_at="2026-11-20T22:15:30+00:00",
        seeds={UUID: [11, 12]},
        families={UUID: ["typical", "twin"]},
    )
    fields = {"evaluation_id": identity, "evidence": evidence, **passed({}), **changes}
    return make_record(of=MINE, **fields)


def keep(*, archive: bool, **changes: Any) -> str:
    """Records one trial, and archives it where asked; returns its candidate id."""
    harness = Harness.open(load_settings())
    harness.records.write(evaluation(**changes))
    if not archive:
        return ""
    kept = harness.archiving.archive_candidate(MINE, ID, "identity is fast")
    harness.archive.close()
    return kept.node.candidate_id


def test_a_bundle_carries_the_archive_to_another_machine(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = keep(archive=True)
    assert cli.run(["bundle", "all.bundle"]) == 0
    shutil.rmtree(here / "data")
    assert cli.run(["fetch", "all.bundle"]) == 0
    assert "1 candidate came in" in capsys.readouterr().out
    assert cli.run(["show", candidate]) == 0
    assert "identity is fast" in capsys.readouterr().out
    assert cli.run(["fetch", "all.bundle"]) == 0
    assert "0 candidates came in" in capsys.readouterr().out


def test_the_archive_is_pushed_to_a_repository(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(archive=True)
    target = here / "elsewhere.git"
    shutil.copytree(here / "data" / "archive" / "repository.git", target)
    shutil.rmtree(target / "refs" / "candidates")
    assert cli.run(["push", str(target)]) == 0
    assert "1 candidate went out" in capsys.readouterr().out
    assert list((target / "refs" / "candidates").rglob("*"))


@pytest.mark.parametrize("command", [["bundle", "all.bundle"], ["push", "elsewhere.git"]])
def test_an_empty_archive_is_not_carried(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.run(command) == 2
    assert "empty" in capsys.readouterr().err


def test_what_is_no_repository_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["fetch", "ext::sh -c true"]) == 2
    assert "ext::" in capsys.readouterr().err


def test_the_index_is_rebuilt_from_git(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(archive=True)
    (index,) = (here / "data" / "archive").glob("index-*.sqlite")
    index.write_bytes(b"")
    assert cli.run(["rebuild-index"]) == 0
    assert "read from git: 1" in capsys.readouterr().out


def timed(latency_us: float) -> dict[str, Any]:
    """One workload of ten calls of 4 µs that is recorded with `latency_us`."""
    result = WorkloadResult(
        uuid=UUID,
        axes={"rows": 1},
        status=Status.PASSED,
        latency_us=latency_us,
        measurement=Measurement(timer="cupti", cold_ns=[4_000] * 10),
    )
    return {"workloads": [result], "not_timed_reason": None}


def test_a_summary_that_was_typed_in_is_told_and_ends_with_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(archive=False, **timed(2.0))
    assert cli.run(["recompute", ID]) == 1
    printed = capsys.readouterr().out
    assert "latency_us: recorded 2.0, recomputed 4.0" in printed


class Judge:
    """Stands in for the judge: fails or passes whatever it is asked."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.asked: list[EvaluationRequest] = []

    async def __call__(self, request: EvaluationRequest, *_: Any) -> Evaluated:
        await anyio.lowlevel.checkpoint()
        self.asked.append(request)
        return Evaluated(evaluation("ev-20261120-230000-00000000", **self.changes))


@pytest.mark.parametrize("archive", [True, False])
def test_a_verdict_that_repeats_says_how_many_draws_did(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    archive: bool,
) -> None:
    keep(archive=archive)
    judge = Judge()
    monkeypatch.setattr(EvaluationService, "evaluate", lambda _, *asked: judge(*asked))
    if not archive:
        assert cli.run(["recompute", ID, "--rejudge"]) == 2
        assert "are gone" in capsys.readouterr().err and not judge.asked
        return
    assert cli.run(["recompute", ID, "--rejudge"]) == 0
    assert "the same verdict; 2 of 2 draws" in capsys.readouterr().out
    (request,) = judge.asked
    assert request.replay is not None and request.replay.evaluation_id == ID


def test_another_verdict_ends_with_one_and_says_why(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(archive=True)
    why = Failure(
        stage=Stage.CORRECTNESS, kind="wrong_values", message="y differs at [3]", remedy="Look."
    )
    judge = Judge(status=Status.INCORRECT_NUMERICAL, stage=Stage.CORRECTNESS, failure=why)
    monkeypatch.setattr(EvaluationService, "evaluate", lambda _, *asked: judge(*asked))
    assert cli.run(["recompute", ID, "--rejudge"]) == 1
    printed = capsys.readouterr().out
    assert "recorded as PASSED" in printed and "y differs at [3]" in printed


def test_calibrating_without_a_gpu_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["calibrate"]) == 2
    assert "no GPU" in capsys.readouterr().err


def test_a_calibration_that_fails_says_so(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Path:
        await anyio.lowlevel.checkpoint()
        raise InfrastructureError("The calibration ended with 1: no CUDA")

    monkeypatch.setattr("kernel_harness.tools.profiling.service.ProfilingService.calibrate", fails)
    assert cli.run(["calibrate"]) == 2
    assert "no CUDA" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["promote", "4f2a9c01d3be"], ["rollback", "rmsnorm", "wrong"]])
def test_promotion_from_a_shell_refuses_as_the_tool_does(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.run(command) == 2
    assert capsys.readouterr().err


def test_profiling_without_a_gpu_says_so_and_is_no_error(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["open", "rmsnorm", "--name", "w1"]) == 0
    for command in ("profile", "timeline", "sanitize"):
        assert cli.run([command, "w1"]) == 0
        assert "GPU" in capsys.readouterr().out


def asked(harness: Harness) -> EvaluationRequest:
    """The request that `MINE` was judged by."""
    return EvaluationRequest(harness.dataset.operator(DEFINITION), MINE, Scope.SAMPLE)


def judged() -> str:
    """Commits the trial of `MINE`, which nobody archived; returns its name."""
    harness = Harness.open(load_settings())
    record = harness.keys.signed(evaluation())
    harness.records.write(record)
    assert harness.archiving.keep_trial(asked(harness), record) == ""
    harness.archive.close()
    return ID


def test_a_candidate_without_a_parent_has_nothing_to_differ_from(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = keep(archive=True)
    assert cli.run(["diff", candidate]) == 0
    assert f"{candidate} has no parent" in capsys.readouterr().out


def test_trials_are_listed_shown_and_tidied_up(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["tidy"]) == 0
    assert "nothing to tidy up" in capsys.readouterr().out
    name = judged()
    assert cli.run(["log", "--trials"]) == 0
    assert f"{name} {DEFINITION} PASSED sample" in capsys.readouterr().out
    assert cli.run(["log"]) == 0
    assert name not in capsys.readouterr().out
    assert cli.run(["show", name]) == 0
    assert "own: signed on this machine" in capsys.readouterr().out
    assert cli.run(["tidy", "--dry-run"]) == 0
    assert "1 trial weighs" in capsys.readouterr().out
    monkeypatch.setenv("KERNEL_HARNESS_TRIAL_DAYS", "0")
    monkeypatch.setenv("KERNEL_HARNESS_TRIAL_MEGABYTES", "0")
    assert cli.run(["tidy", "--dry-run"]) == 0
    assert "1 would go: the oldest, for trials weigh too much." in capsys.readouterr().out
    assert cli.run(["tidy"]) == 0
    assert "1 went: the oldest, for trials weigh too much." in capsys.readouterr().out
    assert cli.run(["log", "--trials"]) == 0
    assert "No trial is kept." in capsys.readouterr().out


def test_trials_travel_only_where_they_are_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(archive=True)
    harness = Harness.open(load_settings())
    other = "ev-20261120-221531-00000000"
    harness.archiving.keep_trial(asked(harness), harness.keys.signed(evaluation(other)))
    harness.archive.close()
    assert cli.run(["bundle", "few.bundle"]) == 0
    assert cli.run(["bundle", "all.bundle", "--trials"]) == 0
    shutil.rmtree(here / "data")
    for arguments in (["few.bundle", "--trials"], ["all.bundle"]):
        assert cli.run(["fetch", *arguments]) == 0
        assert "trials" not in capsys.readouterr().out.splitlines()[-1]
        assert cli.run(["log", "--trials"]) == 0
        assert "No trial is kept." in capsys.readouterr().out
    assert cli.run(["fetch", "all.bundle", "--trials"]) == 0
    assert "and 1 of the trials" in capsys.readouterr().out
    assert cli.run(["log", "--trials"]) == 0
    assert other in capsys.readouterr().out
