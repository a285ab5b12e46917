"""What a commit of the archive says, held to an archive that an earlier version wrote."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.manifest import TRACE
from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.schema.flashinfer_trace import Definition, Trace

BUNDLE = Path(__file__).parents[3] / "fixtures/archive/archive.bundle"


def definition_of(name: str) -> Definition:
    """The operator that the trials of the bundle were of."""
    return Definition.model_validate(
        {
            "name": name,
            "op_type": "scale",
            "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 64}},
            "inputs": {"x": {"shape": ["m", "n"], "dtype": "bfloat16"}},
            "outputs": {"y": {"shape": ["m", "n"], "dtype": "float32"}},
            "reference": "import torch\n\n\ndef run(x):\n    return (x.float() * 2,)\n",
        }
    )


def test_what_an_earlier_version_wrote_is_written_again_byte_for_byte(
    archive, tmp_path, monkeypatch, workloads
):
    monkeypatch.setattr(
        "kernel_harness.tools.archive.store.manifest.harness_version", lambda: "0.1.0"
    )
    fetch(archive, str(BUNDLE))
    again = Archive(tmp_path / "again")
    again.repository.create()
    again.repository.run("config", "user.name", "Somebody")
    again.repository.run("config", "user.email", "somebody@example.org")
    written = {node.commit: node for node in archive.iter()}
    walk = ("--topo-order", "--reverse", "--glob=refs/candidates/*")
    parents_first = archive.repository.run("rev-list", *walk).split()
    for commit in parents_first:
        node = written[commit]
        record = archive.get(node.candidate_id)
        lines = archive.repository.read(f"{node.commit}:{TRACE}")[1].splitlines()
        traces = [Trace.model_validate_json(line) for line in lines]
        monkeypatch.setattr(
            "kernel_harness.tools.archive.store.archive.to_traces", lambda *_, t=traces: t
        )
        stored = again.add(
            solution=record.solution(),
            evaluation=record.evaluation,
            definition=definition_of(node.definition),
            workloads=workloads,
            hypothesis=record.candidate.hypothesis,
            lesson=record.candidate.lesson,
            parents=node.parents,
            tags=record.candidate.technique,
            profiles={n: archive.read_profile(node.candidate_id, n) for n in record.profiles},
        )
        assert again.repository.read(stored.node.commit) == archive.repository.read(commit)
    assert {node.commit: node for node in again.iter()} == written and len(written) == 11
    again.close()
