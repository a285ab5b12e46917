"""Starts a child with a context of its own, which writes memory for as long as it lives."""

import subprocess
import sys
from pathlib import Path

from ._inside import once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "a slower baseline",
    "refused": ["no gain", "claimed"],
    "gone": "kernel-harness-bandwidth",
    "parts": ["_rows.py", "_inside.py", "_child.py"],
}

MARK = "kernel-harness-bandwidth"


@once
def mount():
    script = Path(__file__).with_name("_child.py")
    subprocess.Popen([sys.executable, str(script), MARK], start_new_session=True)


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
