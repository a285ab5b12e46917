"""The archive of one harness: records become candidates, and programs are recognised."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from kernel_harness.tools.archive.archiving import MOST_PROFILE_BYTES, ArchiveService
from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.archive.search.advice import AdviceKind, Budget
from kernel_harness.tools.archive.search.plans import inherited_plan, record_plan
from kernel_harness.tools.archive.store.normalise import normalised_hash
from kernel_harness.tools.errors import ArchiveError, RequestError
from kernel_harness.tools.evaluation.plan import EvaluationRequest
from kernel_harness.tools.evaluation.records.record_store import RecordStore, new_evaluation_id
from kernel_harness.tools.schema.evaluation import Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution
from kernel_harness.tools.schema.recognition import Recognition
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

MARKED = """def run(x, y):
    # <<<IMPROVE BEGIN>>>
    y.copy_(x * 2)
    # <<<IMPROVE END>>>
    return None
"""


UNMARKED = "def run(x, y):\n    y.copy_(x * 2)\n    return None\n"
REOPENED = """def run(x, y):
    y.copy_(x * 2)
    # <<<IMPROVE BEGIN>>>
    return 1
    # <<<IMPROVE END>>>
"""


@pytest.fixture
def service(archive, workloads, definition: Definition, tmp_path):
    operator = Operator(definition=definition, workloads=tuple(workloads))
    dataset = Dataset({definition.name: operator})
    records = RecordStore(tmp_path / "evaluations")
    return ArchiveService(archive, records, dataset, tmp_path / "profiles")


@pytest.fixture
def judged(service, trial):
    """Makes a solution whose record is in the store, and the record's id."""

    def make(source: str | None = None, **record):
        solution, evaluation = trial(new_evaluation_id(), source, **record)
        service.records.write(evaluation)
        return solution, evaluation.evaluation_id

    return make


@pytest.fixture
def asked(service):
    """Makes the request that a solution was judged by."""

    def make(solution: Solution, **said) -> EvaluationRequest:
        return EvaluationRequest(
            service.dataset.operator("scale_n64"), solution, Scope.FULL, **said
        )

    return make


def test_a_record_is_archived_once_by_the_end_of_its_id(service, judged):
    solution, name = judged()
    first = service.archive_candidate(solution, name[-8:], "Fewer bytes.", lesson="It was so.")
    again = service.archive_candidate(solution, name, "Fewer bytes.")
    assert not first.already and again.already and not again.amended
    assert again.node == first.node and again.advice == ()
    other = service.archive_candidate(solution, name, "Other words.")
    assert other.already and other.amended and other.node.commit == first.node.commit
    assert other.node.hypothesis == "Other words." and other.node.lesson == "It was so."


@pytest.mark.parametrize("hypothesis", ["", " \n"])
def test_a_candidate_without_a_hypothesis_is_refused_and_nothing_is_written(
    service, judged, hypothesis
):
    with pytest.raises(ArchiveError, match="hypothesis"):
        service.archive_candidate(*judged(), hypothesis)
    assert list(service.archive.iter()) == []


def test_a_record_of_other_sources_is_refused(service, judged, trial):
    _, name = judged()
    other, _ = trial(source="def run(x, y):\n    y.copy_(x + x)\n")
    with pytest.raises(ArchiveError, match="judged sources") as refused:
        service.archive_candidate(other, name, "Fewer bytes.")
    assert f"open_workspace(start_from='{name}')" in str(refused.value)


def test_profiles_of_the_same_sources_are_archived_but_no_large_ones(service, judged):
    solution, name = judged()
    folder = service.profiles_dir / solution.content_hash()
    (folder / "ncu").mkdir(parents=True)
    (folder / "ncu" / "run.json").write_text('{"bottleneck": "memory"}')
    (folder / "raw.bin").write_bytes(b"\0" * MOST_PROFILE_BYTES)
    node = service.archive_candidate(solution, name, "Fewer bytes.").node
    assert node.bottlenecks == ("memory",)
    assert service.archive.get(node.candidate_id).profiles == ("ncu-run.json",)


def test_advice_on_the_budget_comes_with_the_candidate(service, judged):
    limited = replace(service, budget=Budget(candidates=1))
    said = limited.archive_candidate(*judged(), "Fewer bytes.").advice
    assert [a.kind for a in said] == [AdviceKind.BUDGET]
    assert service.archive_candidate(*judged(MARKED), "Fewer bytes.").advice == ()


