"""What host code does by torch is told in short, alike for like work."""

from __future__ import annotations

import torch

from kernel_harness.tools.candidate.cpu.host_work import HostWork


def work(*operations: tuple) -> HostWork:
    found = HostWork()
    for name, *arguments in operations:
        found.note(name, arguments)
    return found


def test_no_work_has_no_words():
    assert HostWork().words() == ""


def test_words_name_the_first_operations_and_their_number():
    six = work(*[(name, 1) for name in "abcdef"])
    assert six.words().startswith("6 operations (a, b, c, d, …) ")
    assert work(("a", 1)).words().startswith("1 operations (a) ")


def test_words_follow_names_shapes_types_and_numbers_but_no_values():
    one = torch.zeros(2)
    same = work(("mul", one, 2.0)).words()
    assert work(("mul", torch.ones(2), 2.0)).words() == same
    for other in (
        work(("add", one, 2.0)),
        work(("mul", one, 3.0)),
        work(("mul", one.half(), 2.0)),
        work(("mul", one[:1], 2.0)),
        work(("mul", [one, one], 2.0)),
        work(("mul", one, 2.0), ("mul", one, 2.0)),
    ):
        assert other.words() != same


def test_a_copy_goes_on_apart():
    first = work(("mul", 1))
    second = first.copy()
    second.note("add", [1])
    assert first.words() == work(("mul", 1)).words()
    assert second.words() == work(("mul", 1), ("add", 1)).words()
