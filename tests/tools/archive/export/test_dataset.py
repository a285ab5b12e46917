"""A dataset out of the archive: what is in it, what its speed-ups are over, what is left out."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from kernel_harness.tools.archive.export import dataset as export
from kernel_harness.tools.archive.export.dataset import ExportedDataset, export_dataset
from kernel_harness.tools.archive.export.trace_lines import (
    CLAIMED_PASS,
    UNTIMED_PASS,
    WRONG_ELSEWHERE,
)
from kernel_harness.tools.archive.export.trajectories import export_trajectories
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import OutputError, Status
from kernel_harness.tools.schema.flashinfer_trace import (
    Correctness,
    Definition,
    Performance,
    Solution,
    Trace,
    TraceEvaluation,
)
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.workloads.dataset import Dataset

SEALED = {"clock": TimeSource.SEALED}


def exported(bench, operators: Dataset, tmp_path: Path, **options: Any) -> ExportedDataset:
    return export_dataset(bench.archive, operators, tmp_path / "out", **options)


def passes(done: ExportedDataset) -> dict[tuple[str, str], Trace]:
    """The passed lines by solution's and workload's name, as the files hold them."""
    found: dict[tuple[str, str], Trace] = {}
    for path in (done.folder / "traces").rglob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            trace = Trace.model_validate_json(line)
            if trace.evaluation and trace.evaluation.performance:
                found[trace.solution or "", trace.workload.uuid] = trace
    return found


def judged(trace: Trace) -> tuple[TraceEvaluation, Performance, Correctness]:
    """A pass's evaluation and the two parts of it."""
    said = trace.evaluation
    assert said and said.performance and said.correctness
    return said, said.performance, said.correctness


def figures(trace: Trace) -> tuple[float, float, dict[str, Any]]:
    """Reference and speed-up of a pass, with its added facts."""
    _, times, errors = judged(trace)
    return times.reference_latency_ms, times.speedup_factor, errors.extra or {}


def test_the_order_by_speedup_is_the_order_by_latency(bench, operators, tmp_path) -> None:
    """In each trial the baseline had another latency; the dataset has one for all of them."""
    for latency_us, ratio in ((10.0, 1.0), (5.0, 1.5), (4.9, 1.2)):
        bench.add(latency_us=latency_us, ratio=ratio, **SEALED)
    lines = [
        t for (_, uuid), t in passes(exported(bench, operators, tmp_path)).items() if uuid == "w-1"
    ]
    by_speedup = sorted(lines, key=lambda t: -figures(t)[1])
    assert [judged(t)[1].latency_ms for t in by_speedup] == [
        pytest.approx(ms) for ms in (0.0049, 0.005, 0.01)
    ]
    assert len({figures(t)[0] for t in lines}) == 1


def test_speedups_are_over_the_baseline_where_it_was_timed(bench, operators, tmp_path) -> None:
    baseline = operators.operator("scale_n64").baseline().content_hash()
    for ratio in (2.0, 3.0, 10.0):
        bench.add(latency_us=10.0, ratio=ratio, baseline_hash=baseline, **SEALED)
    lines = passes(exported(bench, operators, tmp_path))
    for (_, uuid), trace in lines.items():
        reference_ms, speedup, extra = figures(trace)
        assert reference_ms == pytest.approx({"w-1": 0.03, "w-64": 0.06}[uuid])  # the median
        assert speedup == pytest.approx(3.0)
        assert (extra["reference"], extra["reference_name"]) == ("baseline", "plain")


def test_speedups_are_over_the_reference_where_it_was_timed(bench, operators, tmp_path) -> None:
    """The definition's own code outranks the baseline: it is what the format means."""
    operator = operators.operator("scale_n64")
    code, baseline = operator.reference(), operator.baseline().content_hash()
    bench.add(latency_us=10.0, ratio=2.0, baseline_hash=baseline, **SEALED)
    bench.add(latency_us=8.0, ratio=5.0, baseline_hash=code.content_hash(), **SEALED)
    for trace in passes(exported(bench, operators, tmp_path)).values():
        latency_ms = judged(trace)[1].latency_ms
        reference_ms, speedup, extra = figures(trace)
        assert extra["reference"] == "definition"
        assert speedup == pytest.approx(reference_ms / latency_ms)
        assert reference_ms == pytest.approx(0.04 if trace.workload.uuid == "w-1" else 0.08)


