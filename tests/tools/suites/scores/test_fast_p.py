"""The score of a suite follows from the verdicts on its tasks, and from nothing else."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.measurement import KernelTime, Measurement
from kernel_harness.tools.suites.origin import TaskOrigin
from kernel_harness.tools.suites.scores.fast_p import FastPScore, fast_p_score
from kernel_harness.tools.suites.scores.outcomes import Counting, Pick
from kernel_harness.tools.suites.scores.score_table import score_lines
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

from ..verdicts import verdict

LEVELS = (1, 1, 1, 1, 2, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six operators, four of level 1 and two of level 2."""
    place = tmp_path_factory.mktemp("operators")
    for number, level in enumerate(LEVELS, start=1):
        name = f"kernelbench_l{level}_{number}_task"
        own = place / name
        own.mkdir()
        definition = {
            "name": name,
            "op_type": "kernelbench",
            "axes": {"n4": {"type": "const", "value": 4}},
            "inputs": {"x": {"shape": ["n4"], "dtype": "float32"}},
            "outputs": {"out0": {"shape": ["n4"], "dtype": "float32"}},
            "reference": "def run(x):\n    return x\n",
        }
        (own / "definition.json").write_text(json.dumps(definition))
        workload = {"uuid": f"inputs-{number}", "axes": {}, "inputs": {"x": {"type": "random"}}}
        (own / "workloads.jsonl").write_text(
            json.dumps({"definition": name, "workload": workload}) + "\n"
        )
        (own / "policy.toml").write_text('baseline = "torch_eager"\n')
        TaskOrigin(
            suite="kernelbench", level=level, number=number, task="task", file="f.py", sha256="0"
        ).write(own)
    return place


@pytest.fixture(scope="module")
def operators(folder: Path) -> list[Operator]:
    found = Dataset.load(folder).operators.values()
    return sorted(found, key=lambda operator: operator.name)


def scored(folder: Path, *records: Evaluation, **options: Any) -> FastPScore:
    return fast_p_score("kernelbench", folder, records, Counting(**options))


def text(score: FastPScore) -> str:
    return "\n".join(score_lines(score, "KernelBench"))


def shares(score: FastPScore, level: int | None = None) -> dict[float, float | None]:
    rows = {row.level: row for row in (*score.levels, score.total)}
    return {p: rate.share for p, rate in rows[level].fast.items()}


def test_fast_p_is_the_share_of_right_ones_that_are_more_than_p_times_as_fast(
    folder: Path, operators: list[Operator]
) -> None:
    a, b, c, d, e, f = operators
    score = scored(
        folder,
        verdict(a, speedup=1.0),
        verdict(b, speedup=3.0),
        verdict(c, "INCORRECT_NUMERICAL", device="NVIDIA H200"),
        verdict(d, "COMPILE_ERROR", stage="compile", device="NVIDIA H200"),
        verdict(e, speedup=0.6),
        verdict(f, speedup=1.8),
    )
    assert shares(score, 1) == {0: 0.5, 0.5: 0.5, 0.8: 0.5, 1.0: 0.25, 1.5: 0.25, 2.0: 0.25}
    assert shares(score, 2) == {0: 1.0, 0.5: 1.0, 0.8: 0.5, 1.0: 0.5, 1.5: 0.5, 2.0: 0.0}
    assert score.total.compiled.count == 5 and score.total.correct.count == 4
    mean = score.total.geometric_mean
    assert mean == pytest.approx(math.prod((1.0, 3.0, 0.6, 1.8)) ** 0.25)
    assert score.total.mean_interval is not None and mean is not None
    low, high = score.total.mean_interval
    assert 0.6 <= low < mean < high <= 3.0
    said = text(score)
    assert "6 of 6 tasks have a verdict on NVIDIA H200" in said and "fast_1.5" in said
    json.dumps(score.as_json())


def test_times_on_inputs_that_do_not_rank_are_no_score(
    folder: Path, operators: list[Operator]
) -> None:
    usual, other = verdict(operators[0], speedup=1.2), verdict(operators[0], speedup=9.0)
    evidence = other.evidence.model_copy(update={"checks": {"input_family": "even"}})
    score = scored(folder, usual, other.model_copy(update={"evidence": evidence}))
    assert score.total.geometric_mean == pytest.approx(1.2)


def test_the_interval_of_a_share_is_wilsons(folder: Path, operators: list[Operator]) -> None:
    right = [verdict(operator) for operator in operators[:4]]
    wrong = verdict(operators[4], "INCORRECT_NUMERICAL")
    rate = scored(folder, *right, wrong).total.correct
    z, n, p = 1.959964, 5, 0.8
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert rate.interval == pytest.approx((centre - half, centre + half), abs=1e-5)


def test_without_times_only_rates_are_told_and_that_is_said(
    folder: Path, operators: list[Operator]
) -> None:
    score = scored(folder, verdict(operators[0]), verdict(operators[1], "RUNTIME_ERROR"))
    assert shares(score) == {0: 0.5} and score.total.geometric_mean is None
    said = text(score)
    assert "only rates are told" in said and "fast_1" not in said and "geometric" not in said


def test_a_level_with_an_untimed_right_candidate_has_no_fast_p(
    folder: Path, operators: list[Operator]
) -> None:
    a, b, *_, e, f = operators
    untimed = verdict(b, device="NVIDIA H200")
    timed = (verdict(a, speedup=2.5), verdict(e, speedup=2.5), verdict(f, speedup=2.5))
    score = scored(folder, *timed, untimed)
    assert set(shares(score, 1)) == {0} and shares(score, 2)[2.0] == 1.0
    assert "not timed: level1/2_task" in text(score)


