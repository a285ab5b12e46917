"""Commits of trials: what was judged, in git, once."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from kernel_harness.tools.archive.git.repository import RefUpdate, Repository
from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.trials.commits import TRIALS, is_trial, trial_ref
from kernel_harness.tools.archive.store.trials.words import trial_list
from kernel_harness.tools.errors import ArchiveError, RequestError
from kernel_harness.tools.evaluation.records.record_store import new_evaluation_id
from kernel_harness.tools.schema.evaluation import Stage, Status
from kernel_harness.tools.signing.signature import TRIAL


@pytest.fixture
def kept(archive: Archive, trial, definition):
    """Commits a made-up trial; returns its solution, its record and its ref."""

    def keep(source: str | None = None, start=(), **record):
        solution, evaluation = trial(new_evaluation_id(), source, **record)
        ref = archive.trials.write(solution, evaluation, definition, start, 2)
        return solution, evaluation, ref

    return keep


def objects(archive: Archive) -> set[str]:
    """Every object that the archive's repository holds."""
    listed = archive.repository.run(
        "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"
    )
    return set(listed.split())


def test_a_trial_is_read_back_with_its_bytes_and_its_signed_record(archive, kept):
    solution, evaluation, ref = kept("def run(x, y):\n    y.copy_(x)  # ω\n")
    record = archive.trials.read(evaluation.evaluation_id)
    assert record.solution().content_hash() == solution.content_hash()
    assert record.evaluation == evaluation and record.ref == ref
    assert archive.trials.verify(record).counts
    files = archive.repository.run("ls-tree", "-r", "--name-only", ref).split()
    assert files == ["candidate.toml", "evaluation.json", "sources/kernel.py"]
    assert archive.trials.node(evaluation.evaluation_id).latency_us == 15.0


def test_git_stores_no_blob_of_a_candidate_twice(archive, kept, definition, workloads):
    solution, evaluation, ref = kept()
    before = objects(archive)
    node = archive.add(
        solution=solution,
        evaluation=evaluation,
        definition=definition,
        workloads=workloads,
        hypothesis="Fewer bytes.",
    ).node
    new = objects(archive) - before
    tree = archive.repository.list_tree(node.commit)
    said = {tree[name] for name in ("candidate.toml", "trace.jsonl", "NOTES.md")}
    trees = {archive.repository.run("rev-parse", f"{node.commit}^{{tree}}")}
    assert new == said | trees | {node.commit}
    own = archive.repository.list_tree(ref)
    for path in ("sources/kernel.py", "evaluation.json"):
        assert own[path] == tree[path]


def test_the_same_trial_is_committed_once_whoever_writes_it(archive, kept, definition):
    solution, evaluation, ref = kept()
    held = archive.trials.refs()
    assert archive.trials.write(solution, evaluation, definition) == ref
    assert archive.trials.refs() == held and list(held) == [ref]


