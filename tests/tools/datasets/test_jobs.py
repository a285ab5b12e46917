"""Which solutions a run evaluates, and on which device next."""

from __future__ import annotations

import pytest

from kernel_harness.tools.datasets.jobs import Chosen, JobQueue, jobs_by_folder
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.workloads.dataset import Dataset

from .folders import DatasetFolder


def names(folder, **chosen) -> list[str]:
    jobs = jobs_by_folder({folder.root: Dataset.load(folder.root)}, Chosen(**chosen))[folder.root]
    return [job.solution.name for job in jobs]


def test_everything_of_a_folder_is_run_the_baseline_first(contest) -> None:
    for name, author in (("quick", "ann"), ("narrow", "bob")):
        contest.solution(name, author, source=f"def run(x, y):\n    y.copy_(x + x)  # {name}\n")
    assert names(contest)[:3] == ["plain_double", "quick", "narrow"]
    assert set(names(contest)[3:]) == {"plain_triple", "wrong"}


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"definitions": ["triple"]}, {"plain_triple", "wrong"}),
        ({"solutions": ["quick", "wrong"]}, {"quick", "wrong"}),
        ({"authors": ["bob"]}, {"narrow", "wrong"}),
        ({"authors": ["bob"], "definitions": ["double"]}, {"narrow"}),
        ({"op_types": ["scale"]}, {"plain_double", "narrow", "quick", "plain_triple", "wrong"}),
    ],
)
def test_what_is_named_is_run(contest, chosen, found) -> None:
    assert set(names(contest, **chosen)) == found


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"definitions": ["dubble"]}, "double"),
        ({"solutions": ["quik"]}, "quick"),
        ({"authors": ["anne"]}, "ann"),
        ({"op_types": ["scales"]}, "scale"),
        ({"authors": ["bob"], "solutions": ["quick"]}, "no solution to run"),
    ],
)
def test_a_name_that_is_none_is_refused(contest, chosen, words) -> None:
    with pytest.raises(RequestError, match=words):
        names(contest, **chosen)


def test_several_folders_keep_their_own_and_a_name_may_be_of_any(contest, tmp_path) -> None:
    other = DatasetFolder(tmp_path / "other")
    other.definition(description="Said otherwise.")
    other.workloads(1)
    other.solution("theirs", "eve")
    datasets = {f.root: Dataset.load(f.root) for f in (contest, other)}
    found = jobs_by_folder(datasets, Chosen(definitions=["double"]))
    assert [job.solution.name for job in found[other.root]] == ["theirs"]
    assert {job.solution.name for job in found[contest.root]} == {"plain_double", "quick", "narrow"}
    assert [*jobs_by_folder(datasets, Chosen(solutions=["theirs"]))] == [other.root]
    with pytest.raises(RequestError, match="their"):
        jobs_by_folder(datasets, Chosen(solutions=["their"]))


def test_a_device_stays_with_a_definition_and_then_helps(contest) -> None:
    contest.solution("third", "ann", source="def run(x, y):\n    y.copy_(x + x)  # 3\n")
    queue = JobQueue(
        jobs_by_folder({contest.root: Dataset.load(contest.root)}, Chosen())[contest.root]
    )

    def take(device: str) -> str | None:
        job = queue.next(device)
        return job.operator.name if job else None

    assert [take("a"), take("b"), take("a"), take("b"), take("b")] == [
        *("double", "triple", "double", "triple", "double"),
    ]
    assert [take("a"), take("b"), take("a")].count("double") == 1