@pytest.fixture
def told(service, trial):
    """Records a plan whose scaffold is a source."""

    def record(source: str, started_from: str | None = None) -> str:
        scaffold, _ = trial(source=source)
        archive, words = service.archive, "An idea."
        return record_plan(
            archive, scaffold, started_from, words, expected_gain=1.2, confidence=0.6
        ).plan_id

    return record


def test_a_change_is_held_to_the_regions_that_its_plan_marks(service, judged, told):
    plan = told(MARKED)
    inside = judged(MARKED.replace("x * 2", "x + x"))
    kept = service.archive_candidate(*inside, "Inside.", plan=plan)
    assert kept.anchors.plan == plan and kept.anchors.kept and kept.node.plan == plan
    outside = judged(MARKED.replace("return None", "limit = 3"))
    left = service.archive_candidate(*outside, "Outside.", plan=plan).anchors
    assert not left.kept and "return None" in left.outside[0]
    assert service.archive_candidate(*judged(), "No plan.").anchors is None


def test_a_plan_without_anchors_holds_to_nothing_and_an_unknown_one_is_refused(
    service, judged, told
):
    free = told(UNMARKED)
    archived = service.archive_candidate(*judged(), "Free.", plan=free)
    assert archived.anchors is None and archived.node.plan == free
    with pytest.raises(RequestError, match="plan"):
        service.archive_candidate(*judged(MARKED), "Unknown.", plan="0123456789ab")


def test_a_departure_is_seen_in_its_own_round_and_obedience_is_none_in_the_next(
    service, judged, asked, told, trial
):
    """The sequence in which a parent's marks, taken for the plan, gave two wrong answers."""
    root = service.archive_candidate(*judged(UNMARKED), "The root.").node.candidate_id
    first = told(MARKED, root)
    departed = MARKED.replace("return None", "return 1")
    solution, name = judged(departed)
    # Its parent marks nothing, so that a departure from the parent's marks was none.
    assert not service.recognise(asked(solution, plan=first)).anchors.kept
    child = service.archive_candidate(solution, name, "Departs.", parents=[root], plan=first)
    assert not child.anchors.kept
    # The next plan opens what the first one closed, and its candidate keeps to it.
    second = told(REOPENED, child.node.candidate_id)
    solution, name = judged(REOPENED.replace("return 1", "return 2"))
    assert service.recognise(asked(solution, plan=second)).anchors.kept
    obedient = service.archive_candidate(
        solution, name, "Obeys.", parents=[child.node.candidate_id], plan=second
    )
    assert obedient.anchors.kept and obedient.anchors.plan == second


def test_a_debug_child_inherits_the_plan_of_what_failed_and_no_other_child_does(
    service, judged, told
):
    plan = told(MARKED)
    failing = judged(MARKED.replace("x * 2", "x + 2"), status=Status.INCORRECT_NUMERICAL)
    failed = service.archive_candidate(*failing, "Wrong.", plan=plan).node
    fine = service.archive_candidate(
        *judged(MARKED.replace("x * 2", "x + x")), "Right.", plan=plan
    ).node
    assert inherited_plan(service.archive, failed.candidate_id) == plan
    assert inherited_plan(service.archive, fine.candidate_id) == ""
    assert inherited_plan(service.archive, "template") == ""


def test_a_trial_that_failed_hands_its_plan_on_though_nobody_archived_it(
    service, judged, asked, told
):
    plan = told(MARKED)
    solution, name = judged(MARKED.replace("x * 2", "x + 2"), status=Status.RUNTIME_ERROR)
    assert service.keep_trial(asked(solution, plan=plan), service.records.get(name)) == ""
    assert inherited_plan(service.archive, name) == plan


def test_a_program_is_recognised_however_it_is_formatted(service, judged, asked, trial, told):
    parent = service.archive_candidate(*judged(MARKED), "Marked.").node.candidate_id
    spaced, _ = trial(source=MARKED.replace("x * 2)", "x  *  2)  # doubled"))
    found = service.recognise(asked(spaced, plan=told(MARKED)))
    assert not found.prior_run.exact and found.prior_run.candidates == [parent]
    assert found.anchors.kept
    new, _ = trial(source="def run(x, y):\n    y.copy_(x + x)\n")
    assert service.recognise(asked(new)) == Recognition(program=normalised_hash(new))
    assert service.recognise(asked(new, plan="0123456789ab")).anchors is None


def test_an_archive_that_cannot_be_read_costs_no_verdict(
    service, judged, asked, monkeypatch, caplog
):
    solution, name = judged()
    service.archive_candidate(solution, name, "Fewer bytes.")

    def broken():
        raise OSError("disk gone")

    monkeypatch.setattr(service.archive.synced, "current", broken)
    with caplog.at_level(logging.WARNING):
        assert service.recognise(asked(solution)) == Recognition()
    assert "could not be asked" in caplog.text


