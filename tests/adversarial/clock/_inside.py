"""What attacks find in the process that they run in. Nothing happens when it is imported."""

import dataclasses
import functools
import gc
import os
import sys
import threading
import time
from typing import Any

import torch


def module(name) -> Any:
    """A module of the harness, as 'candidate.calls.cuda_clock'."""
    return sys.modules[f"kernel_harness.tools.{name}"]


def living(kind):
    """The objects of a class."""
    return [found for found in gc.get_objects() if type(found) is kind]


def capturing():
    """Whether the call is being recorded."""
    return torch.cuda.is_current_stream_capturing()


def once(mount):
    """Has an attack mounted at the first call only; where it cannot be, the log says so."""

    @functools.cache
    def mounted():
        try:
            mount()
        except Exception as error:
            print(f"not mounted: {type(error).__name__}: {error}")  # noqa: T201 - into its log

    return mounted


def halve_spans():
    """Has the process's own clock tell half of each span."""
    clock = module("candidate.calls.cuda_clock").DeviceClock
    honest = clock._timing

    def shorter(self, *arguments):
        timing = honest(self, *arguments)
        return dataclasses.replace(timing, span_ns=(timing.span_ns or 0) // 2)

    clock._timing = shorter


def forge_nodes(change):
    """Has each node of a plan changed on its way to the judge."""
    recorded = module("candidate.process.recorded")
    honest = recorded.write_plan

    def forged(built):
        plan = built.plan.model_copy(update={"nodes": [change(node) for node in built.plan.nodes]})
        return honest(dataclasses.replace(built, plan=plan))

    recorded.write_plan = forged


def sockets():
    """Descriptors of this process's sockets."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            continue
    return found


class WhenIdle:
    """Has a thread do something again and again while no call is made."""

    def __init__(self, work, quiet_s=0.03):
        self._work, self._quiet_s = work, quiet_s
        self._last = time.monotonic()
        threading.Thread(target=self._loop, daemon=True).start()

    def called(self):
        """Notes a call, which the thread leaves alone."""
        self._last = time.monotonic()

    def _loop(self):
        while True:
            if time.monotonic() - self._last > self._quiet_s:
                self._work()
            else:
                time.sleep(0.005)
