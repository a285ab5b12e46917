"""A plain CUPTI measurement of one solution, independent of the harness's judge and candidate.

What the harness's clock is held against, step by step as the FlashInfer contest's protocol has it:
warm up, then per call zero a buffer of twice the L2, synchronise, call, synchronise; at the end
read CUPTI's records once and take last end minus first start of each call's. Nothing else happens
between zeroing and call: the L2 is full of lines that are still to be written back, and how many
of them a kernel meets changes its time by up to a fifth. Fresh inputs per call. Nothing is
verified here. Prints one JSON object of workload uuid to raw samples in nanoseconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import torch
from cupti import cupti

from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "int32": torch.int32}


def load(path: Path, name: str) -> Any:
    """Imports one Python file under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Activities:
    """Collects what ran on the device."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []
        cupti.activity_register_callbacks(self._buffer, self._completed)
        for kind in (
            cupti.ActivityKind.CONCURRENT_KERNEL,
            cupti.ActivityKind.MEMCPY,
            cupti.ActivityKind.MEMSET,
        ):
            cupti.activity_enable(kind)

    @staticmethod
    def _buffer() -> tuple[int, int]:
        return 8 << 20, 0

    def _completed(self, activities: list[Any]) -> None:
        self.spans += [(a.start, a.end) for a in activities if hasattr(a, "start")]

    def within(self, windows: list[tuple[int, int]]) -> list[int]:
        """Span in nanoseconds of all that started in each of some windows."""
        cupti.activity_flush_all(1)
        found = []
        for begin, end in windows:
            mine = [(s, e) for s, e in self.spans if begin <= s <= end]
            found.append(max(e for _, e in mine) - min(s for s, _ in mine) if mine else 0)
        self.spans.clear()
        return found


def measure(operator: Any, module: Any, uuid: str, calls: int, activities: Activities) -> list[int]:
    """Raw samples of one workload."""
    inputs_module = load(operator.folder / "inputs.py", "plain_inputs")
    workload = operator.workload(uuid)
    generator = torch.Generator("cuda")
    scalars = {n: s.value for n, s in workload.inputs.items() if s.type == "scalar"}
    shapes = operator.definition.output_shapes(workload.axes)
    outputs = [
        torch.empty(shapes[n], dtype=DTYPES[s.dtype.value], device="cuda")
        for n, s in operator.definition.outputs.items()
    ]
    properties = torch.cuda.get_device_properties(0)
    flush = torch.empty(2 * properties.L2_cache_size, dtype=torch.uint8, device="cuda")
    windows = []
    for i in range(calls + 5):
        generator.manual_seed(i)
        made = inputs_module.generate(
            operator.definition.axis_values(workload.axes),
            structure=operator.structure.get(uuid),
            scalars=scalars,
            generator=generator,
            device=torch.device("cuda"),
        )
        flush.zero_()
        torch.cuda.synchronize()
        moment = cupti.get_timestamp()
        module.run(*(made[n] for n in operator.definition.inputs), *outputs)
        torch.cuda.synchronize()
        windows.append((moment, cupti.get_timestamp()))
    return activities.within(windows[5:])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--definition", required=True)
    parser.add_argument("--solution", required=True)
    parser.add_argument("--workloads", required=True, help="comma-separated uuids")
    parser.add_argument("--calls", type=int, default=50)
    choices = parser.parse_args()
    settings = load_settings()
    operator = Dataset.load(settings.kernels_dir, ()).operator(choices.definition)
    module = load(operator.folder / "solutions" / choices.solution / "kernel.py", "plain_solution")
    activities = Activities()
    result = {
        uuid: measure(operator, module, uuid, choices.calls, activities)
        for uuid in choices.workloads.split(",")
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