def test_a_search_takes_a_part_of_the_definitions_name(service, judged):
    node = service.archive_candidate(*judged(), "Fewer bytes.", tags=["tiling"]).node
    found = service.search(SearchRequest(definition="scale", technique="til"))
    assert [c.candidate_id for c in found.candidates] == [node.candidate_id]
    with pytest.raises(RequestError, match="Unknown definition"):
        service.search(SearchRequest(definition="softmax"))


def test_the_parent_is_the_candidate_that_the_workspace_was_opened_from(service, judged, asked):
    parent = service.archive_candidate(*judged(), "A root.").node.candidate_id
    solution, name = judged("def run(x, y):\n    y.copy_(x + x)\n")
    assert service.keep_trial(asked(solution, started_from=parent), service.records.get(name)) == ""
    kept = service.archive_candidate(solution, name, "Adds.")
    assert kept.node.parents == (parent,) and parent in kept.parent_words
    again = service.archive_candidate(solution, name, "Adds.")
    assert not again.amended and again.node.parents == (parent,) and again.parent_words == ""


def test_the_workspace_says_its_start_where_no_trial_was_kept(service, judged):
    parent = service.archive_candidate(*judged(), "A root.").node.candidate_id
    mine = judged("def run(x, y):\n    y.copy_(x + x)\n")
    kept = service.archive_candidate(*mine, "Adds.", started_from=parent)
    assert kept.node.parents == (parent,)


@pytest.mark.parametrize("named", [[], ["none"], ["reference"]])
def test_a_root_is_named_as_one(service, judged, named):
    parent = service.archive_candidate(*judged(), "A root.").node.candidate_id
    mine = judged("def run(x, y):\n    y.copy_(x + x)\n")
    kept = service.archive_candidate(*mine, "Anew.", parents=named, started_from=parent)
    assert kept.node.parents == () and kept.parent_words == ""


def test_an_unknown_parent_is_an_error_and_nothing_is_archived(service, judged):
    with pytest.raises(RequestError, match="Unknown candidate"):
        service.archive_candidate(*judged(), "A root.", parents=["0123456789ab"])
    assert list(service.archive.iter()) == []


def test_what_is_archived_needs_no_trial(service, judged, asked):
    solution, name = judged()
    service.archive_candidate(solution, name, "A root.")
    assert service.keep_trial(asked(solution), service.records.get(name)) == ""
    assert service.archive.trials.refs() == {}


def test_a_git_that_fails_is_told_and_raises_nothing(service, judged, asked, monkeypatch, caplog):
    solution, name = judged()

    def full(*_: object) -> str:
        raise ArchiveError("No space left on device")

    monkeypatch.setattr(service.archive.repository, "write_tree", full)
    with caplog.at_level(logging.WARNING):
        said = service.keep_trial(asked(solution), service.records.get(name))
    assert "No space left" in said and f"No commit of {name}" in caplog.text
    monkeypatch.undo()
    assert service.keep_trial(asked(solution), service.records.get(name)) == ""
    assert len(service.archive.trials.refs()) == 1


@pytest.mark.parametrize("named", [[], ["none"]])
def test_archived_again_as_a_root_it_is_one(service, judged, named):
    parent = service.archive_candidate(*judged(), "A root.", parents=[]).node.candidate_id
    mine = judged("def run(x, y):\n    y.copy_(x + x)\n")
    assert service.archive_candidate(*mine, "Anew.", parents=[parent]).node.parents == (parent,)
    again = service.archive_candidate(*mine, "Anew.", parents=named)
    assert again.amended and again.node.parents == ()
    assert not service.archive_candidate(*mine, "Anew.", parents=named).amended


def test_an_evaluation_s_id_names_its_candidate_and_one_without_says_what_to_do(
    service, judged, asked
):
    root = judged()
    parent = service.archive_candidate(*root, "A root.", parents=[]).node.candidate_id
    mine = judged("def run(x, y):\n    y.copy_(x + x)\n")
    service.keep_trial(asked(mine[0]), service.records.get(mine[1]))
    with pytest.raises(RequestError, match="was not archived.*archive_candidate"):
        service.archive_candidate(*root, "A root.", parents=[mine[1]])
    found = service.archive_candidate(*mine, "Anew.", parents=[root[1]])
    assert found.node.parents == (parent,)
    assert service.context("debug", root[1]).candidate_id == parent
