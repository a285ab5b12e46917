"""What no trusted key signed is shown as unverified, and nothing it says is used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_harness.tools.archive.git.repository import RefUpdate
from kernel_harness.tools.archive.promotion.events import (
    best_elsewhere,
    current_best,
    events,
    past_failures,
    promote,
)
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.archive.report import terminal
from kernel_harness.tools.archive.report.page_data import boards
from kernel_harness.tools.archive.report.terminal import log
from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.archive.retrieval.query import search
from kernel_harness.tools.archive.search.parent_selection import read_tree
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.commit.message import read_trailers
from kernel_harness.tools.archive.store.transfer import admit, fetch, write_bundle
from kernel_harness.tools.errors import ArchiveError
from kernel_harness.tools.evaluation.records.record_store import RecordStore
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.signing.trusted_keys import accept_key, remove_key

OPERATOR, GPU = "scale_n64", "H200"
SEALED = TimeSource.SEALED


@pytest.fixture
def theirs(tmp_path, machine, bench_class):
    """Another machine's archive, with a way to fill it."""
    keys = machine("theirs")
    found = Archive(tmp_path / "theirs" / "archive", keys)
    yield bench_class(found)
    found.close()


@pytest.fixture
def bundle(theirs, tmp_path):
    """A slow candidate and its promoted child, as another machine's bundle."""
    root = theirs.add(latency_us=20.0, clock=SEALED)
    child = theirs.add(latency_us=2.0, ratio=5.0, clock=SEALED, parents=[root.candidate_id])
    promoted(theirs.archive, child)
    return write_bundle(theirs.archive, tmp_path / "theirs.bundle"), root, child


def promoted(archive, node) -> None:
    """Promotes without asking the rules."""
    chosen = {"promoted": True, "track": "timed", "gpu": GPU}
    promote(archive, replace(decide(node, []), **chosen), [])


def names(nodes) -> set[str]:
    return {node.candidate_id for node in nodes}


def test_a_record_written_by_hand_is_shown_and_ranks_nowhere(archive, bench, trial):
    honest = bench.add(latency_us=10.0, clock=SEALED)
    solution, record = trial("e-forged", "def run(x, y): ...\n", latency_us=0.2, ratio=50.0)
    forged = archive_of(archive, solution, record.model_copy(update={"signature": None}))
    assert (forged.status, forged.outcome, forged.trust) == (
        "UNVERIFIED",
        "undecided",
        "unverified",
    )
    assert "it is not signed" in forged.outcome_words and "says PASSED" in forged.outcome_words
    assert (forged.latency_us, forged.speedup, forged.regimes) == (None, None, ())
    assert archive.best(OPERATOR, GPU) == honest
    (board,) = boards(list(archive.iter()), {})
    assert names(board.rows) == {honest.candidate_id}
    times = {n.candidate_id: n.latency_us for n in read_tree(archive, OPERATOR)}
    assert times == {honest.candidate_id: 15.0, forged.candidate_id: None}
    assert "unverified" in log(archive).plain
    assert names(search(archive, SearchRequest(definition=OPERATOR)).candidates) == set(times)


@pytest.mark.parametrize(
    "change", [{"solution_name": "x"}, {"status": Status.COMPILED}, {"workload_digest": "d2"}]
)
def test_a_signed_record_in_which_anything_was_changed_does_not_count(archive, trial, change):
    solution, record = trial(latency_us=10.0)
    assert archive_of(archive, solution, record).verified
    changed = record.model_copy(update={"evaluation_id": "e2", **change})
    assert not archive_of(archive, solution, changed).verified


def archive_of(archive, solution, record):
    from kernel_harness.tools.schema.flashinfer_trace import Definition

    definition = Definition.model_validate(
        {
            "name": OPERATOR,
            "op_type": "scale",
            "axes": {"m": {"type": "var"}},
            "inputs": {"x": {"shape": ["m"], "dtype": "bfloat16"}},
            "outputs": {"y": {"shape": ["m"], "dtype": "float32"}},
            "reference": "def run(x):\n    return x\n",
        }
    )
    added = archive.add(
        solution=solution, evaluation=record, definition=definition, hypothesis="Faster."
    )
    return added.node


def test_a_commit_that_reuses_a_signed_record_for_other_sources_does_not_count(archive, bench):
    good = bench.add(latency_us=10.0)
    repository = archive.repository
    oids = repository.list_tree(good.commit)
    files = {name: repository.read(oid)[1] for name, oid in oids.items()}
    files["sources/kernel.py"] = b"def run(x, y): ...  # another\n"
    tree = repository.write_tree(files)
    unsigned = repository.write_commit(tree, [], "x\n", 1)
    signed = repository.write_commit(
        tree, [], "x\n", 1, lambda content: archive.keys.sign("kernel-harness candidate", content)
    )
    words = {}
    for commit in (unsigned, signed):
        ref = f"refs/candidates/{OPERATOR}/{commit[:12]}"
        repository.update_refs([RefUpdate(ref, commit)])
        words[commit] = archive.node(commit).trust_words
    assert "not signed" in words[unsigned] and "other sources" in words[signed]
    assert archive.best(OPERATOR, GPU) == good


def test_a_foreign_bundle_is_kept_apart_shown_and_used_for_nothing(archive, bench, bundle):
    file, root, child = bundle
    own = bench.add(latency_us=50.0)
    moved = fetch(archive, str(file), "theirs")
    assert (moved.candidates, moved.unverified, moved.refused) == (2, 2, ())
    assert set(archive.repository.refs("refs/candidates").values()) == {own.commit}
    node = archive.node(child.candidate_id)
    assert node.ref == f"refs/quarantine/theirs/candidates/{OPERATOR}/{child.candidate_id}"
    assert node.status == "UNVERIFIED" and "not trusted here" in node.trust_words
    assert node.parents == (root.candidate_id,)
    assert archive.best(OPERATOR, GPU) == own == archive.best(OPERATOR)
    assert current_best(archive, OPERATOR, GPU) is None and events(archive) == []
    assert archive.repository.resolve(f"refs/heads/best/{OPERATOR}/{GPU}") is None
    assert [e.candidate_id for e in best_elsewhere(archive)] == [child.candidate_id]
    shown = str(archive.get(child.candidate_id).sources)
    assert "copy_" in shown and child.candidate_id in log(archive).plain


