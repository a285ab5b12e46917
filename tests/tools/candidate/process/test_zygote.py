"""What the zygote reads from the two processes between it and a candidate."""

from __future__ import annotations

import json
import os
import socket
import threading
import time

from kernel_harness.tools.candidate.process.zygote import Zygote, _Child


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
