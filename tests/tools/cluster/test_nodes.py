"""Nodes are used together where what makes times is the same; the others are told why not."""

from dataclasses import replace

import pytest

from kernel_harness.tools.cluster.nodes import NodeFacts, chosen_nodes

VERSIONS = {"kernel-harness": "1", "torch": "2.11", "triton": "3.6", "driver": "580.1"}
CLOCKS = {"sm": 1980, "memory": 3201}
ONE = NodeFacts("a", "host", "NVIDIA H200", VERSIONS, CLOCKS)


def others(*changed: NodeFacts) -> list[NodeFacts]:
    """Two that are alike, and some that are not."""
    return [ONE, *changed, replace(ONE, judge="z")]


def test_nodes_that_are_alike_are_used_and_no_others_are_refused():
    choice = chosen_nodes(others(), "1")
    assert [one.judge for one in choice.used] == ["a", "z"] and choice.refused == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"versions": VERSIONS | {"torch": "2.10"}}, "torch is 2.10, not 2.11"),
        ({"versions": VERSIONS | {"driver": "550.1"}}, "driver is 550.1, not 580.1"),
        ({"versions": VERSIONS | {"kernel-harness": "2"}}, "kernel-harness is 2, not 1"),
        ({"versions": {}}, "kernel-harness is missing, not 1"),
        ({"clocks": {"sm": 1500}}, "clocks are sm 1500, not memory 3201, sm 1980 MHz"),
        ({"clocks": {}}, "clocks are unknown, not"),
        ({"device": "NVIDIA H100"}, "device is NVIDIA H100, not NVIDIA H200"),
    ],
)
def test_a_node_that_differs_is_refused_with_the_reason(changes, words):
    choice = chosen_nodes(others(replace(ONE, judge="odd", **changes)), "1")
    assert [one.judge for one in choice.used] == ["a", "z"]
    assert words in choice.refused["odd"]


def test_the_most_that_are_alike_are_used_whichever_was_found_first():
    odd = replace(ONE, judge="odd", versions=VERSIONS | {"torch": "2.10"})
    choice = chosen_nodes([odd, *others()], "1")
    assert [one.judge for one in choice.used] == ["a", "z"]
    assert "torch is 2.10" in choice.refused["odd"]


def test_a_model_that_is_asked_for_is_the_one_that_is_used():
    rare = replace(ONE, judge="rare", device="NVIDIA H100")
    choice = chosen_nodes(others(rare), "1", "h100")
    assert [one.judge for one in choice.used] == ["rare"]
    assert "h100 is asked for" in choice.refused["a"]
    assert chosen_nodes([], "1").used == ()