def test_the_slowest_solution_stands_in_for_a_reference(bench, operators, tmp_path) -> None:
    bench.add(latency_us=10.0, name="slow", **SEALED)
    bench.add(latency_us=4.0, name="fast", **SEALED)
    found = {
        name.split("_")[0]: figures(t)
        for (name, _), t in passes(exported(bench, operators, tmp_path)).items()
    }
    assert found["slow"][1] == 1.0
    assert found["fast"][1] == pytest.approx(2.5)
    assert found["fast"][2]["reference"] == "slowest"
    assert found["fast"][2]["reference_name"].startswith("slow_")


def test_a_claimed_time_never_stands_beside_a_sealed_one(bench, operators, tmp_path) -> None:
    bench.add(latency_us=1.0, name="claims", clock=TimeSource.CLAIMED)
    bench.add(latency_us=4.0, name="honest", **SEALED)
    done = exported(bench, operators, tmp_path)
    assert {name.split("_")[0] for name, _ in passes(done)} == {"honest"}
    assert done.left_out[CLAIMED_PASS] == 2
    both = export_dataset(bench.archive, operators, tmp_path / "both", claimed=True)
    clocks = {figures(t)[2]["clock"] for t in passes(both).values()}
    assert clocks == {"claimed", "sealed"}


def test_what_another_trial_found_wrong_has_no_pass(bench, operators, tmp_path) -> None:
    source = "def run(x, y):\n    y.copy_(x)\n"
    bench.add(source, latency_us=1.0, **SEALED)
    bench.add(source, status=Status.INCORRECT_NUMERICAL)
    bench.add(latency_us=9.0, name="right", **SEALED)
    done = exported(bench, operators, tmp_path)
    assert {name.split("_")[0] for name, _ in passes(done)} == {"right"}
    assert done.left_out[WRONG_ELSEWHERE] == 2


def test_a_trial_that_was_not_archived_can_find_it_wrong(
    bench, operators, tmp_path, trial, definition
) -> None:
    source = "def run(x, y):\n    y.copy_(x)\n"
    bench.add(source, latency_us=1.0, **SEALED)
    bench.add(latency_us=9.0, name="right", **SEALED)
    identity = "ev-20260101-000500-0badcafe"
    solution, wrong = trial(identity, source, status=Status.INCORRECT_NUMERICAL)
    bench.archive.trials.write(solution, wrong, definition)
    done = exported(bench, operators, tmp_path)
    assert {name.split("_")[0] for name, _ in passes(done)} == {"right"}
    assert done.left_out[WRONG_ELSEWHERE] == 2


def test_untimed_passes_have_no_line_and_are_counted(bench, operators, tmp_path) -> None:
    bench.add(latency_us=9.0, **SEALED)
    bench.add(latency_us=None)
    done = exported(bench, operators, tmp_path)
    assert len(passes(done)) == 2
    assert done.left_out[UNTIMED_PASS] == 2


def test_a_dataset_speaks_of_one_device(bench, operators, tmp_path) -> None:
    bench.add(latency_us=9.0, gpu="NVIDIA H200")
    bench.add(latency_us=3.0, gpu="NVIDIA B200")
    with pytest.raises(RequestError, match=r"B200, H200.*one device"):
        exported(bench, operators, tmp_path)
    done = exported(bench, operators, tmp_path, gpu="H200")
    assert {judged(t)[0].environment.hardware for t in passes(done).values()} == {"NVIDIA H200"}
    assert done.left_out[export.OTHER_DEVICE] == 1
    with pytest.raises(RequestError, match="No candidate ran on B100"):
        export_dataset(bench.archive, operators, tmp_path / "other", gpu="B100")


