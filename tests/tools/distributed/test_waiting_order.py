"""Who is the next for a device: clients take turns, and nobody is held up by what it cannot use."""

from __future__ import annotations

import pytest

from kernel_harness.tools.distributed.waiting_order import (
    Waiting,
    earlier_than,
    expected_wait_s,
    in_line,
    offered,
)

BOTH = ("cuda:0", "cuda:1")


def waiting(*spelt: str) -> list[Waiting]:
    """Uses in the order of their coming, each as its client and, after a slash, its device."""
    found = []
    for number, text in enumerate(spelt):
        client, _, device = text.partition("/")
        devices = (device,) if device else BOTH
        found.append(Waiting(client, devices, number, f"{client}{number}"))
    return found


def test_each_client_is_in_the_line_once_for_each_choice_of_devices():
    line = in_line(waiting("a", "a", "b", "a/cuda:0", "b", "a/cuda:0"))
    assert [one.what for one in line] == ["a0", "b2", "a3"]


def test_a_device_goes_to_the_first_that_would_take_it():
    assert offered(BOTH, []) == list(BOTH)
    assert offered(BOTH, [("cuda:0",)]) == ["cuda:1"]
    assert offered(("cuda:0",), [BOTH]) == []


@pytest.mark.parametrize(
    ("which", "names"),
    [
        (0, []),
        (3, ["a0"]),  # a client that came last with its first is behind the first of another
        (1, ["a0", "b3"]),
        (2, ["a0", "b3", "a1"]),
    ],
)
def test_what_is_ahead_is_told_in_the_order_of_the_turns(which, names):
    every = waiting("a", "a", "a", "b")
    assert [one.what for one in earlier_than(every[which], every)] == names


def test_what_waits_for_another_device_is_not_ahead():
    every = waiting("a/cuda:1", "b/cuda:0")
    assert earlier_than(every[1], every) == []


@pytest.mark.parametrize(
    ("ahead", "devices", "busy", "seconds"),
    [
        (0, 1, [], 0.0),
        (0, 1, [4.0], 6.0),
        (0, 1, [40.0], 0.0),  # it takes longer than usual: nobody knows
        (1, 1, [4.0], 16.0),
        (0, 2, [4.0, 9.0], 1.0),
        (2, 2, [4.0, 9.0], 11.0),
        (3, 2, [4.0, 9.0], 16.0),
        (1, 2, [4.0], 6.0),  # a free device takes the one ahead
    ],
)
def test_the_expected_wait_is_counted_out(ahead, devices, busy, seconds):
    assert expected_wait_s(ahead, devices, 10.0, busy) == pytest.approx(seconds)
