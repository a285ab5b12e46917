"""A promotion says which peers were beaten on the device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_harness.tools.archive.promotion.peer_times import PeerTime, peer_times, peers_beaten
from kernel_harness.tools.schema.measurement import TimeSource

from ....judging import make_solution

SOURCES = {name: f"def run(x, y):\n    y.copy_(x * 2)  # {name}\n" for name in "abc"}


@pytest.fixture
def peers():
    """Three peers whose sources are those of the trials below."""
    return {
        name: make_solution(source, definition="scale_n64", language="triton")
        for name, source in SOURCES.items()
    }


def test_the_newest_sealed_latency_of_the_device_counts_and_the_rest_is_missing(bench, peers):
    sealed = {"clock": TimeSource.SEALED}
    bench.add(SOURCES["a"], latency_us=9.0, **sealed)
    node = bench.add(SOURCES["a"], latency_us=8.0, **sealed)
    bench.add(SOURCES["a"], latency_us=1.0)
    claimed = bench.add(SOURCES["b"], latency_us=4.0)
    elsewhere = bench.add(SOURCES["c"], latency_us=4.0)
    nodes = [
        replace(n, hardware="B200") if n.candidate_id == elsewhere.candidate_id else n
        for n in bench.archive.iter("scale_n64")
    ]
    assert peer_times(peers, nodes, node.hardware) == [
        PeerTime("a", node.latency_us, sealed=True),
        PeerTime("b", claimed.latency_us, sealed=False),
        PeerTime("c"),
    ]


def test_a_peer_for_other_devices_is_not_one_to_beat(peers):
    for name, hardware in (("a", ["sm_100"]), ("b", ["H200"])):
        spec = peers[name].spec.model_copy(update={"target_hardware": hardware})
        peers[name] = peers[name].model_copy(update={"spec": spec})
    assert peer_times(peers, [], "NVIDIA H200") == [PeerTime("b"), PeerTime("c")]
    assert peer_times(peers, [], "NVIDIA B200") == [PeerTime("a"), PeerTime("c")]


def test_what_is_beaten_what_is_not_and_what_was_not_timed_are_said(bench):
    node = bench.add(latency_us=4.0, clock=TimeSource.SEALED)
    record = bench.archive.get(node.candidate_id).evaluation
    assert record.totals.mean_latency_us == pytest.approx(6.0)
    times = [PeerTime("a", 9.0, sealed=True), PeerTime("b", 4.0), PeerTime("c")]
    (found,) = peers_beaten(times, [record, record])
    assert found.words == (
        "beats 1 of 3 peers: a 9 us (1.5 times, sealed); "
        "slower than b 4 us (0.667 times, claimed); not timed here: c"
    )
    assert peers_beaten([], [record]) == [] == peers_beaten(times, [])
    assert not found.passed and not found.applied and found.number == 1
