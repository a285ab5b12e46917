"""A data folder that an earlier version wrote opens: records, workspace and archive, no index.

What is in it was written in November 2026 and is shipped as it was: the oldest candidate of a
history, with the record and the sources that were judged.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings

DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
HISTORY = Path(__file__).resolve().parents[2] / "kernels" / DEFINITION / "history.bundle"


def git(repository: Path, *words: str) -> str:
    command = ["git", "-C", str(repository), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder, with what lay in one before there were plans, trials and later fields."""
    repository = tmp_path / "archive" / "repository.git"
    repository.mkdir(parents=True)
    git(repository, "init", "-q", "--bare")
    git(repository, "fetch", "-q", str(HISTORY), "refs/candidates/*:refs/candidates/*")
    refs = git(repository, "for-each-ref", "--sort=creatordate", "--format=%(refname)")
    oldest = refs.splitlines()[0]
    record = git(repository, "show", f"{oldest}:evaluation.json")
    evaluations = tmp_path / "archive" / "evaluations"
    evaluations.mkdir()
    (evaluations / f"{json.loads(record)['evaluation_id']}.json").write_text(record)
    workspace = tmp_path / "workspaces" / "old"
    workspace.mkdir(parents=True)
    (workspace / "kernel.py").write_text(git(repository, "show", f"{oldest}:sources/kernel.py"))
    (workspace / "candidate.toml").write_text(
        f'name = "old"\ndefinition = "{DEFINITION}"\nlanguage = "triton"\n'
        'entry_point = "kernel.py::run"\ndependencies = ["triton"]\n'
    )
    return tmp_path


def test_what_an_earlier_version_left_is_read_and_found(data: Path) -> None:
    settings = load_settings({"data_dir": str(data), "device": "cpu"})
    assert settings.evaluations_dir == data / "archive" / "evaluations"
    harness = Harness.open(settings)
    (path,) = settings.evaluations_dir.glob("ev-*.json")
    record = harness.records.get(path.stem)
    before = json.loads(path.read_text(encoding="utf-8"))
    assert json.loads(record.model_dump_json()) == before, "written as read: no field was added"
    shown = harness.documents.read(f"kernel-harness://evaluation/{path.stem}")
    assert DEFINITION in shown.text
    asked = harness.lookup.evaluation_request(workspace="old")
    assert asked.solution.content_hash() == record.content_hash
    found = harness.archiving.search(SearchRequest(definition=DEFINITION, limit=100))
    assert any(node.content_hash == record.content_hash for node in found.candidates)
    harness.archive.close()
