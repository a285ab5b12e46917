"""Runs a candidate under a profiler: the launcher outside it, and the run inside it.

    python -m kernel_harness.tools.candidate.profile_run --launch FILE     enters the sandbox, then
                                                                           becomes the profiler
    python -m kernel_harness.tools.candidate.profile_run --request FILE    is what the profiler runs

The profiler itself runs under the candidate's account, so that nothing of the candidate's, not
even what it does to its own profiler, has the server's rights. The run brackets one call with
cudaProfilerStart and cudaProfilerStop; building, loading and warming up lie outside.

What it cannot promise: that the code under the profiler behaves as it does unprofiled, nor that
what it says of itself is true. No verdict and no latency comes from here.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..wire import CandidateFault, Spawn
from ..wire_profile import (
    CALL_MARK,
    LaunchOutcome,
    ProfileAnswer,
    ProfileLaunch,
    ProfileRun,
    read_message,
    write_message,
)
from . import kernel_calls, sandbox

SKIPPED_STEPS = ("net", "ipc", "uts", "mount", "pid", "landlock", "seccomp")
"""Steps that stand between a profiler and its target: it attaches by preloading and loopback."""
MAX_PROCESSES = 4096
_CAP_SYS_ADMIN = 21
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


# --- launcher ---------------------------------------------------------------------------------


def launch(message: ProfileLaunch) -> None:
    """Enters the sandbox and becomes the profiler's command; returns only by raising."""
    private = Path(message.private_dir)
    granted_network = _own_network()
    if message.keep_counters:
        kernel_calls.prctl(_PR_SET_KEEPCAPS, 1)
    environment = dict(message.environment)
    skipped = [*SKIPPED_STEPS, *(() if _importable_by_others() else ("uid",))]
    spawn = Spawn(
        private_dir=str(private),
        environment=environment | {sandbox.SKIP_VARIABLE: ",".join(skipped)},
        max_processes=MAX_PROCESSES,
        cuda=message.cuda,
    )
    outcome = sandbox.enter(spawn, dict(spawn.environment), own_processes=False)
    granted = [*outcome.granted, *(("net",) if granted_network else ())]
    missing = [step for step in outcome.missing if step not in granted]
    if message.keep_counters and os.geteuid() != 0:
        kept = _keep_sys_admin()
        missing.append("capabilities: CAP_SYS_ADMIN kept for counters" if kept else "counters")
    write_message(LaunchOutcome(granted=granted, missing=missing), Path(message.outcome_file))
    os.chdir(private)
    sys.stdout.flush()
    os.execvpe(message.command[0], message.command, environment)


def _importable_by_others() -> bool:
    """Whether another account can read this package and the interpreter's own packages."""
    package = Path(__file__).resolve().parent
    folders = {package, *package.parents}
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


def _own_network() -> bool:
    """Leaves the machine's network for one that has only its own loopback, where that is allowed."""
    if os.geteuid() != 0 or kernel_calls.unshare(kernel_calls.CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        flags = struct.unpack("16sH14s", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags, b""))
    return True


def _keep_sys_admin() -> bool:
    """Reduces what is left of root's capabilities to CAP_SYS_ADMIN, and lets exec keep it."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    only = 1 << _CAP_SYS_ADMIN
    sets = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        return False
    arguments = [ctypes.c_ulong(n) for n in (_PR_CAP_AMBIENT_RAISE, _CAP_SYS_ADMIN, 0, 0)]
    return libc.prctl(ctypes.c_int(_PR_CAP_AMBIENT), *arguments) == 0


# --- the run ----------------------------------------------------------------------------------


class _Run:
    """Carries out one request, remembering the stage that it has reached."""

    def __init__(self, request: ProfileRun) -> None:
        self._request = request
        self._stage = "build"
        self._seconds: dict[str, float] = {}
        self._host_us: list[float] = []
        self._finished_us: list[float] = []

    def carry_out(self) -> ProfileAnswer:
        """Runs to the end or to the candidate's fault."""
        from .faults import fault_of

        source_dir = Path(self._request.private_dir)
        try:
            fault = self._steps()
        except BaseException as error:
            fault = fault_of(error, source_dir)
        return ProfileAnswer(
            stage=self._stage,
            fault=fault,
            host_us=self._host_us,
            finished_us=self._finished_us,
            seconds={name: round(value, 4) for name, value in self._seconds.items()},
            **_device_facts(self._request.device),
        )

    def _steps(self) -> CandidateFault | None:
        import torch

        from .build import Folders, build

        folders = Folders(
            Path(self._request.private_dir),
            Path(self._request.cache_dir) if self._request.cache_dir else None,
        )
        built, candidate = self._timed("build", lambda: build(self._request.build, folders))
        if candidate is None:
            return built.fault
        inputs = self._timed("inputs", lambda: load_inputs(self._request))
        arguments = [inputs[name] for name in self._request.input_order]
        if self._request.build.destination_passing_style:
            arguments += _outputs(self._request)
        call = _Call(candidate.function, arguments, self._request.device)
        with torch.no_grad():
            self._timed("warm_up", lambda: self._warm_up(call))
            self._timed("call", lambda: _profiled(call, self._request))
        self._stage = "done"
        return None

    def _timed(self, stage: str, act: Callable[[], Any]) -> Any:
        self._stage = stage
        begin = time.perf_counter()
        try:
            return act()
        finally:
            self._seconds[stage] = time.perf_counter() - begin

    def _warm_up(self, call: _Call) -> None:
        for _ in range(self._request.warm_calls):
            call()
        call.wait()
        if self._request.mode != "timeline":
            return
        for _ in range(self._request.timed_calls):
            begin = time.perf_counter_ns()
            call()
            returned = time.perf_counter_ns()
            call.wait()
            finished = time.perf_counter_ns()
            self._host_us.append((returned - begin) / 1e3)
            self._finished_us.append((finished - begin) / 1e3)