def test_what_counts_nowhere_is_left_out(bench, operators, tmp_path, machine) -> None:
    stranger = type(bench)(bench.archive, machine("stranger"))
    stranger.add(latency_us=1.0)
    bench.add(latency_us=9.0)
    bench.add(latency_us=9.0, definition="gone")
    done = exported(bench, operators, tmp_path)
    assert len(passes(done)) == 2
    assert done.left_out[export.UNVERIFIED] == done.left_out[export.NO_OPERATOR] == 1


def test_every_name_is_unique_and_shipped_solutions_are_there(bench, operators, tmp_path) -> None:
    bench.add(latency_us=9.0, name="same/name")
    bench.add(latency_us=8.0, name="same/name")
    done = exported(bench, operators, tmp_path)
    paths = sorted((done.folder / "solutions").rglob("*.json"))
    solutions = [Solution.model_validate_json(path.read_bytes()) for path in paths]
    names = [solution.name for solution in solutions]
    assert len(set(names)) == len(names) == 4
    assert [s.author for s in solutions if s.name == "plain"] == ["baseline"]
    for path, solution in zip(paths, solutions, strict=True):
        place = path.relative_to(done.folder).as_posix()
        assert place == f"solutions/{solution.author}/scale/scale_n64/{solution.name}.json"
    again = Dataset.load(done.folder)
    assert not again.problems
    baseline = again.operator("scale_n64").baseline()
    assert baseline is not None and baseline.name == "plain"


@pytest.mark.parametrize(
    ("measured", "norm_errors", "expected"),
    [
        ({"max_absolute": 0.1, "max_relative": 0.2}, False, (0.1, 0.2)),
        ({"max_absolute": 0.1, "rms_relative": 0.003}, False, (0.1, math.inf)),
        ({"max_absolute": 0.1, "worst_row_relative": 0.004}, True, (0.1, 0.004)),
        ({"max_absolute": 0.0}, False, (0.0, 0.0)),
        ({"matched_ratio": 1.0}, False, (math.inf, math.inf)),
        ({"matched_ratio": 1.0}, True, (0.0, 0.0)),
    ],
)
def test_an_unmeasured_error_of_a_pass_is_a_bound(
    bench, operators, tmp_path, measured, norm_errors, expected
) -> None:
    """No threshold admits a NaN: FlashInfer-Bench would never pick the kernel."""
    bench.add(errors=[OutputError(output="y", **measured)])
    done = exported(bench, operators, tmp_path, norm_errors=norm_errors)
    for trace in passes(done).values():
        said, extra = judged(trace)[2], figures(trace)[2]
        assert (said.max_absolute_error, said.max_relative_error) == expected
        told = {name for name in ("max_absolute_error", "max_relative_error") if name in extra}
        known = {"max_absolute_error"} if "max_absolute" in measured else set()
        exact = measured.get("max_absolute") == 0 or "max_relative" in measured
        assert told == (
            {"max_absolute_error", "max_relative_error"} - known if not exact else set()
        )


def test_tensor_files_come_along(bench, operators, tmp_path, definition) -> None:
    first = exported(bench, operators, tmp_path)
    (first.folder / "blob").mkdir()
    (first.folder / "blob" / "x.safetensors").write_bytes(b"tensors")
    (tmp_path / "secret").write_bytes(b"outside")
    path = first.folder / "workloads" / "scale" / "scale_n64.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line, file in zip(lines, ("./blob/x.safetensors", "../secret"), strict=True):
        line["workload"]["inputs"]["x"] = {"type": "safetensors", "path": file, "tensor_key": "x"}
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    again = export_dataset(bench.archive, Dataset.load(first.folder), tmp_path / "again")
    assert (again.folder / "blob" / "x.safetensors").read_bytes() == b"tensors"
    assert again.left_out[export.NO_FILE] == 1
    assert not list(tmp_path.glob("again/**/secret"))


