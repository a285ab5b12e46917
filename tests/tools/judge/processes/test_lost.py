"""How a process ended, in words."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.processes.lost import describe_exit


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "code 0"),
        (7, "code 7"),
        (-11, "SIGSEGV"),
        (-9, "SIGKILL"),
        (None, "vanished"),
        (-99, "99"),
    ],
)
def test_the_end_of_a_process_has_a_name(status, words):
    assert words in describe_exit(status)
