"""The program under a profiler: builds a candidate, warms it up, calls it once in the range.

    python -m kernel_harness.tools.candidate.profiled.run FILE   a ProfileRun as JSON

It is started by a profiler, which `launch` has put under the candidate's account. The one
call is bracketed by cudaProfilerStart and cudaProfilerStop; building, loading inputs and warming
up lie outside. There is no reference and no expected output here.

What it cannot promise: that code under a profiler behaves as it does unprofiled, nor that what it
says of itself is true. No verdict and no latency comes from here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import process_control
from ...messages.candidate import BuildRequest, CandidateFault
from ...messages.profiler import (
    SCALARS,
    ProfileReply,
    ProfileRun,
    read_message,
    write_message,
)
from ...messages.zygote import FETCHED_FOLDER

if TYPE_CHECKING:
    from .call_trace import HostTimes


class _Run:
    """Carries out one request, remembering the stage that it has reached."""

    def __init__(self, request: ProfileRun) -> None:
        self._request = request
        self._stage = "build"
        self._seconds: dict[str, float] = {}
        self._host: HostTimes | None = None

    def carry_out(self) -> ProfileReply:
        """Builds, loads, warms up and calls; returns the candidate's fault, if any."""
        from ..faults import fault_of

        source_dir = Path(self._request.private_dir)
        try:
            fault = self._steps()
        except BaseException as error:
            fault = fault_of(error, source_dir)
        return ProfileReply(
            stage=self._stage,
            fault=fault,
            host_us=self._host.host_us if self._host else [],
            finished_us=self._host.finished_us if self._host else [],
            seconds={name: round(value, 4) for name, value in self._seconds.items()},
            **_device_facts(self._request.device),
        )

    def _steps(self) -> CandidateFault | None:
        import torch

        from ..compilation.builders import Folders, build

        private = Path(self._request.private_dir)
        folders = Folders(private, lambda key: private / FETCHED_FOLDER / key)
        order = _for_this_device(self._request)
        built, candidate = self._timed("build", lambda: build(order, folders))
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
        if self._request.mode == "timeline":
            from .call_trace import host_times

            self._host = host_times(call, call.wait, self._request.timed_calls)


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


def _for_this_device(request: ProfileRun) -> BuildRequest:
    """The build request with the device's own architecture, unless one was asked for."""
    if request.device == "cpu" or request.build.cuda_arch is not None:
        return request.build
    import torch

    major, minor = torch.cuda.get_device_capability(request.device)
    arch = f"{major}{minor}{'a' if major >= 9 else ''}"
    return request.build.model_copy(update={"cuda_arch": arch})


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
        scalars = SCALARS.validate_json(metadata.pop("scalars", "{}"))
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
    """Makes the one call that is profiled."""
    if request.mode == "timeline" and request.trace_file:
        from .call_trace import write_trace

        on_device = request.device != "cpu"
        write_trace(call, call.wait, request.trace_file, on_device=on_device)
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
    """Carries out the request in the named file; 3 when the candidate failed."""
    process_control.die_with_parent()
    request = read_message(ProfileRun, Path(arguments[0]))
    answer = _Run(request).carry_out()
    write_message(answer, Path(request.answer_file))
    return 0 if answer.fault is None else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