def test_a_folder_in_use_is_left_alone(bench, operators, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(RequestError, match="in use"):
        exported(bench, operators, tmp_path)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_readme_says_what_speedups_are_over(bench, operators, tmp_path) -> None:
    bench.add(latency_us=9.0, **SEALED)
    text = (exported(bench, operators, tmp_path).folder / "README.md").read_text("utf-8")
    assert "| scale_n64 | 2 | 3 | 2 | slowest (2) | as the format says |" in text
    assert "one device: H200" in text


def copied(operators: Path, definition: Definition, name: str, solutions: Sequence[str]) -> None:
    """An operator of another name beside the first, with some solutions."""
    folder = operators / hashlib.sha256(name.encode()).hexdigest()[:8]
    other = definition.model_copy(update={"name": name})
    for number, called in enumerate(solutions):
        place = folder / "solutions" / f"s{number}"
        place.mkdir(parents=True)
        said = {"name": called, "definition": name, "language": "python"}
        manifest = tomli_w.dumps(said | {"entry_point": "main.py::run"})
        (place / "candidate.toml").write_text(manifest, encoding="utf-8")
        (place / "main.py").write_text(f"def run(x, y):\n    y[:] = {number}\n", encoding="utf-8")
    (folder / "definition.json").write_text(other.model_dump_json(), encoding="utf-8")
    shutil.copyfile(operators / definition.name / "workloads.jsonl", folder / "workloads.jsonl")


def test_names_that_differ_in_what_no_file_can_have_keep_their_own_files(
    bench, operators, tmp_path, definition
) -> None:
    """Two operators, and solutions of one and of both, that would share a file; and long names."""
    names = ["a/b", "a b", "../../A-b", "d" * 300, "a|b\n# c"]
    for name in names:
        copied(tmp_path / "operators", definition, name, ["x y", "x/y", "X-Y", "plain", "s" * 300])
    done = exported(bench, Dataset.load(tmp_path / "operators"), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"operators", "out", "archive"}
    for kind in ("definitions", "workloads"):
        assert len(list((done.folder / kind).rglob("*.json*"))) == 6
    paths = list((done.folder / "solutions").rglob("*.json"))
    assert len(paths) == done.counts["solution"] == 2 + 5 * 5
    found = [Solution.model_validate_json(path.read_bytes()) for path in paths]
    assert len({solution.name.lower() for solution in found}) == len(found)
    for path, solution in zip(paths, found, strict=True):
        assert path.stem == solution.name and len(path.name) < 200
    page = (done.folder / "README.md").read_text("utf-8")
    rows = [re.findall(r"(?<!\\)\|", line) for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 6 and {len(row) for row in rows} == {7} and "\n# c" not in page


@pytest.mark.parametrize("kind", ["link to nothing", "file", "below a file", "name too long"])
def test_a_folder_that_cannot_be_made_is_refused_in_words(bench, operators, tmp_path, kind) -> None:
    out = tmp_path / "out"
    if kind == "link to nothing":
        out.symlink_to(tmp_path / "elsewhere")
    elif kind == "name too long":
        out = tmp_path / ("o" * 300)
    else:
        out.write_text("mine", encoding="utf-8")
        out = out / "below" if kind == "below a file" else out
    with pytest.raises(RequestError, match="in use|cannot be made"):
        export_dataset(bench.archive, operators, out)
    with pytest.raises(RequestError, match="exists|cannot be made"):
        export_trajectories(bench.archive, operators, out)
    assert not (tmp_path / "elsewhere").exists()


def test_times_on_inputs_that_do_not_rank_are_no_lines(bench, operators, tmp_path, trial) -> None:
    _, record = trial(latency_us=8.0)
    evidence = record.evidence.model_copy(update={"checks": {"input_family": "even"}})
    bench.add(latency_us=10.0, **SEALED)
    bench.add(latency_us=5.0, evidence=evidence, **SEALED)
    lines = passes(exported(bench, operators, tmp_path)).values()
    assert {judged(t)[1].latency_ms for t in lines if t.workload.uuid == "w-1"} == {0.01}
