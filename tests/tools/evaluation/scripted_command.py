"""The command that starts a scripted judge: a fork of a Python that has imported what it needs."""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
from pathlib import Path

from tests.warm_python import WarmPython

JUDGE = str(Path(__file__).with_name("scripted_judge.py"))
IMPORTED = ("kernel_harness.tools.messages.judge",)


@functools.cache
def scripted_judge() -> tuple[str, ...]:
    """The words of it. A fifth of a second of imports would be paid for each of hundreds."""
    if sys.platform != "linux":
        return sys.executable, "-P", JUDGE
    folder = Path(tempfile.mkdtemp(prefix="kernel-harness-judge-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    warm = WarmPython(folder, IMPORTED)
    atexit.register(warm.close)
    return str(warm.path), "-P", JUDGE
