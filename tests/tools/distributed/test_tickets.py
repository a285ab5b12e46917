"""Places in the line are in the order of coming, over all servers, and die with their processes."""

import os
import subprocess
import sys
import time

import pytest

from kernel_harness.tools.distributed import tickets
from kernel_harness.tools.distributed.tickets import FOLDER, Ticket, waiting_for

WAITS = """
import pathlib, sys
from kernel_harness.tools.distributed import device_lock
device_lock.MACHINE = pathlib.Path(sys.argv[1])
from kernel_harness.tools.distributed.tickets import Ticket
ticket = Ticket(["cuda:0"])
print("waits", flush=True)
sys.stdin.read()
"""


def test_who_came_first_is_ahead_and_what_it_would_take_is_told(shown):
    shown("GPU-a", "GPU-b")
    first, second = Ticket(["cuda:1"]), Ticket(["cuda:0", "cuda:1"])
    assert first.earlier() == {}
    assert list(second.earlier().values()) == [frozenset({"kernel-harness-GPU-b.lock"})]
    assert waiting_for(["cuda:0"]) == {second.number}
    assert waiting_for(["cuda:1"]) == {first.number, second.number}
    first.discard()
    assert second.earlier() == {} and waiting_for(["cuda:1"]) == {second.number}
    second.discard()
    second.discard()  # twice, as a cancelled use may
    assert waiting_for(["cuda:0"]) == set()


def test_the_processor_has_no_line_beyond_this_server(places):
    first, second = Ticket(["cpu"]), Ticket(["cpu"])
    assert first.number < second.number and second.earlier() == {}
    assert not (places / FOLDER).exists()


def test_one_whose_process_died_is_waited_for_no_more(places):
    command = [sys.executable, "-P", "-c", WAITS, str(places)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdin is not None
    assert other.stdout.readline() == b"waits\n"
    mine = Ticket(["cuda:0"])
    during = len(mine.earlier())
    other.kill()
    other.wait()
    other.stdin.close()
    other.stdout.close()
    assert (during, len(mine.earlier())) == (1, 0)
    assert [file.name for file in (places / FOLDER).iterdir()] == [mine.number]
    mine.discard()


def test_a_file_that_is_no_ticket_holds_nobody_up(places):
    mine = Ticket(["cuda:0"])
    (places / FOLDER / "0").write_bytes(b"\xff\x00")
    assert mine.earlier() == {}
    mine.discard()


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_a_clock_that_is_set_changes_no_place_and_keeps_no_stopped_one(places, monkeypatch, jump_s):
    """Set back, one that had been stopped held all others up for as long again."""
    first, second = Ticket(["cuda:0"]), Ticket(["cuda:0"])
    now = time.time() + jump_s
    monkeypatch.setattr(time, "time", lambda: now)
    assert first.number in second.earlier()
    monkeypatch.setattr(tickets, "STALE_S", 0.0)
    assert second.earlier() == {}
    first.discard()
    second.discard()


def test_one_that_was_stopped_holds_nobody_up_and_has_its_place_when_it_goes_on(places):
    first, second = Ticket(["cuda:0"]), Ticket(["cuda:0"])
    assert first.number in second.earlier()
    os.utime(places / FOLDER / first.number, (0, 0))  # its process has not looked for long
    assert second.earlier() == {}
    first.earlier()
    assert first.number in second.earlier()
    first.discard()
    second.discard()
