"""Retrieval before writing."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.retrieval.query import SearchRequest, search
from kernel_harness.tools.archive.retrieval.repeats import recognise, seen
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Failure, Stage, Status
from kernel_harness.tools.schema.search.made_by import MadeBy


def fault(message: str) -> Failure:
    return Failure(stage=Stage.COMPILE, kind="compile_error", message=message, remedy="Fix it.")


def names(directions):
    return [direction.technique for direction in directions]


@pytest.fixture(scope="module")
def history(shared_bench):
    """A root, a win, two losses, and a sibling operator with a win of its own."""
    root = shared_bench.add(latency_us=10.0, technique=["baseline"])
    parent = [root.candidate_id]
    ids = {
        "root": root,
        "win": shared_bench.add(
            latency_us=8.0, parents=parent, technique=["split-k"], lesson="Two waves are enough."
        ),
        "slow": shared_bench.add(latency_us=12.0, parents=parent, technique=["persistent"]),
        "broken": shared_bench.add(
            status=Status.COMPILE_ERROR,
            parents=parent,
            technique=["tma"],
            failure=fault("ptxas needs 229376 bytes of shared memory, 232448 allowed 'x'"),
        ),
        "same": shared_bench.add(latency_us=10.01, parents=parent, technique=["unroll"]),
    }
    other = shared_bench.add(latency_us=4.0, definition="scale_n128", technique=["baseline"])
    ids["sibling"] = shared_bench.add(
        latency_us=3.0,
        definition="scale_n128",
        parents=[other.candidate_id],
        technique=["vectorise"],
    )
    shared_bench.add(definition="topk", op_type="topk", technique=["bitonic"], ratio=2.0)
    return ids


def test_what_failed_or_was_slower_is_blocked_with_its_evidence(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    assert sorted(names(answer.blocked)) == ["persistent", "tma"]
    tma = next(d for d in answer.blocked if d.technique == "tma")
    assert tma.evidence == (history["broken"].candidate_id,)
    assert "ptxas" in tma.words and "1 failed" in tma.words


def test_what_won_here_or_on_a_sibling_operator_is_recommended(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    assert names(answer.recommended) == ["split-k", "vectorise"]
    assert "Two waves are enough." in answer.recommended[0].words
    assert answer.recommended[1].definition == "scale_n128"


def test_an_operator_without_candidates_learns_from_its_family(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n256", op_type="scale"))
    assert names(answer.recommended) == ["split-k", "vectorise"] and answer.total == 0
    assert not search(shared_bench.archive, SearchRequest(definition="scale_n256")).recommended


def test_a_family_can_be_searched_alone(shared_bench, history):
    assert search(shared_bench.archive, SearchRequest(op_type="topk")).total == 1


def test_what_decided_nothing_is_open(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    assert "unroll" in names(answer.open) and "bitonic" not in names(answer.open)


def test_untagged_failures_group_by_their_signature(bench, archive):
    for size in (100, 200):
        bench.add(status=Status.RUNTIME_ERROR, failure=fault(f"illegal address at 0x{size}"))
    (blocked,) = search(archive, SearchRequest(definition="scale_n64")).blocked
    assert blocked.tried == 2 and "illegal address" in blocked.technique


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"query": "waves"}, {"win"}),
        ({"query": "wav enough"}, {"win"}),
        ({"status": "COMPILE_ERROR"}, {"broken"}),
        ({"status": "slower"}, {"slow"}),
        ({"technique": "Split K"}, {"win"}),
        ({"technique": "spl"}, {"win"}),
        ({"error": "shared memory"}, {"broken"}),
        ({"query": "split", "error": "ptxas"}, set()),
        ({"definition": "scale_n128", "technique": "vectorise"}, {"sibling"}),
        ({"hardware": "NVIDIA B200"}, set()),
        ({"hardware": "h200", "technique": "persistent"}, {"slow"}),
        ({"regime": "small", "status": "slower"}, {"slow"}),
        ({"regime": "sm*"}, set()),
        ({"query": '"( AND NOT *'}, None),
    ],
)
def test_each_filter_finds_its_candidates(shared_bench, history, filters, found):
    answer = search(shared_bench.archive, SearchRequest(**filters))
    ids = {node.candidate_id for node in answer.candidates}
    if found is not None:
        assert ids == {history[name].candidate_id for name in found}
        assert answer.total == len(found)


def test_bottlenecks_of_profiles_are_searched(bench, archive):
    added = bench.add(profiles={"ncu.json": b'{"kernels": [{"bottleneck": {"kind": "launch"}}]}'})
    bench.add(profiles={"ncu.json": b"not json"})
    assert [
        n.candidate_id for n in search(archive, SearchRequest(bottleneck="Launch")).candidates
    ] == [added.candidate_id]
    archive.synced.rebuild()
    assert search(archive, SearchRequest(bottleneck="launch")).total == 1


def test_pages_follow_one_another_without_gap(shared_bench, history):
    pages, cursor = [], None
    while True:
        answer = search(shared_bench.archive, SearchRequest(limit=3, cursor=cursor))
        pages += [node.candidate_id for node in answer.candidates]
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert len(pages) == len(set(pages)) == answer.total == 8


def test_a_bad_cursor_and_a_bad_status_are_refused(shared_bench, history):
    with pytest.raises(RequestError, match="Cursor"):
        search(shared_bench.archive, SearchRequest(cursor="-1; DROP TABLE"))
    with pytest.raises(RequestError, match="Unknown status"):
        search(shared_bench.archive, SearchRequest(status="PASED"))


def test_an_empty_archive_answers_with_nothing(archive):
    answer = search(archive, SearchRequest(definition="scale_n64", query="anything"))
    assert answer.total == 0 and not answer.blocked and not archive.repository.exists


def test_humans_notes_are_searched_too_and_read_again_when_they_change(archive, tmp_path):
    skill = tmp_path / "skills" / "hopper"
    skill.mkdir(parents=True)
    note = skill / "SKILL.md"
    note.write_text(
        "# Hopper\n\n## TMA\n\nLoad tiles with cp.async.bulk.\n```\n# no heading\n```\n"
    )
    found = search(archive, SearchRequest(query="bulk tiles"), tmp_path / "skills").notes
    assert [(n.path, n.heading) for n in found] == [("hopper/SKILL.md", "TMA")]
    note.write_text("# Hopper\n\nNothing of the kind.\n")
    assert not search(archive, SearchRequest(query="bulk"), tmp_path / "skills").notes


def test_a_program_seen_before_is_recognised_whatever_its_formatting(bench, archive, trial):
    source = 'def run(x, y):\n    """Twice."""\n    # slow\n    y.copy_(x * 2)\n'
    added = bench.add(source=source, status=Status.INCORRECT_NUMERICAL)
    again, _ = trial(source="def run(x,y):\n  y.copy_(x*2)  # quick\n")
    prior = recognise(archive, again)
    assert prior is not None and not prior.exact and "is final" in prior.words
    assert prior.candidates == [added.candidate_id]
    same, _ = trial(source=source)
    exact = recognise(archive, same)
    assert exact is not None and exact.exact
    other, _ = trial(source="def run(x, y):\n    y.copy_(x * 3)\n")
    assert recognise(archive, other) is None
    assert seen(archive, content_hash=same.content_hash()) == [added.candidate_id]


def test_candidates_are_found_by_who_made_them(archive, bench):
    first = bench.add(made_by=MadeBy(client="Codex", client_version="1.2", model="gpt-9"))
    other = bench.add(made_by=MadeBy(client="claude-code", model="opus", effort="high"))
    bench.add()

    def found(client: str | None = None, model: str | None = None) -> list[str]:
        result = search(archive, SearchRequest(client=client, model=model))
        return [node.candidate_id for node in result.candidates]

    assert found(client="codex") == [first.candidate_id]
    assert found(model="opus") == [other.candidate_id]
    assert found(client="codex", model="opus") == []
