"""Streams and waits keep every edge of a plan."""

from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.messages.launch_plan import Edge
from kernel_harness.tools.runner.streams import Placed, ends, place


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    count = draw(st.integers(1, 12))
    pairs = draw(st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))))
    return count, [
        Edge(before=a, after=b, programmatic=draw(st.booleans())) for a, b in pairs if a < b
    ]


def done_before(placed: list[Placed]) -> list[set[int]]:
    """For each node, those that have ended when it begins: a launch waits for all of its stream,
    a programmatic one for what its predecessor waited for, an event for all that was before it."""
    ended: list[set[int]] = []
    so_far: dict[int, list[int]] = {}
    upto: list[set[int]] = []
    for number, where in enumerate(placed):
        earlier = so_far.setdefault(where.stream, [])
        known: set[int] = set()
        if earlier:
            known |= ended[earlier[-1]] if where.programmatic else upto[earlier[-1]]
        for other in where.waits:
            known |= upto[other]
        ended.append(known)
        before = upto[earlier[-1]] if earlier else set()
        upto.append(before | known | {number})
        earlier.append(number)
    return ended


@given(graphs())
def test_every_edge_holds(graph):
    count, edges = graph
    placed = place(count, edges)
    ended = done_before(placed)
    for edge in edges:
        if not edge.programmatic:
            assert edge.before in ended[edge.after]


@given(graphs())
def test_what_is_waited_for_is_recorded_and_the_first_stream_comes_first(graph):
    count, edges = graph
    placed = place(count, edges)
    assert placed[0].stream == 0
    assert {n for p in placed for n in p.waits} == {n for n, p in enumerate(placed) if p.recorded}
    assert set(ends(placed)) == {p.stream for p in placed} - {0}


def test_a_chain_stays_on_one_stream_and_keeps_programmatic_launches():
    edges = [Edge(before=0, after=1, programmatic=True), Edge(before=1, after=2)]
    placed = place(3, edges)
    assert [p.stream for p in placed] == [0, 0, 0]
    assert [p.programmatic for p in placed] == [False, True, False]


def test_branches_that_wait_for_nothing_run_beside_each_other():
    placed = place(3, [Edge(before=0, after=2), Edge(before=1, after=2)])
    assert len({placed[0].stream, placed[1].stream}) == 2
    assert len(placed[2].waits) == 1


def test_a_kernel_that_must_see_another_one_end_is_not_launched_early():
    edges = [Edge(before=0, after=2), Edge(before=1, after=2, programmatic=True)]
    assert not place(3, edges)[2].programmatic
