"""Which trials go: never one that something needs, and a candidate never."""

from __future__ import annotations

import time

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.trials.lineage import candidate_or_trial, start_of
from kernel_harness.tools.archive.store.trials.table import TrialRow
from kernel_harness.tools.archive.store.trials.tidying import (
    DAY_S,
    Reason,
    TidyRules,
    tidy,
    trials_to_drop,
)
from kernel_harness.tools.archive.store.trials.words import tidied
from kernel_harness.tools.evaluation.records.record_store import new_evaluation_id
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.search.plan import SearchPlan

NOW = 1_800_000_000


def row(name: str, *, days: float = 100, status: str = "PASSED", **changes) -> TrialRow:
    """A trial of some days ago."""
    fields = {
        "ref": f"refs/trials/op/day/{name}",
        "oid": "0" * 40,
        "definition": "op",
        "content_hash": name,
        "hardware": "H200",
        "scope": "full",
        "latency_us": None,
        "started_from": "",
        "at": int(NOW - days * DAY_S),
    }
    return TrialRow(name=name, status=status, **{**fields, **changes})


def going(*trials: TrialRow, archived=(), in_use=(), megabytes=1.0, weight=0) -> dict[str, Reason]:
    rules = TidyRules(30, megabytes)
    newest = sorted(trials, key=lambda trial: -trial.at)
    return {t.name: why for t, why in trials_to_drop(newest, archived, in_use, rules, weight, NOW)}


def test_a_trial_whose_evaluation_is_archived_goes_at_any_age():
    assert going(row("a", days=0), archived={"a"}) == {"a": Reason.SAME}


def test_old_failures_go_and_young_ones_stay():
    old, young = row("old", status="TIMEOUT"), row("young", days=29, status="TIMEOUT")
    assert going(old, young, row("passed")) == {"old": Reason.FAILED}


def test_old_ones_whose_bytes_are_archived_go():
    assert going(row("a", state="archived")) == {"a": Reason.OTHER}


def test_what_one_that_stays_began_from_stays():
    chain = [
        row("a", days=103, status="TIMEOUT"),
        row("b", days=102, status="TIMEOUT", started_from="a"),
        row("c", days=101, started_from="b"),
    ]
    assert going(*chain) == {}
    failed = row("c", days=101, status="TIMEOUT", started_from="b")
    assert set(going(*chain[:2], failed)) == {"a", "b", "c"}


def test_what_a_workspace_was_opened_from_stays():
    assert going(row("a", status="TIMEOUT"), in_use={"a"}) == {}


def test_beyond_the_weight_the_oldest_that_nothing_needs_go_and_the_fastest_stays():
    trials = [
        row("fastest", days=200, latency_us=1.0),
        row("oldest", days=190, latency_us=2.0),
        row("old", days=180, latency_us=3.0),
        row("young", days=1),
    ]
    assert going(*trials, weight=4 << 20, megabytes=3) == {"oldest": Reason.WEIGHT}
    assert set(going(*trials, weight=4 << 20, megabytes=0)) == {"oldest", "old"}


def test_what_does_not_count_is_left_alone():
    assert going(row("a", status="TIMEOUT", state="unverified"), archived={"a"}) == {}


@pytest.fixture
def kept(archive: Archive, trial, definition):
    def keep(number: int, started_from: str | None = None, **record):
        text = f"def run(x, y):\n    y[:] = {number}\n"
        solution, evaluation = trial(new_evaluation_id(), text, **record)
        archive.trials.write(solution, evaluation, definition, start_of(archive, started_from))
        return solution, evaluation

    return keep


def test_tidying_drops_from_git_what_a_dry_run_named_and_keeps_every_candidate(
    archive, kept, definition
):
    solution, first = kept(1)
    node = archive.add(
        solution=solution, evaluation=first, definition=definition, hypothesis="So."
    ).node
    _, failed = kept(2, status=Status.TIMEOUT)
    _, passed = kept(3, first.evaluation_id)
    rules = TidyRules(days=30)
    said = tidy(archive, rules, dry_run=True)
    assert said.dropped == {
        Reason.SAME: [first.evaluation_id],
        Reason.FAILED: [failed.evaluation_id],
    }
    assert len(archive.trials.refs()) == 3 and said.weight and not said.packed
    done = tidy(archive, rules)
    assert done.dropped == said.dropped and done.packed
    assert done.weight_after is not None and done.weight_after < said.weight
    assert [ref.rpartition("/")[2] for ref in archive.trials.refs()] == [passed.evaluation_id]
    assert [found.candidate_id for found in archive.iter()] == [node.candidate_id]
    assert archive.get(node.candidate_id).evaluation == first
    assert candidate_or_trial(archive, first.evaluation_id)[0] == node
    archive.repository.run("fsck", "--strict", "--no-dangling")
    assert tidy(archive, rules).dropped == {}