def test_an_accepted_key_lets_its_bundle_rank_and_promotes_nothing(archive, bench, bundle, theirs):
    file, _, child = bundle
    own = bench.add(latency_us=50.0)
    fetch(archive, str(file), "theirs")
    accept_key(archive.keys.accepted_file, theirs.archive.keys.public(), "theirs")
    try:
        assert archive.node(child.candidate_id).trust == "trusted"
        assert admit(archive) == ({}, set())
        node = archive.node(child.candidate_id)
        assert node.ref == f"refs/candidates/{OPERATOR}/{child.candidate_id}"
        assert archive.best(OPERATOR, GPU) == node and node.latency_us == 3.0
        assert events(archive) == [] and current_best(archive, OPERATOR, GPU) is None
        assert [e.candidate_id for e in best_elsewhere(archive)] == [child.candidate_id]
        assert fetch(archive, str(file), "again").candidates == 0
    finally:
        remove_key(archive.keys.accepted_file, "theirs")
    assert not archive.node(child.candidate_id).verified
    assert archive.best(OPERATOR, GPU) == own


def test_a_key_given_by_setting_is_enough_to_fetch_what_ranks(tmp_path, bundle, theirs, keys):
    file, _, child = bundle
    root = tmp_path / "batch node"
    given = type(keys(root))(
        keys(root).private_file, root, [f"{theirs.archive.keys.public()} cluster"]
    )
    archive = Archive(root, given)
    assert fetch(archive, str(file)).unverified == 0
    best = archive.best(OPERATOR, GPU)
    assert best is not None and best.candidate_id == child.candidate_id
    assert "cluster" in best.trust_words
    archive.close()


def test_a_pushed_promotion_or_best_is_none_of_ours(archive, bench, theirs, tmp_path):
    own = bench.add(latency_us=50.0)
    child = theirs.add(latency_us=2.0)
    promoted(theirs.archive, child)
    target = str(archive.repository.path)
    theirs.archive.repository.run("push", "-q", target, "refs/*:refs/*")
    assert archive.node(child.candidate_id).status == "UNVERIFIED"
    assert archive.repository.resolve(f"refs/heads/best/{OPERATOR}/{GPU}") == child.commit
    assert archive.best(OPERATOR, GPU) == own and events(archive) == []
    assert [e.candidate_id for e in best_elsewhere(archive)] == [child.candidate_id]
    promoted(archive, own)
    assert archive.best(OPERATOR, GPU) == own
    assert archive.repository.resolve(f"refs/heads/best/{OPERATOR}/{GPU}") == own.commit


def test_a_foreign_failure_bars_nobody(archive, bench, theirs, tmp_path):
    source = "def run(x, y):\n    y.copy_(x + x)\n"
    own = bench.add(source)
    theirs.add(source, status=Status.INCORRECT_NUMERICAL)
    fetch(archive, str(write_bundle(theirs.archive, tmp_path / "b")))
    records = RecordStore(tmp_path / "none")
    assert len(list(archive.iter())) == 2 and past_failures(archive, records, own, GPU) == []


def test_a_foreign_candidate_keeps_no_evaluation_of_ours_out_of_the_archive(
    archive, bench, theirs, tmp_path
):
    foreign = theirs.add(evaluation_id="e-same", name="foreign")
    fetch(archive, str(write_bundle(theirs.archive, tmp_path / "b")))
    stored = bench.store(evaluation_id="e-same", name="own")
    assert not stored.already and stored.node.verified
    assert stored.node.candidate_id != foreign.candidate_id
    assert bench.store(evaluation_id="e-same", name="own").already


def test_a_machine_that_cannot_sign_promotes_nothing_and_says_why(tmp_path, bench_class):
    from kernel_harness.tools.signing.keyring import Keyring

    (tmp_path / "file").write_text("")
    archive = Archive(tmp_path / "a", Keyring(tmp_path / "file" / "key", tmp_path / "a"))
    node = bench_class(archive).add(latency_us=1.0)
    assert node.status == "UNVERIFIED"
    with pytest.raises(ArchiveError, match="nothing can be signed"):
        promoted(archive, node)
    archive.close()


def test_a_promotion_is_signed_in_its_last_trailer(archive, bench):
    node = bench.add()
    promoted(archive, node)
    (event,) = events(archive)
    assert event.signer == "signed on this machine"
    (signature,) = read_trailers(event.message)["Signature"]
    assert signature.startswith(f"{archive.keys.public()} ")


def test_people_see_who_signed_and_what_was_promoted_elsewhere(archive, bench, bundle):
    from rich.console import Console

    file, _, child = bundle
    own = bench.add()
    fetch(archive, str(file))

    def text(renderable) -> str:
        console = Console(width=300, record=True, file=open("/dev/null", "w"))
        console.print(renderable)
        return console.export_text()

    assert "own: signed on this machine" in text(terminal.show(archive, own.candidate_id))
    foreign = text(terminal.show(archive, child.candidate_id))
    assert "unverified: its key ed25519:" in foreign and "promoted elsewhere" in foreign
    assert f"promoted elsewhere: {OPERATOR} {GPU} {child.candidate_id}" in text(
        terminal.best(archive)
    )
