"""The program under a profiler: replays recorded calls, each once inside the profiler's range.

    python -m kernel_harness.tools.runner.profiled.run FILE...   each a ReplayRun as JSON

No torch and no host code of a candidate is loaded, which spares the profiler most of its time. The
device code is the candidate's; so is what it does to this process's memory. No verdict and no
latency comes from here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ... import process_control
from ...driver import library
from ...driver.library import Driver
from ...errors import HarnessError
from ...messages.frames import EXCERPT_CHARACTERS
from ...messages.launch_plan import split_blobs
from ...messages.profiler import ReplayReply, ReplayRun, read_message, write_message
from ...text import printable
from ..loaded_plan import LoadedPlan
from ..memory import RunnerMemory

WARM_REPLAYS = 2
POISON = 0xFF
PART_BYTES = 64 << 20
FAILED = 3


class ProfiledReplays:
    """Replays plans in this process's context, on memory of its own.

    Args:
        driver: libcuda.
        device_index: the device to take.
        arena_bytes: what inputs and outputs of every plan lie in.

    Raises:
        HarnessError: when there is no context, or its addresses are not to be had.
    """

    def __init__(self, driver: Driver, device_index: int, arena_bytes: int) -> None:
        self._driver = driver
        library.start(driver, device_index)
        self._memory = RunnerMemory(driver, device_index)
        self._memory.map_arena(arena_bytes)
        self._stream = library.new_stream(driver)

    def profile(self, run: ReplayRun, folder: Path) -> dict[str, float]:
        """Replays a plan, the last time inside the range; returns the seconds of each step.

        Args:
            run: the plan, and where its tensors lie.
            folder: of its files.

        Raises:
            HarnessError, OSError, ValueError: when it cannot be replayed.
        """
        begin = time.perf_counter()
        blobs = split_blobs(run.plan.blobs, (folder / run.blobs_file).read_bytes())
        scratch = self._memory.map_scratch(run.plan.regions)
        plan = LoadedPlan(self._driver, run.plan, blobs, self._stream, scratch)
        loaded = time.perf_counter()
        for _ in range(WARM_REPLAYS):
            self._bring(plan, run, folder / run.inputs_file)
            self._replay(plan)
        self._bring(plan, run, folder / run.inputs_file)
        warm = time.perf_counter()
        self._driver.call("cuProfilerStart")
        try:
            self._replay(plan)
        finally:
            self._driver.call("cuProfilerStop")
        ended = time.perf_counter()
        plan.close()
        return {"load": loaded - begin, "warm_up": warm - loaded, "call": ended - warm}

    def _replay(self, plan: LoadedPlan) -> None:
        plan.enqueue()
        library.synchronize(self._driver)

    def _bring(self, plan: LoadedPlan, run: ReplayRun, inputs: Path) -> None:
        """Restores scratch and variables, then copies inputs and poisons outputs in the arena.

        Outputs that were returned lie in scratch, and are poisoned with it.
        """
        plan.restore(POISON)
        library.synchronize(self._driver)
        for address, part in placed(run, inputs):
            library.copy_to_device(self._driver, address, part)
        for place in run.outputs:
            library.fill(self._driver, place.address, POISON, place.nbytes, self._stream)
        library.synchronize(self._driver)


def placed(run: ReplayRun, inputs: Path) -> Iterator[tuple[int, bytes]]:
    """The bytes of the inputs' file in parts, each with its address.

    Raises:
        ValueError: when the file is shorter than its tensors.
    """
    with inputs.open("rb") as file:
        for place in run.inputs:
            for at in range(0, place.nbytes, PART_BYTES):
                part = file.read(min(PART_BYTES, place.nbytes - at))
                if len(part) < min(PART_BYTES, place.nbytes - at):
                    raise ValueError(f"{inputs.name} ends before its last tensor")
                yield place.address + at, part


def carry_out(paths: list[Path], driver: Driver | None = None) -> int:
    """Replays the calls of the named files in order; 3 when one could not be.

    Args:
        paths: each a `ReplayRun`, for one device.
        driver: libcuda; loaded when None.
    """
    runs = [(read_message(ReplayRun, path), path.parent) for path in paths]
    replays: ProfiledReplays | None = None
    for run, folder in runs:
        begin = time.perf_counter()
        seconds: dict[str, float] = {}
        fault: str | None = None
        try:
            if replays is None:
                most = max(one.arena_bytes for one, _ in runs)
                driver = driver or library.CudaDriver()
                replays = ProfiledReplays(driver, run.device_index, most)
                seconds["context"] = time.perf_counter() - begin
            seconds |= replays.profile(run, folder)
        except (HarnessError, OSError, ValueError, MemoryError) as error:
            fault = printable(f"{type(error).__name__}: {error}")[:EXCERPT_CHARACTERS]
        rounded = {name: round(value, 4) for name, value in seconds.items()}
        write_message(ReplayReply(fault=fault, seconds=rounded), folder / run.answer_file)
        if fault is not None:
            return FAILED
    return 0


def main(arguments: list[str]) -> int:
    """Replays the calls of the files that are named."""
    process_control.die_with_parent()
    return carry_out([Path(name) for name in arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
