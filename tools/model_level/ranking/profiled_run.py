"""Runs a Python program, and profiles some of its steps; started by name.

    python -m …ranking.profiled_run OUT STEP WARMUP STEPS PROGRAM [ARGUMENTS]

OUT is a file for what was seen. STEP is a function's name or empty. PROGRAM is a file, or `-m` and
a module. The program is run to its end, and its exit status is ours. After WARMUP steps STEPS are
timed as they are, so that a profiler's cost is in none of them, and as many more are profiled.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.profiler import ProfilerActivity, profile, record_function

from ...collecting.adapters.table import ADAPTERS
from ...errors import HarnessError
from ...process_control import die_with_parent
from ..program import FAILED, run_as_main
from ..steps import watch_steps
from .attribution import MARK, Attribution, Key, OperatorTime, ProfiledEvent, attribute
from .device_rates import measured_rates
from .observations import Observed, ObservedOperator, ObservedShapes, torch_function
from .regions import CodeRegion, RegionTracker

STEP = "kernel_harness_step"
"""Name of the range of a step; what is outside of all belongs to none."""

LOG_LEVEL, NO_LOG = "KINETO_LOG_LEVEL", "6"
"""Above the level of lines that tell that a profiler was started."""
ADAPTED = {adapter.target for adapter in ADAPTERS}
"""Functions whose calls are recorded without code of their own."""
ATTENTION = "aten::scaled_dot_product_attention"


class StepProfiler:
    """Lets steps warm up, times some, and profiles some more.

    Args:
        warmup: steps that are left alone.
        steps: that are timed, and then as many that are profiled.
    """

    def __init__(self, warmup: int, steps: int) -> None:
        self.tracker = RegionTracker(_range)
        self.events: list[ProfiledEvent] = []
        self.step_us: list[float] = []
        self.host_us: list[float] = []
        self.made = self.profiled = 0
        self.root: str | None = None
        self._warmup, self._steps = warmup, steps
        self._began = 0.0
        self._profile: Any = None
        self._range: Any = None

    def begin(self, root: torch.nn.Module | None) -> None:
        """Begins to time or to profile, where the step is one of those."""
        if self.root is None and root is not None:
            self.root = f"{type(root).__module__}.{type(root).__qualname__}"
        if self._profiles:
            if self._profile is None:
                activities = [ProfilerActivity.CPU]
                if torch.cuda.is_available():
                    activities.append(ProfilerActivity.CUDA)
                self._profile = _started(activities)
            _synchronize()
            self._range = record_function(STEP)
            self._range.__enter__()
            self.tracker.start(root)
        elif self.made >= self._warmup:
            _synchronize()
            self._began = time.perf_counter()

    def end(self, result: Any) -> None:
        """Notes a step that ended."""
        if self._profiles:
            self.tracker.stop()
            _synchronize()
            self._range.__exit__(None, None, None)
            self.profiled += 1
            if self.profiled == self._steps:
                self.finish()
        elif self._warmup <= self.made < self._warmup + self._steps:
            returned = time.perf_counter()
            _synchronize()
            self.step_us.append((time.perf_counter() - self._began) * 1e6)
            self.host_us.append((returned - self._began) * 1e6)
        self.made += 1

    def finish(self) -> None:
        """Reads what the profiler has, once."""
        if self._profile is not None:
            self._profile.stop()
            self.events = events_of(self._profile.events())
            self._profile = None

    @property
    def _profiles(self) -> bool:
        begun = self.made >= self._warmup + self._steps
        return begun and self.profiled < self._steps


def _started(activities: Sequence[ProfilerActivity]) -> Any:
    """A profiler that was started, and writes nothing to the program's standard error."""
    # It warns that events of earlier cycles are lost, of which there are none.
    made = profile(activities=activities, record_shapes=True, with_flops=True, acc_events=True)
    variables = os.environ  # noqa: TID251 - of this process, in which the library logs
    level = variables.get(LOG_LEVEL)
    variables[LOG_LEVEL] = level or NO_LOG
    try:
        made.start()
    finally:
        if level is None:
            del variables[LOG_LEVEL]
    return made


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _range(region: int, shapes: int) -> Callable[[], None]:
    """Opens a range of the profiler's; what it returns closes it."""
    opened = record_function(f"{MARK}{region}.{shapes}")
    opened.__enter__()
    return lambda: opened.__exit__(None, None, None)


