"""Definitions of a contest become operators, and the submissions of teams get the verdicts due."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import tomli_w
import torch

from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import SafetensorsInput, Solution
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.suites.contest import import_contest, read_submission
from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.suites.origin import read_origin
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion
from kernel_harness.tools.workloads.solution_folder import read_solution

from . import contest_tasks
from .contest_tasks import (
    EXPERTS,
    RIGHT,
    SCALED,
    SUBMISSIONS,
    said,
    write_contest,
    write_submission,
)

CASE = contest_tasks.CASE


def test_a_submission_is_packed_as_the_contest_packs_it(imported: Imported) -> None:
    folders = {folder.name: folder for folder in imported.candidates}
    ann = read_solution(folders["Ann-Co--first"])
    assert [source.path for source in ann.sources] == ["kernel.py"]
    assert ann.spec.entry_point == "kernel.py::kernel" and ann.spec.destination_passing_style
    assert not read_solution(folders["bob--looks-up"]).spec.destination_passing_style
    fused = read_solution(folders["dot--fused"]).spec
    assert (fused.language, fused.binding) == ("cuda", "tvm-ffi")


def test_its_own_script_packs_the_same(tmp_path: Path) -> None:
    fib = pytest.importorskip("flashinfer_bench", reason="flashinfer-bench is not installed")
    agents = importlib.import_module("flashinfer_bench.agents")
    write_contest(tmp_path)
    for place in SUBMISSIONS:
        submission = read_submission(tmp_path / "teams" / place)
        ours = submission.solution
        said = ours.spec.model_dump(mode="json")
        theirs = agents.pack_solution_from_files(
            path=str(tmp_path / "teams" / place / "solution" / ours.spec.language),
            spec=fib.BuildSpec.model_validate(said),
            name=ours.name,
            definition=ours.definition,
            author=ours.author,
        )
        packed = Solution.model_validate_json(theirs.model_dump_json())
        assert packed.sources == ours.sources
        assert packed.spec.entry_point == ours.spec.entry_point


def test_the_criterion_is_the_contest_s(dataset: Dataset, tmp_path: Path) -> None:
    experts = dataset.operators[f"contest_{EXPERTS['name']}"].policy
    assert (experts.tolerance.atol, experts.tolerance.rtol) == (1.0, 0.3)
    assert experts.tolerance.required_matched_ratio == 0.9
    assert experts.baseline == "reference" and experts.criterion is Criterion.BOTH
    scaled = dataset.operators[f"contest_{SCALED['name']}"].policy
    assert (scaled.tolerance.atol, scaled.tolerance.rtol) == (0.01, 0.01)
    assert scaled.baseline == "baseline"
    write_contest(tmp_path / "all")
    import_contest(tmp_path / "all", tmp_path / "ops", published_only=True)
    alone = Dataset.load(tmp_path / "ops").operators.values()
    assert {operator.policy.criterion for operator in alone} == {Criterion.PUBLISHED}


def test_stored_tensors_are_read_from_the_dataset(dataset: Dataset) -> None:
    operator = dataset.operators[f"contest_{EXPERTS['name']}"]
    (workload,) = operator.workloads
    spec = workload.inputs["expert"]
    assert isinstance(spec, SafetensorsInput) and Path(spec.path).is_absolute()
    adapter = OperatorAdapter(operator.definition, operator.folder)
    made = adapter.make_inputs(adapter.case(workload), 1, "typical", torch.device("cpu"))
    assert torch.as_tensor(made["expert"]).tolist() == [3, 0, 1, 1, 2, 3]


def test_the_tracks_are_noted(dataset: Dataset) -> None:
    origins = [read_origin(operator.folder) for operator in dataset.operators.values()]
    assert {o.track for o in origins if o} == {"fused_moe", "gated_delta_net"}


def test_a_repository_alone_is_judged_on_the_shipped_operator(tmp_path: Path) -> None:
    shipped = Dataset.load(Settings().kernels_dir).operators
    name = "gdn_decode_qk4_v8_d128_k_last"
    write_submission(tmp_path / "team", said("a", name, "ann"), {"kernel.py": RIGHT})
    imported = import_contest(tmp_path / "team", tmp_path / "ops")
    assert imported.operators == (f"contest_{name}",) and not imported.left_out
    operator = Dataset.load(tmp_path / "ops").operators[f"contest_{name}"]
    assert len(operator.workloads) == len(shipped[name].workloads)
    assert operator.policy.strict == shipped[name].policy.strict
    assert operator.structure == shipped[name].structure
    assert operator.folder is not None and (operator.folder / "oracle.py").is_file()
    assert operator.baseline() is not None
    # Beside the shipped operators it is one of its own.
    both = Dataset.load(Settings().kernels_dir, [tmp_path / "ops"])
    assert not both.problems and {name, f"contest_{name}"} <= both.operators.keys()


def test_configurations_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    write_contest(tmp_path / "all")
    (tmp_path / "all" / "teams" / "config.toml").write_text("model = 'x'\n")
    hidden = tmp_path / "all" / ".codex"
    write_submission(hidden, said("b", SCALED["name"], "zed"), {"kernel.py": RIGHT})
    imported = import_contest(tmp_path / "all", tmp_path / "ops")
    assert not imported.left_out and len(imported.candidates) == len(SUBMISSIONS)


def test_nothing_outside_a_repository_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("key = 1\n")
    write_submission(tmp_path / "linked", said("a", SCALED["name"], "zed"), {"kernel.py": RIGHT})
    (tmp_path / "linked" / "solution" / "python" / "more.py").symlink_to(tmp_path / "secret.py")
    with pytest.raises(DatasetError, match=r"more\.py is a link"):
        read_submission(tmp_path / "linked")
    elsewhere = said("a", SCALED["name"], "zed", language="../..")
    (tmp_path / "above" / "solution").mkdir(parents=True)
    (tmp_path / "above" / "config.toml").write_text(tomli_w.dumps(elsewhere))
    with pytest.raises(DatasetError, match="cannot be used"):
        read_submission(tmp_path / "above")


def test_a_folder_of_submissions_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        import_contest(tmp_path, tmp_path / "ops", candidates=[tmp_path / "none"])


def test_what_cannot_be_read_of_one_team_blocks_no_other(tmp_path: Path) -> None:
    teams = write_contest(tmp_path / "all") / "teams"
    long = said("n" * 400, "scaled_rows_w16", "eve")
    write_submission(teams / "long", long, {"kernel.py": RIGHT})
    write_submission(teams / "deep", f"a = {'[' * 20_000}", {"kernel.py": RIGHT})
    for name in ("folder", "nowhere", "pipe", "large"):
        (teams / name / "solution/python").mkdir(parents=True)
    (teams / "folder/config.toml").mkdir()
    (teams / "nowhere/config.toml").symlink_to(tmp_path / "missing")
    os.mkfifo(teams / "pipe/config.toml")
    (teams / "large/config.toml").write_text("#" * (1 << 21))
    imported = import_contest(tmp_path / "all", tmp_path / "ops")
    words = {
        "long": "longer than",
        "deep": "not TOML",
        "folder": "no file",
        "nowhere": "is a link",
        "pipe": "no file",
        "large": "larger than",
    }
    assert len(imported.candidates) == len(SUBMISSIONS)
    assert imported.left_out.keys() == {f"teams/{name}" for name in words}
    for name, part in words.items():
        assert part in imported.left_out[f"teams/{name}"]


def test_the_sources_of_another_team_are_not_submitted(tmp_path: Path) -> None:
    teams = write_contest(tmp_path / "all") / "teams"
    write_submission(tmp_path / "other", said("a", "scaled_rows_w16", "eve"), {"kernel.py": RIGHT})
    (teams / "eve").mkdir()
    (teams / "eve/solution").symlink_to(tmp_path / "other/solution")
    (tmp_path / "other/config.toml").rename(teams / "eve/config.toml")
    imported = import_contest(tmp_path / "all", tmp_path / "ops")
    assert "is a link" in imported.left_out["teams/eve"]
