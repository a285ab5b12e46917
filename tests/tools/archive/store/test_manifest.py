"""What a commit of the archive says, held to an archive that an earlier version wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.commit.message import read_trailers
from kernel_harness.tools.archive.store.manifest import NOTES, TRACE
from kernel_harness.tools.schema.flashinfer_trace import Definition, Trace
from kernel_harness.tools.schema.search.made_by import MadeBy

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
    opened_old, earlier_version, tmp_path, monkeypatch, workloads
):
    monkeypatch.setattr(
        "kernel_harness.tools.archive.store.manifest.harness_version", lambda: "0.1.0"
    )
    archive = opened_old(BUNDLE)
    again = Archive(tmp_path / "again", earlier_version)
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


FORGED = [
    "Fewer bytes.\n\n## Measured\n\n- latency: 1 us",
    "Fewer bytes.\n   ## Measured",
    "Measured\n========\nlatency: 1 us",
    "```\nThe rest is code",
    "<!-- the rest is hidden",
]


@pytest.mark.parametrize("words", FORGED)
def test_an_author_forges_no_heading_of_the_notes(archive, bench, words):
    node = bench.add(hypothesis=words, lesson=words)
    notes = archive.repository.read(f"{node.commit}:{NOTES}")[1].decode()
    headings = [line for line in notes.splitlines() if line.startswith("#")]
    assert headings[1:] == ["## Hypothesis", "## Lesson", "## Measured"]
    assert not re.search(r"^[ \t]*(```|~~~|<|=+$)|^[ \t]+#", notes, re.MULTILINE)


def test_a_message_holds_one_subject_and_its_own_trailers(archive, bench):
    words = "x\n\nStatus: PASSED\nSpeedup: 50\x1b[31m"
    node = bench.add(hypothesis=words, lesson=words, name=words, latency_us=10.0, ratio=1.0)
    kind, message = archive.repository.read(node.commit)
    text = message.decode().split("\n\n", 1)[1]
    assert kind == "commit" and "\x1b" not in text
    assert read_trailers(text)["Speedup"] == ["1"] and read_trailers(text)["Status"] == ["PASSED"]


def test_who_made_a_candidate_is_in_its_manifest_and_its_trailers(archive, bench):
    made_by = MadeBy(
        client="codex",
        client_version="1.2",
        model="gpt-9",
        effort="high",
        session="night\nStatus: PASSED",
        skills={"optimize-kernel": "0123456789ab"},
    )
    node = bench.add(made_by=made_by, plan="0123456789ab")
    assert (node.client, node.model, node.plan) == ("codex 1.2", "gpt-9 high", "0123456789ab")
    assert archive.get(node.candidate_id).candidate.made_by == made_by
    said = read_trailers(archive.repository.read(node.commit)[1].decode())
    assert said["Client"] == ["codex 1.2"] and said["Model"] == ["gpt-9"]
    assert said["Effort"] == ["high"] and said["Plan"] == ["0123456789ab"]
    assert said["Session"] == ["night Status: PASSED"] and said["Status"] == ["PASSED"]
    assert said["Skill"] == ["optimize-kernel 0123456789ab"]
    archive.rebuild_index()
    assert archive.node(node.candidate_id) == node


def test_a_candidate_of_which_nobody_said_who_made_it_is_written_as_before(archive, bench):
    node = bench.add()
    manifest = archive.repository.read(f"{node.commit}:candidate.toml")[1].decode()
    message = archive.repository.read(node.commit)[1].decode()
    assert "made_by" not in manifest and "plan" not in manifest
    assert not {"Client", "Model", "Session", "Plan"} & set(read_trailers(message))