def events_of(found: Any) -> list[ProfiledEvent]:
    """The profiler's events of steps on the host, with the kernels of each, parents first."""
    on_gpu = torch.cuda.is_initialized()
    host = [e for e in found or () if e.device_type.name == "CPU"]
    steps = [e.time_range for e in host if e.name == STEP]
    host = [
        event
        for event in host
        if not event.is_async
        and event.name != STEP
        and any(step.start <= event.time_range.start <= step.end for step in steps)
    ]
    host.sort(key=lambda e: (e.thread, e.time_range.start, -e.time_range.end, e.id))
    positions = {id(event): n for n, event in enumerate(host)}
    events: list[ProfiledEvent] = []
    for event in host:
        # A range that was marked has a shadow on the device, as long as all its kernels together.
        kernels = [k for k in event.kernels if k.name != event.name] if on_gpu else []
        events.append(
            ProfiledEvent(
                event.name,
                positions.get(id(event.cpu_parent)),
                event.self_cpu_time_total,
                sum(kernel.duration for kernel in kernels) if on_gpu else None,
                len(kernels),
                event.flops or _attention_flops(event),
                str([shape for shape in event.input_shapes or () if shape]),
            )
        )
    return events


def _attention_flops(event: Any) -> int:
    """Operations of a causal attention's products, which the profiler does not count."""
    if event.name != ATTENTION or len(event.input_shapes) < 2:
        return 0
    queries, keys = event.input_shapes[:2]
    return 2 * math.prod(queries) * keys[-2]


# --- what was seen ------------------------------------------------------------------------------


def observed(profiler: StepProfiler, step: str | None) -> Observed:
    """What a profiler saw, as it goes to the process that ranks."""
    regions = profiler.tracker.regions
    found = attribute(profiler.events, {n: r.is_module for n, r in enumerate(regions)})
    on_gpu = torch.cuda.is_initialized()
    return Observed(
        step or profiler.root or "",
        tuple(profiler.step_us),
        tuple(profiler.host_us),
        profiler.made,
        profiler.profiled,
        torch.cuda.get_device_name().removeprefix("NVIDIA ") if on_gpu else None,
        torch.cuda.get_device_properties().multi_processor_count if on_gpu else None,
        measured_rates("cuda" if on_gpu else "cpu"),
        (*_of_regions(found.regions, regions), *_of_torch(found, regions)),
        tuple(_of_regions(found.blocks, regions)),
    )


def _of_regions(
    table: dict[Key, OperatorTime], regions: Sequence[CodeRegion]
) -> list[ObservedOperator]:
    by_region: dict[int, list[ObservedShapes]] = {}
    for (number, at), spent in table.items():
        region = regions[number]
        seen = region.shapes[at]
        moved = seen.read_bytes + region.parameter_bytes + seen.written_bytes
        if spent.gathers:
            # Of what is gathered from, only the part that is read counts: as much as is written.
            moved = 2 * seen.written_bytes
        by_region.setdefault(number, []).append(
            ObservedShapes(
                seen.shapes,
                spent.calls,
                spent.time_us,
                spent.host_us,
                spent.launches,
                moved * spent.calls,
                spent.flops,
            )
        )
    return [
        ObservedOperator(
            regions[number].name,
            "module" if regions[number].is_module else "function",
            tuple(regions[number].paths),
            regions[number].dtypes,
            regions[number].parameters,
            regions[number].extractable,
            tuple(calls),
        )
        for number, calls in by_region.items()
    ]


def _of_torch(found: Attribution, regions: Sequence[CodeRegion]) -> list[ObservedOperator]:
    by_name: dict[tuple[int | None, str], list[ObservedShapes]] = {}
    for (number, name, shapes), spent in found.others.items():
        found_in = {} if number is None else regions[number].dtypes
        by_name.setdefault((number, name), []).append(
            ObservedShapes(
                shapes,
                spent.calls,
                spent.time_us,
                spent.host_us,
                spent.launches,
                0 if spent.gathers else _bytes_read(shapes, found_in) * spent.calls,
                spent.flops,
            )
        )
    return [
        ObservedOperator(
            name,
            "torch",
            () if number is None else (regions[number].name,),
            {},
            (),
            torch_function(name) in ADAPTED,
            tuple(calls),
        )
        for (number, name), calls in by_name.items()
    ]


def _bytes_read(shapes: str, dtypes: Mapping[str, str]) -> int:
    """Bytes of the inputs of an operator of torch's, in the narrowest type around it."""
    sizes = [getattr(torch, name).itemsize for name in dtypes.values() if "float" in name]
    elements = sum(math.prod(shape) for shape in json.loads(shapes))
    return elements * min(sizes, default=2)


def main(arguments: list[str]) -> int:
    """Runs the program and writes what was seen; returns the exit status."""
    die_with_parent()
    out, step, warmup, steps, *program = arguments
    profiler = StepProfiler(int(warmup), int(steps))
    try:
        status = run_as_main(program, lambda: watch_steps(step or None, profiler))
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    finally:
        profiler.finish()
    if status == 0:
        seen = TypeAdapter(Observed).dump_json(observed(profiler, step or None))
        Path(out).write_bytes(seen)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