@pytest.mark.parametrize("lost", ["its commit", "its source", "the candidate", "the ref's words"])
def test_where_git_has_lost_something_that_is_named_and_the_rest_goes_on(
    archive, kept, definition, lost
):
    """The trial of a candidate stays then: it may be the only whole copy."""
    solution, first = kept(1)
    node = archive.add(
        solution=solution, evaluation=first, definition=definition, hypothesis="So."
    ).node
    _, failed = kept(2, status=Status.TIMEOUT)
    _, passed = kept(3, first.evaluation_id)
    git = archive.repository
    ref, commit = archive.trials.find(passed.evaluation_id) or ("", "")
    gone = {
        "its commit": commit,
        "its source": git.list_tree(commit)["sources/kernel.py"],
        "the candidate": node.commit,
    }
    if oid := gone.get(lost):
        (git.path / "objects" / oid[:2] / oid[2:]).unlink()
    else:
        (git.path / ref).write_text("")
    archive.close()
    found = tidy(archive, TidyRules(days=30))
    assert (node.ref if lost == "the candidate" else ref) in found.damaged
    assert found.dropped == {Reason.FAILED: [failed.evaluation_id]} and not found.packed
    said = tidied(found)
    assert ref in said and "update-ref -d" in said and "packed." not in said
    assert "1 went: failures that are old." in said


def test_nothing_to_tidy_up(archive):
    found = tidy(archive, TidyRules())
    assert found.weight == 0 and found.dropped == {}


def test_what_was_dropped_can_be_judged_and_archived_again(archive, kept, definition, trial):
    """Git still has the objects, unnamed: naming them again is no loss."""
    solution, failed = kept(1, status=Status.TIMEOUT)
    tidy(archive, TidyRules(days=0))
    assert archive.trials.refs() == {}
    again = archive.add(
        solution=solution, evaluation=failed, definition=definition, hypothesis="Once more."
    ).node
    assert archive.get(again.candidate_id).solution().content_hash() == solution.content_hash()
    assert time.time() > again.at


def test_what_a_plan_was_begun_from_stays(archive, trial, definition):
    solution, evaluation = trial(
        new_evaluation_id(), status=Status.TIMEOUT, at="2026-01-01T00:00:00+00:00"
    )
    archive.trials.write(solution, evaluation, definition)
    name = evaluation.evaluation_id
    plan = SearchPlan(
        definition=solution.definition,
        parent=name,
        hypothesis="Mend it.",
        expected_gain=1.2,
        confidence=0.5,
        spec=solution.spec.model_dump(mode="json"),
    )
    old = TidyRules(days=0.0)
    assert tidy(archive, old, dry_run=True).dropped == {Reason.FAILED: [name]}
    archive.plans.write(plan, {"kernel.py": "x"})
    assert tidy(archive, old, dry_run=True).dropped == {}


def test_two_that_tidy_up_at_once_both_succeed(archive, trial, definition, monkeypatch):
    """The other one removes a ref after this one looked at what is there."""
    for number in range(3):
        source = f"def run(x, y):\n    y[:] = {number}\n"
        archive.trials.write(*trial(new_evaluation_id(), source), definition)
    rows = archive.trials.table.rows()
    delete, other = archive.repository.delete_refs, [rows[0]]

    def after_another(refs):
        for row in other:
            other.remove(row)
            delete({row.ref: row.oid})
        delete(refs)

    monkeypatch.setattr(archive.repository, "delete_refs", after_another)
    archive.trials.drop(rows)
    assert other == [] and archive.trials.refs() == {}
    archive.trials.drop(rows)


def test_nobody_else_packs_while_objects_are_removed(archive, trial, definition, monkeypatch, keys):
    solution, evaluation = trial(
        new_evaluation_id(), status=Status.TIMEOUT, at="2026-01-01T00:00:00+00:00"
    )
    archive.trials.write(solution, evaluation, definition)
    run, other, packed = archive.repository.run, Archive(archive.root, keys(archive.root)), []

    def beside_another(command, *words, **options):
        if command == "prune" or "-A" in words:
            packed.append(other.repository.packing.pack())
        return run(command, *words, **options)

    monkeypatch.setattr(archive.repository, "run", beside_another)
    assert tidy(archive, TidyRules(days=0.0)).packed and packed == [False, False]
    assert other.repository.packing.pack()
    other.close()
