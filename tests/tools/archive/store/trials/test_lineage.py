"""What a candidate was derived from, by what its workspace was opened from."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.store.archive import Archive
from kernel_harness.tools.archive.store.trials.lineage import (
    candidate_or_trial,
    derived_from,
    start_of,
)
from kernel_harness.tools.evaluation.records.record_store import new_evaluation_id

OTHER = "def run(x, y):\n    y[:] = {}\n"


@pytest.fixture
def kept(archive, trial, definition):
    """Commits a made-up trial that was opened from something; returns it and its name."""

    def keep(number: int, started_from: str | None = None):
        solution, evaluation = trial(new_evaluation_id(), OTHER.format(number))
        start = start_of(archive, started_from)
        archive.trials.write(solution, evaluation, definition, start)
        return solution, evaluation

    return keep


@pytest.fixture
def archived(archive, definition):
    """Archives a trial that was kept; returns its id."""

    def add(kept_trial) -> str:
        solution, evaluation = kept_trial
        added = archive.add(
            solution=solution, evaluation=evaluation, definition=definition, hypothesis="So."
        )
        return added.node.candidate_id

    return add


def test_a_candidate_that_the_workspace_was_opened_from_is_the_parent(archive, bench, kept):
    parent = bench.add().candidate_id
    _, evaluation = kept(1, parent[:6])
    found = derived_from(archive, evaluation.evaluation_id, None)
    assert found.parents == (parent,) and parent in found.words


def test_the_candidate_of_a_trial_is_the_parent(archive, kept, archived):
    first = kept(1)
    _, second = kept(2, first[1].evaluation_id)
    parent = archived(first)
    found = derived_from(archive, second.evaluation_id, None)
    assert found.parents == (parent,) and "the candidate of ev-" in found.words


def test_of_a_trial_that_was_not_archived_the_nearest_ancestor_is(archive, bench, kept):
    oldest = bench.add().candidate_id
    _, first = kept(1, oldest)
    _, second = kept(2, first.evaluation_id)
    _, third = kept(3, second.evaluation_id)
    found = derived_from(archive, third.evaluation_id, None)
    assert found.parents == (oldest,) and "nearest archived ancestor" in found.words


def test_the_same_bytes_archived_by_another_evaluation_are_the_parent(
    archive, kept, archived, trial
):
    solution, first = kept(1)
    again = archived(trial(new_evaluation_id(), OTHER.format(1)))
    _, second = kept(2, first.evaluation_id)
    assert derived_from(archive, second.evaluation_id, None).parents == (again,)


def test_where_nothing_before_it_was_archived_it_is_said(archive, kept):
    _, first = kept(1)
    _, second = kept(2, first.evaluation_id)
    found = derived_from(archive, second.evaluation_id, None)
    assert found.parents == () and "was not archived, nor was anything before it" in found.words


@pytest.mark.parametrize("start", [None, "template", "triton_baseline"])
def test_what_was_never_judged_here_is_no_parent_and_needs_no_words(archive, kept, start):
    _, evaluation = kept(1, start)
    found = derived_from(archive, evaluation.evaluation_id, start)
    assert found.parents == () and found.words == ""


def test_a_start_that_is_gone_is_told(archive, kept):
    _, evaluation = kept(1, "0123456789ab")
    found = derived_from(archive, evaluation.evaluation_id, "0123456789ab")
    assert found.parents == () and "0123456789ab" in found.words


def test_a_stranger_s_trial_makes_no_parent(archive, bench, kept, machine, trial, definition):
    parent = bench.add()
    stranger = Archive(archive.root, machine("stranger"))
    solution, foreign = trial(new_evaluation_id(), OTHER.format(7))
    start = [(parent.candidate_id, parent.commit)]
    stranger.trials.write(solution, foreign, definition, start)
    stranger.close()
    found = derived_from(archive, new_evaluation_id(), foreign.evaluation_id)
    assert found.parents == ()


def test_candidates_and_trials_are_read_by_name(archive, bench, kept):
    node = bench.add()
    solution, evaluation = kept(1)
    assert candidate_or_trial(archive, node.candidate_id[:8])[0] == node
    found, record = candidate_or_trial(archive, evaluation.evaluation_id)
    assert found.candidate_id == evaluation.evaluation_id == record.candidate_id
    assert record.solution().content_hash() == solution.content_hash()
    assert "+    y[:] = 1" in archive.diff(node.candidate_id, evaluation.evaluation_id)