class _Call:
    """One call of the candidate with fixed arguments."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Any], device: str) -> None:
        self._function = function
        self._arguments = arguments
        self._on_device = device != "cpu"
        self._kept: Any = None

    def __call__(self) -> None:
        """Calls it; the result is held, so that freeing it is not part of the call."""
        self._kept = self._function(*self._arguments)

    def wait(self) -> None:
        """Waits for the device."""
        if self._on_device:
            import torch

            torch.cuda.synchronize()


def load_inputs(request: ProfileRun) -> dict[str, Any]:
    """Loads tensors onto the device, and scalars from the file's metadata.

    The metadata holds one JSON object under 'scalars', or one JSON value under each scalar's name.

    Raises:
        KeyError: when an input is neither.
    """
    from safetensors import safe_open

    values: dict[str, Any] = {}
    with safe_open(request.inputs_file, framework="pt", device=request.device) as file:
        metadata = dict(file.metadata() or {})
        scalars = json.loads(metadata.pop("scalars", "{}"))
        names = set(file.keys())
        for name in request.input_order:
            if name in names:
                values[name] = file.get_tensor(name)
            elif name in scalars:
                values[name] = scalars[name]
            else:
                values[name] = json.loads(metadata[name])
    return values


def _outputs(request: ProfileRun) -> list[Any]:
    import torch

    return [
        torch.empty(spec.shape, dtype=getattr(torch, spec.dtype), device=request.device)
        for spec in request.outputs
    ]


def _profiled(call: _Call, request: ProfileRun) -> None:
    """The one call that is looked at."""
    if request.mode == "timeline":
        _timeline(call, request)
    elif request.device == "cpu" or request.mode == "sanitizer":
        call()
        call.wait()
    else:
        import torch

        torch.cuda.profiler.start()
        try:
            call()
            call.wait()
        finally:
            torch.cuda.profiler.stop()


def _timeline(call: _Call, request: ProfileRun) -> None:
    import torch

    activities = [torch.profiler.ProfilerActivity.CPU]
    if request.device != "cpu":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        call()
        call.wait()
        with torch.profiler.record_function(CALL_MARK):
            call()
        call.wait()
    if request.trace_file:
        profiler.export_chrome_trace(request.trace_file)


def _device_facts(device: str) -> dict[str, Any]:
    import torch

    if device == "cpu" or not torch.cuda.is_initialized():
        return {}
    try:
        properties = torch.cuda.get_device_properties(device)
    except (RuntimeError, AssertionError):
        return {}
    return {
        "device_name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "sm_count": properties.multi_processor_count,
    }


def main(arguments: list[str]) -> int:
    """Launches a profiler, or runs what it profiles."""
    parser = argparse.ArgumentParser(prog="kernel_harness.tools.candidate.profile_run")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--launch", type=Path, help="a ProfileLaunch as JSON")
    what.add_argument("--request", type=Path, help="a ProfileRun as JSON")
    options = parser.parse_args(arguments)
    if options.launch is not None:
        launch(read_message(ProfileLaunch, options.launch))
        return 1
    kernel_calls.die_with_parent()
    request = read_message(ProfileRun, options.request)
    answer = _Run(request).carry_out()
    write_message(answer, Path(request.answer_file))
    return 0 if answer.fault is None else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
