"""What is said of a candidate after it was archived."""

from __future__ import annotations

import subprocess
import threading
from itertools import pairwise

import pytest

from kernel_harness.tools.archive.git.repository import RefUpdate
from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.archive.retrieval.query import search
from kernel_harness.tools.archive.search.parent_selection import read_tree
from kernel_harness.tools.archive.search.role_context import get_context
from kernel_harness.tools.archive.store.amendments import AMENDMENTS, AmendmentWords
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.transfer import fetch, push, write_bundle
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status


@pytest.fixture
def other(tmp_path, keys):
    """An archive of the same machine, whose keys count."""
    found = Archive(tmp_path / "other", keys(tmp_path / "other"))
    yield found
    found.close()


def test_the_newest_words_hold_and_the_commit_stays(bench, archive):
    node = bench.add(lesson="It is faster.", technique=["tma"])
    first = archive.amend(node.candidate_id, AmendmentWords(lesson="Only on long rows."))
    assert (first.lesson, first.technique) == ("Only on long rows.", ("tma",))
    both = archive.amend(node.candidate_id, AmendmentWords(tags=["Bulk Copy", "tma"]))
    assert (both.lesson, both.technique) == ("Only on long rows.", ("bulk-copy", "tma"))
    assert both.commit == node.commit and both.outcome_words == node.outcome_words
    manifest = archive.repository.read(f"{node.commit}:candidate.toml")[1].decode()
    assert "It is faster." in manifest
    assert archive.get(node.candidate_id).candidate.lesson == "Only on long rows."
    (one, two) = archive.amendments(node.candidate_id)
    assert one.words.lesson and two.words.tags and one.author and one.at


def test_a_note_is_kept_with_its_author_and_found(bench, archive):
    archive.repository.create()
    archive.repository.run("config", "user.name", "Ada")
    node = bench.add()
    archive.amend(node.candidate_id, AmendmentWords(note="Looks like\nquantisation of waves."))
    noted = archive.amend(node.candidate_id, AmendmentWords(note="Confirmed."))
    assert sorted(noted.notes) == ["Confirmed. (Ada)", "Looks like quantisation of waves. (Ada)"]
    assert noted.lesson == node.lesson and noted.hypothesis == node.hypothesis
    found = search(archive, SearchRequest("scale_n64", query="quantisation"))
    assert [n.candidate_id for n in found.candidates] == [node.candidate_id]
    window = get_context(archive, "plan", node.candidate_id)
    assert "Confirmed. (Ada)" in window.entries[0].lesson
    assert set(archive.get(node.candidate_id).notes) == set(noted.notes)


def test_a_forgotten_parent_is_added_and_moves_the_candidate_in_the_tree(bench, archive):
    parent = bench.add(latency_us=10.0)
    child = bench.add(latency_us=5.0)
    below = bench.add(latency_us=4.0, parents=[child.candidate_id])
    amended = archive.amend(child.candidate_id, AmendmentWords(parents=[parent.candidate_id[:8]]))
    assert amended.parents == (parent.candidate_id,) and amended.outcome == "faster"
    assert [n.candidate_id for n in archive.children(parent.candidate_id)] == [child.candidate_id]
    tree = {n.candidate_id: n.parents for n in read_tree(archive, "scale_n64")}
    assert tree[child.candidate_id] == (parent.candidate_id,)
    for wrong in (child, below):
        with pytest.raises(RequestError, match="descends"):
            archive.amend(child.candidate_id, AmendmentWords(parents=[wrong.candidate_id]))
    root = archive.amend(child.candidate_id, AmendmentWords(parents=[]))
    assert root.parents == () and archive.children(parent.candidate_id) == []


def test_what_says_nothing_and_parents_that_are_unknown_are_refused(bench, archive):
    node = bench.add()
    with pytest.raises(RequestError, match="says nothing"):
        archive.amend(node.candidate_id, AmendmentWords())
    with pytest.raises(RequestError, match="candidate"):
        archive.amend(node.candidate_id, AmendmentWords(parents=["ffffffffffff"]))
    with pytest.raises(RequestError, match="candidate"):
        bench.store(evaluation_id="e1", parents=["ffffffffffff"])
    assert archive.amendments(node.candidate_id) == []


def test_archiving_again_with_other_words_amends_and_with_the_same_does_nothing(bench, archive):
    parent = bench.add()
    source = "def run(x, y):\n    pass\n"
    given = {"source": source, "evaluation_id": "again", "lesson": "Slow.", "technique": ["a"]}
    first = bench.store(**given)
    same = bench.store(**given, at="2026-01-01T00:02:00+00:00")
    assert same.already and not same.amended and same.node == first.node
    assert archive.repository.refs(AMENDMENTS) == {}
    more = bench.store(**given | {"lesson": None, "parents": [parent.candidate_id]})
    assert more.already and more.amended and more.node.commit == first.node.commit
    assert more.node.parents == (parent.candidate_id,) and more.node.lesson == "Slow."
    assert len(list(archive.iter())) == 2


