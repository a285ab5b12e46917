"""Retrieval before writing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_harness.tools.archive.retrieval.filters import SearchRequest, regimes_meant
from kernel_harness.tools.archive.retrieval.query import search
from kernel_harness.tools.archive.retrieval.repeats import recognise, seen
from kernel_harness.tools.archive.store.amendments import AmendmentWords
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


def test_what_was_measured_slower_is_blocked_and_what_failed_once_is_open(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    (blocked,) = answer.blocked
    assert blocked.technique == "persistent" and blocked.why == "measured slower once"
    assert blocked.evidence == (history["slow"].candidate_id,)
    tma = next(d for d in answer.open if d.technique == "tma")
    assert tma.evidence == (history["broken"].candidate_id,)
    assert "ptxas" in tma.words and "1 failed" in tma.words


def test_what_won_here_or_on_a_similar_operator_is_recommended_and_told_apart(
    shared_bench, history
):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    found = {d.technique: d for d in answer.recommended}
    assert sorted(found) == ["split-k", "vectorise"]
    assert "Two waves are enough." in found["split-k"].words and not found["split-k"].why
    assert found["vectorise"].definition == "scale_n128"
    assert found["vectorise"].why == "similar operator (0.5: family scale)"


def test_a_direction_says_what_was_measured_with_its_interval(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    gain = next(d.gain for d in answer.recommended if d.technique == "split-k")
    assert gain is not None and gain.measured == 1
    assert gain.ratio == pytest.approx(10 / 8)
    assert gain.interval[0] < gain.ratio < gain.interval[1]


def test_an_operator_without_candidates_learns_from_its_family(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n256", op_type="scale"))
    assert sorted(names(answer.recommended)) == ["split-k", "vectorise"] and answer.total == 0
    assert not search(shared_bench.archive, SearchRequest(definition="scale_n256")).recommended


def test_a_family_can_be_searched_alone(shared_bench, history):
    assert search(shared_bench.archive, SearchRequest(op_type="topk")).total == 1


def test_what_decided_nothing_is_open(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64"))
    assert "unroll" in names(answer.open) and "bitonic" not in names(answer.open)


def test_untagged_failures_group_by_their_signature(bench, archive):
    for size in (100, 200, 300):
        (direction,) = bench_failure(bench, archive, size)
    assert direction.tried == 3 and "illegal address" in direction.technique
    assert direction.why == "3 independent failures, never measured"


def bench_failure(bench, archive, size):
    """Adds a failure without a technique, and returns what is blocked or open after it."""
    bench.add(status=Status.RUNTIME_ERROR, failure=fault(f"illegal address at 0x{size}"))
    answer = search(archive, SearchRequest(definition="scale_n64"))
    return (*answer.blocked, *answer.open)


def test_repairs_of_one_attempt_and_equal_programs_are_one_failure(bench, archive):
    root = bench.add(latency_us=10.0, technique=["baseline"])

    def fail(parent, **more):
        return bench.add(
            status=Status.COMPILE_ERROR, parents=[parent.candidate_id], technique=["tma"], **more
        )

    broken = fail(root)
    for _ in range(3):
        broken = fail(broken)
    fail(root, source="def run(x, y):\n    pass\n")
    fail(root, source="def run(x, y):\n    pass  # again\n")
    answer = search(archive, SearchRequest(definition="scale_n64"))
    assert "tma" in names(answer.open) and not answer.blocked
    fail(root)
    (blocked,) = search(archive, SearchRequest(definition="scale_n64")).blocked
    assert blocked.why == "3 independent failures, never measured" and blocked.tried == 7


def test_a_repaired_program_credits_what_its_broken_parent_tried(bench, archive):
    root = bench.add(latency_us=10.0, technique=["baseline"])
    broken = bench.add(
        status=Status.COMPILE_ERROR, parents=[root.candidate_id], technique=["baseline", "tma"]
    )
    bench.add(latency_us=5.0, parents=[broken.candidate_id], technique=["baseline", "tma"])
    answer = search(archive, SearchRequest(definition="scale_n64"))
    (found,) = (d for d in answer.recommended if d.technique == "tma")
    assert found.gain is not None and found.gain.ratio == pytest.approx(2.0)


def test_an_inherited_technique_is_not_charged_with_what_its_heirs_tried(bench, archive):
    root = bench.add(latency_us=10.0, technique=["baseline"])
    fast = bench.add(latency_us=8.0, parents=[root.candidate_id], technique=["split-k"])
    for _ in range(3):
        bench.add(latency_us=9.0, parents=[fast.candidate_id], technique=["split-k", "persistent"])
    answer = search(archive, SearchRequest(definition="scale_n64"))
    (split,) = (d for d in answer.recommended if d.technique == "split-k")
    assert split.tried == 1 and names(answer.blocked) == ["persistent"]


def test_an_amended_parent_moves_what_was_learnt(bench, archive):
    slow = bench.add(latency_us=20.0, technique=["plain"])
    good = bench.add(latency_us=10.0, technique=["plain"])
    child = bench.add(latency_us=9.0, parents=[slow.candidate_id], technique=["tma"])

    def gain():
        answer = search(archive, SearchRequest(definition="scale_n64"))
        (found,) = (d for d in (*answer.recommended, *answer.open) if d.technique == "tma")
        assert found.gain is not None
        return found.gain.ratio

    assert gain() == pytest.approx(20 / 9)
    archive.amend(child.candidate_id, AmendmentWords(parents=[good.candidate_id]))
    assert gain() == pytest.approx(10 / 9)
    archive.synced.rebuild()
    assert gain() == pytest.approx(10 / 9)


def test_a_parents_technique_learnt_later_is_not_its_childs(bench, archive):
    root = bench.add(latency_us=10.0, technique=["plain"])
    bench.add(latency_us=5.0, parents=[root.candidate_id], technique=["plain", "tma"])
    assert "tma" in names(search(archive, SearchRequest(definition="scale_n64")).recommended)
    archive.amend(root.candidate_id, AmendmentWords(tags=["plain", "tma"]))
    answer = search(archive, SearchRequest(definition="scale_n64"))
    (tma,) = (d for d in answer.open if d.technique == "tma")
    assert tma.evidence == (root.candidate_id,) and not answer.recommended


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


@pytest.mark.parametrize("said", ["Memory", "memory_bandwidth", "memory bandwidth"])
def test_a_bottleneck_asks_what_was_tried_on_parents_so_bound(bench, archive, said):
    profile = b'{"kernels": [{"bottleneck": {"kind": "memory_bandwidth"}}]}'
    bound = bench.add(latency_us=10.0, technique=["plain"], profiles={"ncu.json": profile})
    other = bench.add(latency_us=10.0, technique=["plain"], profiles={"ncu.json": b"not json"})
    helped = bench.add(latency_us=8.0, parents=[bound.candidate_id], technique=["tma"])
    bench.add(latency_us=8.0, parents=[other.candidate_id], technique=["unroll"])
    for _ in range(2):
        answer = search(archive, SearchRequest(definition="scale_n64", bottleneck=said))
        assert [n.candidate_id for n in answer.candidates] == [helped.candidate_id]
        assert names(answer.recommended) == ["tma"] and not answer.blocked and not answer.open
        archive.synced.rebuild()


def test_a_regime_decides_by_what_was_measured_in_it(bench, archive):
    root = bench.add(latency_us=10.0, technique=["plain"])
    bench.add(
        latency_us=12.0,
        parents=[root.candidate_id],
        technique=["persistent"],
        regime_latencies={"small": 5.0, "large": 40.0},
    )
    whole = search(archive, SearchRequest(definition="scale_n64"))
    small = search(archive, SearchRequest(definition="scale_n64", regime="small"))
    large = search(archive, SearchRequest(definition="scale_n64", regime="large"))
    assert names(whole.blocked) == names(large.blocked) == ["persistent"]
    assert "persistent" in names(small.recommended) and not small.blocked


def test_going_on_from_a_candidate_leaves_out_what_it_has_and_prefers_its_bottleneck(
    bench, archive
):
    launch = {"ncu.json": b'{"bottleneck": "launch"}'}
    memory = {"ncu.json": b'{"bottleneck": "memory_bandwidth"}'}
    slow = bench.add(latency_us=10.0, technique=["plain"], profiles=launch)
    wide = bench.add(latency_us=10.0, technique=["plain"], profiles=memory)
    bench.add(latency_us=8.0, parents=[slow.candidate_id], technique=["graph"])
    bench.add(latency_us=7.0, parents=[wide.candidate_id], technique=["tma"])
    best = bench.add(
        latency_us=6.0, parents=[wide.candidate_id], technique=["fuse"], profiles=launch
    )
    request = SearchRequest(definition="scale_n64")
    assert names(search(archive, request).recommended)[:2] == ["fuse", "tma"]
    onward = search(archive, replace(request, parent=best.candidate_id))
    assert names(onward.recommended)[:2] == ["graph", "tma"]


def test_words_are_ranked_and_any_of_them_counts(bench, archive):
    bench.add(hypothesis="Nothing of the kind.")
    one = bench.add(lesson="Registers spill at 128 rows.")
    both = bench.add(lesson="Registers spill; swizzled banks cure it.", technique=["swizzle"])
    answer = search(archive, SearchRequest(query="swizzling registers for unheard-of banks"))
    assert [n.candidate_id for n in answer.candidates] == [both.candidate_id, one.candidate_id]
    assert answer.total == 2


def test_a_word_that_most_candidates_have_says_nothing_beside_a_rare_one(bench, archive):
    for _ in range(21):
        bench.add(hypothesis="Cut traffic.")
    rare = bench.add(hypothesis="Cut traffic by multicast.")
    answer = search(archive, SearchRequest(query="traffic multicast"))
    assert [n.candidate_id for n in answer.candidates] == [rare.candidate_id]
    assert search(archive, SearchRequest(query="traffic")).total == 22


def test_words_find_candidates_of_similar_operators_apart(shared_bench, history):
    answer = search(shared_bench.archive, SearchRequest(definition="scale_n64", query="vectorise"))
    assert answer.total == 0 and not answer.candidates
    assert [n.candidate_id for n in answer.elsewhere] == [history["sibling"].candidate_id]
    assert names(answer.recommended) == ["vectorise"]


def test_an_operator_of_another_family_teaches_by_what_it_computes(bench, archive, definition):
    alike = definition.model_copy(update={"name": "other", "op_type": "another"})
    foreign = alike.model_copy(update={"name": "far", "inputs": {}, "outputs": {}, "axes": {}})
    for name, tag in (("other", "tma"), ("far", "bitonic")):
        root = bench.add(latency_us=10.0, definition=name, op_type=name, technique=["plain"])
        bench.add(
            latency_us=5.0,
            parents=[root.candidate_id],
            definition=name,
            op_type=name,
            technique=[tag],
        )
    known = {d.name: d for d in (definition, alike, foreign)}
    answer = search(archive, SearchRequest(definition=definition.name), (), known)
    assert "tma" in names(answer.recommended) and "bitonic" not in names(answer.recommended)


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
    found = search(archive, SearchRequest(query="bulk tiles"), [tmp_path / "skills"]).notes
    assert [(n.path, n.heading) for n in found] == [("hopper/SKILL.md", "TMA")]
    note.write_text("# Hopper\n\nNothing of the kind.\n")
    assert not search(archive, SearchRequest(query="bulk"), [tmp_path / "skills"]).notes


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


def test_where_nothing_is_found_the_names_that_exist_are_told(bench, archive):
    bench.add(technique=["split-k"], profiles={"ncu.json": b'{"bottleneck": "launch"}'})
    request = SearchRequest(technique="tma", bottleneck="memory_bandwidth", regime="huge")
    assert search(archive, request).unknown == (
        "No technique begins with 'tma': split-k.",
        "No bottleneck begins with 'memory_bandwidth': launch.",
        "No regime begins with 'huge': large, small.",
    )
    assert search(archive, SearchRequest(technique="split", status="failed")).unknown == ()
    bench.add(made_by=MadeBy(client="codex", model="gpt"))
    of_another = SearchRequest(definition="another", op_type="gdn")
    assert search(archive, of_another).unknown == ()
    for asked, said in (
        (SearchRequest(hardware="H20"), "No hardware is 'H20': H200."),
        (SearchRequest(hardware="NVIDIA H100"), "No hardware is 'NVIDIA H100': H200."),
        (SearchRequest(client="claud"), "No client begins with 'claud': codex."),
        (SearchRequest(model="opsu"), "No model begins with 'opsu': gpt."),
        (SearchRequest(op_type="gdm"), "No op_type is 'gdm': scale."),
    ):
        assert search(archive, asked).unknown == (said,)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("m 48-64", {"m 48-64", "m 64", "m 40-70"}),
        ("m 1", {"m 1", "m 1-4"}),
        ("m", {"m 1", "m 1-4", "m 16", "m 32-48", "m 48-64", "m 64", "m 40-70"}),
        ("n 48-64", {"n 64"}),
        ("m 4", {"m 40-70", "m 48-64", "m 1-4"}),
        ("none", set()),
    ],
)
def test_a_regime_means_those_that_are_much_the_same(asked, meant):
    known = ["m 1", "m 1-4", "m 16", "m 32-48", "m 48-64", "m 64", "m 40-70", "n 64"]
    assert set(regimes_meant(known, asked)) == meant
