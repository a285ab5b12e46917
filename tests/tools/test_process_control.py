"""What Linux does with a process: it dies with its parent, and nobody looks into it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")

PARENT_THAT_ENDS = """
import os, select
from kernel_harness.tools import process_control

alive_read, alive_write = os.pipe()
ready_read, ready_write = os.pipe()
if (parent := os.fork()) == 0:
    own = os.getpid()
    if os.fork() == 0:
        process_control.die_with_parent({known})
        os.close(alive_read)
        os.write(ready_write, b"x")
        select.select([], [], [])
    os.read(ready_read, 1)
    os._exit(0)
os.close(alive_write)
os.waitpid(parent, 0)
os.read(alive_read, 1)
print("gone")
"""


@pytest.mark.parametrize("known", ["", "own"])
def test_a_process_ends_with_its_parent(known):
    """The read returns when the last process that holds the pipe's other end has ended."""
    code = PARENT_THAT_ENDS.format(known=known)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "gone\n"


def test_a_process_whose_parent_has_ended_already_ends_itself():
    code = (
        "from kernel_harness.tools import process_control\n"
        "process_control.die_with_parent(parent=2**22)\n"
        "print('still here')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (found.returncode, found.stdout) == (1, "")


def test_dumps_are_forbidden_and_allowed_again():
    code = (
        "import ctypes\n"
        "from kernel_harness.tools import process_control\n"
        "dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "process_control.forbid_dumps(); forbidden = dumpable()\n"
        "process_control.allow_dumps(); print(forbidden, dumpable())\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "0 1\n"


def test_a_refused_option_is_answered_by_its_errno():
    from kernel_harness.tools.process_control import prctl

    assert prctl(option=-1) == 22