def test_amendments_are_in_an_index_that_is_made_again(bench, archive):
    node = bench.add(status=Status.TIMEOUT)
    amended = archive.amend(node.candidate_id, AmendmentWords(note="Hangs.", tags=["x"]))
    archive.rebuild_index()
    assert archive.node(node.candidate_id) == amended
    archive.repository.run("pack-refs", "--all")
    assert archive.node(node.candidate_id) == amended


def test_another_process_sees_an_amendment(bench, archive, keys):
    node = bench.add()
    second = Archive(archive.root, keys(archive.root))
    second.amend(node.candidate_id, AmendmentWords(note="From elsewhere."))
    assert len(archive.node(node.candidate_id).notes) == 1
    second.close()


def test_of_many_at_once_none_is_lost(bench, archive, keys):
    node = bench.add()
    archives = [Archive(archive.root, keys(archive.root)) for _ in range(4)]
    seen: list[str] = []

    def write(number: int) -> None:
        for count in range(4):
            words = AmendmentWords(note=f"{number} {count}")
            seen.append(archives[number].amend(node.candidate_id, words).candidate_id)

    threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [node.candidate_id] * 16  # at no moment was it gone
    assert len(archive.node(node.candidate_id).notes) == 16
    for second in archives:
        second.close()


def test_they_travel_with_bundles_and_pushes(bench, archive, other, tmp_path):
    node = bench.add()
    archive.amend(node.candidate_id, AmendmentWords(note="One."))
    fetch(other, str(write_bundle(archive, tmp_path / "a.bundle")))
    assert len(other.node(node.candidate_id).notes) == 1
    other.amend(node.candidate_id, AmendmentWords(note="Two."))
    remote = str(tmp_path / "remote.git")
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    push(other, remote)
    fetch(archive, remote)
    assert archive.node(node.candidate_id) == other.node(node.candidate_id)
    assert len(archive.node(node.candidate_id).notes) == 2
    subprocess.run(["git", "--git-dir", remote, "fsck", "--strict"], check=True)


def test_what_no_trusted_key_signed_or_is_of_another_candidate_says_nothing(
    bench, archive, other, machine, tmp_path
):
    node, second = bench.add(), bench.add()
    stranger = Archive(tmp_path / "stranger" / "archive", machine("stranger"))
    fetch(stranger, str(write_bundle(archive, tmp_path / "a.bundle")))
    theirs = stranger.amend(node.candidate_id, AmendmentWords(note="Trust me."))
    assert len(theirs.notes) == 1
    fetch(archive, str(write_bundle(stranger, tmp_path / "b.bundle")))
    assert archive.repository.refs(AMENDMENTS) == {}
    assert archive.node(node.candidate_id).notes == ()
    # Named by plain git all the same, and a true one moved to another candidate.
    (forged,) = stranger.repository.refs(AMENDMENTS).values()
    archive.repository.update_refs(
        [RefUpdate(f"{AMENDMENTS}/{node.candidate_id}-{forged[:12]}", forged)]
    )
    archive.amend(node.candidate_id, AmendmentWords(note="Mine."))
    for ref, oid in archive.repository.refs(AMENDMENTS).items():
        moved = ref.replace(node.candidate_id, second.candidate_id)
        archive.repository.update_refs([RefUpdate(moved, oid)])
    assert len(archive.node(node.candidate_id).notes) == 1
    assert archive.node(second.candidate_id).notes == ()
    stranger.close()


def test_words_that_end_no_line_and_no_tag(bench, archive):
    node = bench.add()
    hostile = 'a"\n\nSignature: x\n{"parents": []}\x1b[31m\0'
    noted = archive.amend(node.candidate_id, AmendmentWords(note=hostile, lesson=hostile))
    (said,) = archive.amendments(node.candidate_id)
    assert "\x1b" not in said.words.note and "Signature: x" in said.words.note
    assert noted.parents == node.parents and len(noted.notes) == 1


def test_a_rebuilt_index_compares_with_the_parents_that_hold_now(bench, archive):
    nodes = [bench.add(latency_us=float(10 + n)) for n in range(6)]
    for child, parent in pairwise(nodes):
        words = AmendmentWords(parents=[parent.candidate_id])
        amended = archive.amend(child.candidate_id, words)
        assert amended.outcome_words.endswith("noise floor 2.0%, claimed")
    before = list(archive.iter())
    archive.synced.rebuild()
    assert sorted(archive.iter(), key=lambda n: n.at) == before
