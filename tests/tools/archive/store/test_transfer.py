"""Remotes and bundles."""

from __future__ import annotations

import subprocess

import pytest

from kernel_harness.tools.archive.promotion.events import events, promote
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.promotion_tags import promotions_elsewhere
from kernel_harness.tools.archive.store.transfer import fetch, push, write_bundle
from kernel_harness.tools.errors import ArchiveError, RequestError
from kernel_harness.tools.evaluation.records.record_store import new_evaluation_id


@pytest.fixture
def other(tmp_path, keys):
    found = Archive(tmp_path / "other", keys(tmp_path / "other"))
    yield found
    found.close()


def force_best(archive, node):
    """Promotes without asking the rules, to have refs to carry."""
    decision = decide(node, [])
    chosen = {"promoted": True, "track": "timed", "gpu": "H200"}
    best = archive.repository.refs("refs/heads/best/scale_n64")
    chosen["current_best"] = next(iter(best.values()))[:12] if best else None
    promote(archive, type(decision)(**{**vars(decision), **chosen}), [])


def test_a_bundle_of_this_machine_carries_candidates_and_shows_its_promotions(
    bench, archive, other, tmp_path
):
    root = bench.add()
    child = bench.add(parents=[root.candidate_id], latency_us=50.0)
    force_best(archive, archive.node(child.candidate_id))
    file = write_bundle(archive, tmp_path / "history.bundle")
    moved = fetch(other, str(file))
    assert moved.candidates == 2 and not moved.unverified and not moved.refused
    assert list(other.iter()) == list(archive.iter())
    assert other.get(child.candidate_id) == archive.get(child.candidate_id)
    assert other.best("scale_n64", "H200").candidate_id == root.candidate_id
    assert events(other) == [] and other.repository.refs("refs/heads") == {}
    (elsewhere,) = promotions_elsewhere(other.repository, other.keys)
    assert elsewhere.candidate_id == child.candidate_id and elsewhere.number == 1
    assert promotions_elsewhere(archive.repository, archive.keys) == []


def test_two_archives_meet_in_a_remote(bench, archive, other, tmp_path):
    remote = str(tmp_path / "remote.git")
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    mine = bench.add(latency_us=10.0)
    assert push(archive, remote).candidates == 1
    assert fetch(other, remote).candidates == 1
    theirs = type(bench)(other)
    theirs.add()  # the same number as the first one here, and so the same commit
    added = theirs.add(parents=[mine.candidate_id], latency_us=4.0)
    assert push(other, remote).candidates >= 1
    fetch(archive, remote)
    assert added.candidate_id in {n.candidate_id for n in archive.children(mine.candidate_id)}
    assert push(archive, remote).candidates == 0
    subprocess.run(["git", "--git-dir", remote, "fsck", "--strict"], check=True)


def test_a_best_that_differs_is_left_alone_and_named(bench, archive, other, tmp_path):
    remote = str(tmp_path / "remote.git")
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    first, second = bench.add(latency_us=10.0), bench.add(latency_us=9.0)
    push(archive, remote)
    fetch(other, remote)
    force_best(archive, archive.node(first.candidate_id))
    force_best(other, other.node(second.candidate_id))
    push(archive, remote)
    best = "refs/heads/best/scale_n64/H200"
    fetched = fetch(other, remote)
    assert "refs/quarantine/origin/best/scale_n64/H200" in fetched.moved
    assert other.repository.resolve(best) == second.commit
    assert other.best("scale_n64", "H200").candidate_id == second.candidate_id
    assert best in push(other, remote).differing
    force_best(archive, archive.node(second.candidate_id))
    assert best in push(archive, remote).moved


def test_hostile_addresses_and_empty_archives_are_refused(archive):
    for source in ("--upload-pack=touch x", "ext::sh -c id", ""):
        with pytest.raises(RequestError):
            fetch(archive, source)
    with pytest.raises(ArchiveError, match="empty"):
        push(archive, "elsewhere")


def test_an_archive_that_cannot_be_reached_is_not_said_to_be_our_own(archive, tmp_path):
    """Its owner was told to look at this one's repository with git fsck."""
    with pytest.raises(ArchiveError, match="does not appear to be a git repository") as refused:
        fetch(archive, str(tmp_path / "nowhere"))
    assert "fsck" not in str(refused.value) and "the other is a git repository" in str(
        refused.value
    )
    assert "\n" not in str(refused.value) and ".." not in str(refused.value)


def test_a_stranger_s_trials_stay_in_quarantine(
    archive, bench, bench_class, machine, trial, definition
):
    bench.add()
    stranger = Archive(archive.root.parent / "elsewhere", machine("stranger"))
    bench_class(stranger).add()
    solution, evaluation = trial(new_evaluation_id())
    stranger.trials.write(solution, evaluation, definition)
    found = fetch(archive, str(stranger.repository.path), trials=True)
    stranger.close()
    assert found.trials == 0 and archive.trials.refs() == {}
    assert archive.trials.table.count_open() == 0
    assert any("/trials/" in ref for ref in archive.repository.refs("refs/quarantine"))