def test_writers_at_once_lose_no_trial(archive, trial, definition):
    made = [trial(new_evaluation_id(), f"def run(x, y):\n    y[:] = {n}\n") for n in range(12)]

    def write(part):
        for solution, evaluation in part:
            archive.trials.write(solution, evaluation, definition)

    threads = [threading.Thread(target=write, args=[made[n::4]]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {ref.rpartition("/")[2] for ref in archive.trials.refs()}
    assert names == {evaluation.evaluation_id for _, evaluation in made}
    archive.repository.run("fsck", "--strict", "--no-dangling")


def test_the_parent_is_what_the_workspace_was_opened_from(archive, kept):
    _, first, ref = kept()
    commit = archive.trials.refs()[ref]
    _, second, child = kept("def run(x, y):\n    y[:] = 3\n", [(first.evaluation_id, commit)])
    assert archive.trials.read(second.evaluation_id).parents == (first.evaluation_id,)
    assert archive.repository.run("rev-parse", f"{child}^") == commit


def test_a_trial_is_found_by_a_unique_part_of_its_name(archive, kept):
    _, evaluation, ref = kept()
    assert archive.trials.find(evaluation.evaluation_id[:-2])[0] == ref
    kept("def run(x, y):\n    y[:] = 3\n")
    assert archive.trials.find(evaluation.evaluation_id)[0] == ref
    assert archive.trials.find(evaluation.evaluation_id[:14]) is None  # both are of this minute
    with pytest.raises(RequestError, match="Unknown trial"):
        archive.trials.read("ev-20200101-000000-00000000")


def test_trials_are_no_candidates(archive, kept, bench):
    _, evaluation, _ = kept()
    node = bench.add()
    assert [found.candidate_id for found in archive.iter()] == [node.candidate_id]
    assert archive.rebuild_index() == 1
    with pytest.raises(RequestError, match="Unknown candidate"):
        archive.node(evaluation.evaluation_id)


def test_a_commit_of_a_trial_cannot_stand_for_a_candidate(archive, kept):
    """Whoever may write refs cannot make one out of what this machine signed as a trial."""
    _, _, ref = kept()
    commit = archive.trials.refs()[ref]
    name = "/".join(ref.split("/")[2:3])
    archive.repository.run("update-ref", f"refs/candidates/{name}/{commit[:12]}", commit)
    (node,) = archive.iter()
    assert not node.verified and node.latency_us is None


def test_a_ref_that_does_not_name_what_it_holds_is_refused(archive, kept):
    _, evaluation, ref = kept()
    other = f"{ref.rpartition('/')[0]}/{new_evaluation_id()}"
    archive.repository.run("update-ref", other, archive.trials.refs()[ref])
    with pytest.raises(ArchiveError, match="not named by"):
        archive.trials.read(other.rpartition("/")[2])
    assert archive.trials.read(evaluation.evaluation_id).ref == ref


def test_what_others_signed_does_not_count(archive, kept, machine, trial, definition):
    stranger = Archive(archive.root, machine("stranger"))
    solution, evaluation = trial(new_evaluation_id())
    stranger.trials.write(solution, evaluation, definition)
    record = archive.trials.read(evaluation.evaluation_id)
    assert not archive.trials.verify(record).counts
    assert archive.trials.node_of(record).latency_us is None
    stranger.close()


def test_a_day_of_trials_is_a_folder(archive, kept):
    _, evaluation, ref = kept()
    day = evaluation.evaluation_id[3:11]
    assert ref == f"{TRIALS}/scale_n64/{day}/{evaluation.evaluation_id}"
    assert trial_ref("a b", "other-1") == f"{TRIALS}/a%20b/other/other-1"


@pytest.mark.parametrize(
    ("status", "stage", "counts"),
    [
        (Status.PASSED, Stage.DONE, True),
        (Status.COMPILED, Stage.DONE, True),
        (Status.PARTIAL, Stage.DONE, True),
        (Status.INCORRECT_NUMERICAL, Stage.CORRECTNESS, True),
        (Status.COMPILE_ERROR, Stage.COMPILE, True),
        (Status.TIMEOUT, Stage.CORRECTNESS, True),
        (Status.INTEGRITY_VIOLATION, Stage.INTEGRITY, True),
        (Status.INVALID_CANDIDATE, Stage.REQUEST, True),
        (Status.RUNNING, Stage.CORRECTNESS, False),
        (Status.INTERRUPTED, Stage.REQUEST, False),
        (Status.INFRASTRUCTURE_ERROR, Stage.REQUEST, False),
        (Status.NOT_JUDGED, Stage.COMPILE, False),
        (Status.INVALID_REFERENCE, Stage.REQUEST, False),
    ],
)
def test_what_was_judged_is_a_trial_and_what_was_not_is_none(trial, status, stage, counts):
    _, evaluation = trial(new_evaluation_id())
    changes = {"status": status, "stage": stage, "workloads": []}
    assert is_trial(evaluation.model_copy(update=changes)) is counts


def test_what_was_interrupted_after_the_candidate_ran_is_a_trial(trial):
    _, evaluation = trial(new_evaluation_id())
    assert is_trial(evaluation.model_copy(update={"status": Status.INTERRUPTED}))


def test_no_ref_names_a_trial_that_git_did_not_store(archive, trial, definition, monkeypatch):
    monkeypatch.setattr(Repository, "write_tree", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        archive.trials.write(*trial(new_evaluation_id()), definition)
    assert archive.trials.refs() == {}


@pytest.mark.parametrize("fault", ["spoilt", "locked"])
def test_a_trial_that_git_names_by_no_ref_is_said_and_is_in_no_table(
    archive, kept, trial, definition, fault
):
    """It was taken for one that another process had kept, whatever git had failed at."""
    _, _, ref = kept()
    solution, evaluation = trial(new_evaluation_id())
    if fault == "spoilt":
        (archive.repository.path / "packed-refs").write_text("# pack-refs with: sorted \nno\n")
    else:
        name = trial_ref(evaluation.definition, evaluation.evaluation_id)
        lock = archive.repository.path / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    with pytest.raises(ArchiveError, match="update-ref failed"):
        archive.trials.write(solution, evaluation, definition)
    assert archive.trials.refs() == {ref: archive.trials.refs()[ref]}
    assert archive.trials.find(evaluation.evaluation_id) is None


def test_a_trial_that_cannot_be_read_hides_no_other(archive, kept):
    """Refs that another program wrote: no commit, no object, no tree of ours, no text."""
    _, evaluation, ref = kept()
    repository = archive.repository
    files = {p: repository.read(o)[1] for p, o in repository.list_tree(ref).items()}
    sign = partial(archive.keys.sign, TRIAL)
    commits = [
        repository.write_object("blob", b"no commit"),
        repository.write_commit(repository.write_tree({"a": b"x"}), [], "no trial\n", 5, sign),
        repository.write_commit(
            repository.write_tree(files | {"sources/kernel.py": b"\xff"}), [], "no text\n", 5, sign
        ),
    ]
    for number, oid in enumerate(["12" * 20, *commits]):
        path = repository.path / f"{ref.rpartition('/')[0]}/ev-20260101-00000{number}-0badcafe"
        path.write_text(f"{oid}\n", encoding="ascii")
    counted = list(archive.trials.counted("scale_n64"))
    assert [record.evaluation for record, _ in counted] == [evaluation]
    assert counted[0][1].latency_us == 15.0
    assert list(archive.trials.counted("scale_n64", but={evaluation.evaluation_id})) == []


def test_a_ref_of_the_same_name_that_nobody_here_signed_hides_no_trial(archive, kept):
    _, evaluation, ref = kept()
    repository = archive.repository
    forged = repository.write_commit(repository.write_tree({}), [], "Status: PASSED\n", 5)
    name = evaluation.evaluation_id
    repository.update_refs([RefUpdate(f"{TRIALS}/another/20260101/{name}", forged)])
    assert archive.trials.find(name) == (ref, repository.refs(TRIALS)[ref])


def test_words_of_a_commit_that_others_wrote_are_printable_and_short(archive):
    repository = archive.repository
    repository.create()
    name = "ev-20260101-000000-0badcafe"
    said = f"Evaluation: {name}\nStatus: \x1b[2JPASSED\nScope: {'s' * 9_000}\nLatency-us: inf\n"
    oid = repository.write_commit(repository.write_tree({}), [], f"x\n\n{said}", 5)
    repository.update_refs([RefUpdate(f"{TRIALS}/scale_n64/20260101/{name}", oid)])
    listed = trial_list(archive)
    assert listed.isprintable() and len(listed) < 400 and listed.endswith("(unverified)")
    assert "inf" not in listed
