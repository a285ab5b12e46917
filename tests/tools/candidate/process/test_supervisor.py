"""How what a candidate started is found."""

from __future__ import annotations

import os
import subprocess
import sys

from kernel_harness.tools.confinement.process_tree import descendants


def test_descendants_are_found_through_generations():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True); {code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stdin is not None
    child.stdout.readline()
    below: list[int] = []
    while not below and child.poll() is None:
        below = descendants(child.pid)
    assert len(below) == 1
    assert {child.pid, *below} <= set(descendants(os.getpid()))
    child.stdin.write(b"\n")
    child.stdin.close()
    child.wait(20)
    child.stdout.close()