def test_a_speed_up_over_something_else_than_the_baseline_counts_as_none(
    folder: Path, operators: list[Operator]
) -> None:
    score = scored(folder, verdict(operators[0], speedup=9.0, baseline="another"))
    assert score.total.timed == 0


@pytest.mark.parametrize("status", ["NOT_JUDGED", "INVALID_REFERENCE", "INTERRUPTED"])
def test_what_came_to_no_verdict_is_no_failure_and_is_listed(
    folder: Path, operators: list[Operator], status: str
) -> None:
    score = scored(folder, verdict(operators[0]), verdict(operators[1], status))
    assert (score.total.correct.count, score.total.correct.of) == (1, 1)
    assert f"No verdict, {status}: 1 (level1/2_task)" in text(score)
    assert "not judged yet: 4" in text(score)
    strict = scored(folder, verdict(operators[0]), missing_fail=True)
    assert strict.total.correct.of == 6


def test_the_best_the_first_or_the_last_candidate_stands_for_a_task(
    folder: Path, operators: list[Operator]
) -> None:
    records = [
        verdict(operators[0], "INCORRECT_NUMERICAL", device="NVIDIA H200"),
        verdict(operators[0], speedup=2.0),
        verdict(operators[0], speedup=1.2, solution="other"),
    ]
    found = {pick: scored(folder, *reversed(records), pick=pick).total for pick in Pick}
    assert found[Pick.BEST].geometric_mean == pytest.approx(2.0)
    assert found[Pick.LAST].geometric_mean == pytest.approx(1.2)
    assert found[Pick.FIRST].correct.count == 0
    assert scored(folder, *records, solution="oth").total.geometric_mean == pytest.approx(1.2)


def test_speeds_of_several_devices_are_no_one_score(
    folder: Path, operators: list[Operator]
) -> None:
    records = [
        verdict(operators[0], speedup=2.0),
        verdict(operators[1], speedup=2.0),
        verdict(operators[2], speedup=4.0, device="NVIDIA B200"),
        verdict(operators[3], "COMPILE_ERROR", evidence={"started_at": "2026-01-01T00:00:00Z"}),
    ]
    score = scored(folder, *records)
    assert score.outcomes.device == "NVIDIA H200" and score.outcomes.elsewhere == 1
    assert score.total.compiled.of == 3
    assert scored(folder, *records, device="b200").total.geometric_mean == pytest.approx(4.0)
    assert "verdicts of other devices: 1" in text(score)


def test_a_verdict_on_another_state_of_a_task_is_left_out(
    folder: Path, operators: list[Operator]
) -> None:
    score = scored(folder, verdict(operators[0], workload_digest="f" * 64))
    assert score.total.correct.of == 0 and score.outcomes.stale == 1
    assert "another state of their task" in text(score)


def test_what_passed_by_the_published_tolerance_alone_is_told_apart(
    folder: Path, operators: list[Operator]
) -> None:
    score = scored(folder, verdict(operators[0], strict=False), verdict(operators[1]))
    assert score.total.correct.count == 2
    assert "published tolerance alone" in text(score) and "level1/1_task." in text(score)


def test_a_speed_up_that_is_seldom_honest_is_named(folder: Path, operators: list[Operator]) -> None:
    said = text(scored(folder, verdict(operators[0], speedup=11.0)))
    assert "More than 10 times as fast" in said
    assert "the candidate's own process took: level1/1_task" in said


def test_reduced_sizes_are_told(folder: Path, operators: list[Operator], tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "smaller")
    path = tmp_path / "smaller" / operators[0].name / "origin.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "reduced_by": 4}))
    assert "reduced sizes" in text(scored(tmp_path / "smaller", verdict(operators[0])))
    assert "reduced sizes" not in text(scored(folder, verdict(operators[0])))


def test_a_folder_of_other_operators_is_refused(kernels_dir: Path) -> None:
    with pytest.raises(DatasetError, match="No operator there was imported"):
        scored(kernels_dir)


@pytest.fixture
def kernels_dir(tmp_path: Path, folder: Path) -> Path:
    other = tmp_path / "kernelbench_l1_1_task"
    other.mkdir()
    for name in ("definition.json", "workloads.jsonl"):
        (other / name).write_bytes((folder / other.name / name).read_bytes())
    return tmp_path


def test_candidates_that_launch_libraries_only_are_named(
    folder: Path, operators: list[Operator]
) -> None:
    def launched(operator: Operator, *origins: str) -> Evaluation:
        record = verdict(operator, speedup=1.0)
        kernel = {"name": "k", "launches": 1, "share": 0.5, "microseconds": 1.0}
        measured = Measurement.model_construct(
            kernels=[KernelTime(**kernel, origin=origin) for origin in origins]
        )
        first = record.workloads[0].model_copy(update={"measurement": measured})
        return record.model_copy(update={"workloads": [first]})

    own = [("torch",), ("torch", "candidate"), ("cublas", "torch", "copy"), ("unknown",), ()]
    pairs = zip(operators, own, strict=False)
    records = [launched(operator, *origins) for operator, origins in pairs]
    score = fast_p_score("kernelbench", folder, records)
    assert [task.libraries for task in score.outcomes.tasks[:5]] == [
        ("torch",),
        (),
        ("cublas", "torch"),
        (),
        (),
    ]
    said = "\n".join(score_lines(score, "KernelBench"))
    assert "Launches torch only, no kernel of its own: level1/1_task." in said
    assert "Launches cublas and torch only, no kernel of its own: level1/3_task." in said
