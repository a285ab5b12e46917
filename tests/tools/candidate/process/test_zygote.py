"""What the zygote reads from the two processes between it and a candidate."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from kernel_harness.tools.candidate.process.zygote import Zygote, _Child
from kernel_harness.tools.confinement.process_tree import descendants, kill_all
from kernel_harness.tools.messages.zygote import Pause, Paused


def test_a_candidate_that_reports_before_its_supervisor_does_is_waited_for():
    ours, theirs = socket.socketpair()
    read, write = os.pipe()

    def report():
        os.write(write, json.dumps({"granted": [], "missing": []}).encode() + b"\n")
        time.sleep(0.05)
        os.write(write, json.dumps({"supervisor": 7}).encode() + b"\n")

    speaking = threading.Thread(target=report)
    speaking.start()
    said = Zygote(ours, interpret=False)._read_until(
        _Child(supervisor=7, report=read), {"supervisor", "granted"}, 30.0
    )
    speaking.join()
    assert said == {"granted": [], "missing": [], "supervisor": 7}
    for end in (ours, theirs):
        end.close()
    for descriptor in (read, write):
        os.close(descriptor)


def test_a_report_that_ends_early_is_told_as_far_as_it_came():
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    os.write(write, b'{"supervisor": 7}\nno report\n')
    os.close(write)
    zygote = Zygote(ours, interpret=False)
    assert zygote._read_until(_Child(7, read), {"supervisor", "granted"}, 30.0) == {"supervisor": 7}
    os.close(read)
    for end in (ours, theirs):
        end.close()


@pytest.mark.process
def test_what_a_supervisor_started_is_stopped_and_goes_on_and_the_supervisor_never_stops():
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", "cat"]
    with ours, theirs, subprocess.Popen(command, stdin=subprocess.PIPE) as supervisor:
        zygote = Zygote(ours, interpret=False)
        zygote._children[1] = _Child(supervisor.pid, report=-1)
        while not (started := descendants(supervisor.pid)):
            pass
        assert zygote._pause(Pause(stop=True, spared=[1])) == Paused(count=0)
        assert zygote._pause(Pause(stop=True)) == Paused(count=1)
        assert os.waitid(os.P_PID, supervisor.pid, os.WSTOPPED | os.WNOHANG) is None
        assert zygote._pause(Pause(stop=False)) == Paused(count=1)
        assert zygote._pause(Pause(stop=False)) == Paused(count=0)
        kill_all(started)
