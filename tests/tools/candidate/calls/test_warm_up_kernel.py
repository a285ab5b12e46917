"""Triton is warmed up without a device, and without a trace."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import os, sys, threading
from kernel_harness.tools.candidate.calls.warm_up_kernel import compile_alone
import torch
for kept in (None, sys.argv[1]):
    if kept is not None:
        os.environ["TRITON_CACHE_DIR"] = kept
    threads = set(os.listdir("/proc/self/task"))
    assert compile_alone()[:4] == b"\\x7fELF"
    assert os.environ.get("TRITON_CACHE_DIR") == kept
    assert set(os.listdir("/proc/self/task")) == threads, "a fork would lack its threads"
assert not torch.cuda.is_initialized()
print("compiled")
"""


def test_a_kernel_is_compiled_without_a_device_a_thread_or_a_file(tmp_path):
    cache, places = tmp_path / "cache", tmp_path / "places"
    places.mkdir()
    environment = {**os.environ, "TMPDIR": str(places), "HOME": str(tmp_path)}  # noqa: TID251
    environment.pop("TRITON_CACHE_DIR", None)
    command = [sys.executable, "-c", SCRIPT, str(cache)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.stdout == "compiled\n", ran.stderr[-2000:]
    assert not cache.exists() and not [*places.iterdir()]
    assert not (tmp_path / ".triton").exists()
