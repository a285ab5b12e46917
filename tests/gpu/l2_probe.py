"""Tells whether inputs that a kernel loaded with `evict_last` survive the flush of the L2.

    python tests/gpu/l2_probe.py [--device 0]

First part: the latency of single loads, once for lines that are surely in the L2, once for lines
that surely are not, then for a kernel's inputs after that kernel and each way to flush. Second
part: the spans of the kernel with `evict_last` and of its twin without, flushed the same ways, on
inputs that the call before read and on inputs that no call has read lately. A gain that stays on
other inputs is one within the call; one that goes with the lines was kept from the call before.
"""

from __future__ import annotations

import argparse
import importlib
import struct
import sys
import time
from collections.abc import Callable
from ctypes import c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from statistics import median
from typing import Any

import torch

from kernel_harness.tools.driver import library, modules
from kernel_harness.tools.driver.modules import LaunchShape, PreparedLaunch
from kernel_harness.tools.runner.device_kernels import DeviceKernels

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
KEPT = importlib.import_module("tests.adversarial.clock.inputs_kept_in_the_l2").run
TWIN = importlib.import_module("tests.adversarial.clock.honest_short").run
ROWS, COLUMNS, LINE = 1 << 16, 64, 128
SAMPLED = 4096
COPIES = 6
REPEATS = 40
BUDGET_S = 18.0
LATENCIES = rb"""
.version 8.0
.target sm_80
.address_size 64
.visible .entry latencies(.param .u64 p_base, .param .u64 p_order, .param .u64 p_out,
                          .param .u32 p_count)
{
    .reg .pred %p, %q;
    .reg .u32 %v, %i, %n, %line;
    .reg .u64 %base, %order, %out, %at, %wide, %t0, %t1;
    ld.param.u64 %base, [p_base];
    ld.param.u64 %order, [p_order];
    ld.param.u64 %out, [p_out];
    ld.param.u32 %n, [p_count];
    mov.u32 %i, 0;
NEXT:
    ld.global.u32 %line, [%order];
    mul.wide.u32 %wide, %line, 128;
    add.u64 %at, %base, %wide;
    setp.eq.u32 %q, %line, 0xffffffff;
    @%q bra END;
    mov.u64 %t0, %clock64;
    ld.global.cg.u32 %v, [%at];
    setp.eq.u32 %q, %v, 0x7fc12345;
    @%q bra END;
    mov.u64 %t1, %clock64;
    sub.u64 %t1, %t1, %t0;
    st.global.u64 [%out], %t1;
    add.u64 %order, %order, 4;
    add.u64 %out, %out, 8;
    add.u32 %i, %i, 1;
    setp.lt.u32 %p, %i, %n;
    @%p bra NEXT;
END:
    ret;
}
"""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Probe:
    """One device: its flushes, and a kernel that measures the latency of single loads."""

    def __init__(self, device: int) -> None:
        torch.cuda.set_device(device)
        torch.cuda.init()
        self.driver = library.CudaDriver()
        self.stream = torch.cuda.current_stream().cuda_stream
        self.kernels = DeviceKernels(self.driver, device, self.stream)
        self.l2 = library.l2_bytes(self.driver, device)
        self.flushed = library.allocate(self.driver, 2 * self.l2)
        loaded = modules.load(self.driver, LATENCIES)
        self.latencies = modules.function_of(self.driver, loaded, "latencies") or 0
        self.sets = [self._tensors() for _ in range(COPIES)]
        self.source = self._tensors()
        lines = ROWS * COLUMNS * 4 // LINE
        self.order = torch.randperm(lines, device="cuda")[:SAMPLED].int()
        self.out = torch.zeros(SAMPLED, dtype=torch.int64, device="cuda")

    def _tensors(self) -> dict[str, Any]:
        x = torch.randn(ROWS, COLUMNS, device="cuda")
        return {
            "x": x,
            "w": torch.rand(COLUMNS, device="cuda") + 0.5,
            "table": torch.randperm(ROWS, device="cuda").int(),
            "alpha": 0.5,
            "y": torch.empty_like(x),
            "row": torch.empty(ROWS, device="cuda"),
        }

    def bring(self, tensors: dict[str, Any]) -> None:
        """Copies inputs in and poisons outputs, as a runner does before each call."""
        for name in ("x", "w", "table"):
            tensors[name].copy_(self.source[name])
        for name in ("y", "row"):
            tensors[name].fill_(float("nan"))

    def demote(self, tensors: dict[str, Any], passes: int = 1) -> None:
        """Takes the priority of lines back; several passes do so from several multiprocessors."""
        for name in ("x", "w", "table", "y", "row"):
            begin, nbytes = tensors[name].data_ptr(), tensors[name].nbytes
            for number in range(passes):
                shift = min(number * 37 * 512 * LINE, nbytes // LINE * LINE)
                if shift < nbytes:
                    self.kernels.demote(begin + shift, nbytes - shift)
                if shift:
                    self.kernels.demote(begin, shift)

    def reset(self) -> None:
        self.driver.call("cuCtxResetPersistingL2Cache")

    def fill(self) -> None:
        self.driver.call(
            "cuMemsetD32Async",
            c_uint64(self.flushed),
            c_uint(0),
            c_size_t(2 * self.l2 // 4),
            c_void_p(self.stream),
        )

    def read(self) -> None:
        self.kernels.read(self.flushed, 2 * self.l2)

    def loads(self, tensor: torch.Tensor) -> list[int]:
        """Clock cycles of a load from each sampled line, once."""
        torch.cuda.synchronize()
        parameters = struct.pack(
            "<QQQI", tensor.data_ptr(), self.order.data_ptr(), self.out.data_ptr(), SAMPLED
        )
        shape = LaunchShape((1, 1, 1), (1, 1, 1))
        PreparedLaunch(self.latencies, shape, parameters, self.stream).launch(self.driver)
        torch.cuda.synchronize()
        return self.out.tolist()

    def span_us(self, call: Callable[[], None]) -> float:
        """Time of a call by events, behind a kernel that keeps the device busy meanwhile."""
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        self.kernels.delay(60_000)
        first.record()
        call()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last) * 1e3


Flush = Callable[[Probe, dict[str, Any]], None]
FLUSHES: dict[str, list[str]] = {
    "nothing": [],
    "fill": ["fill"],
    "reset, fill": ["reset", "fill"],
    "demote, reset, fill (as the runner)": ["demote", "reset", "fill"],
    "demote, reset, read (as the runner)": ["demote", "reset", "read"],
    "demote 8 times, reset, fill": ["demote8", "reset", "fill"],
    "demote, reset, fill twice": ["demote", "reset", "fill", "fill"],
    "fill, demote, fill": ["fill", "demote", "reset", "fill"],
}


def flush(probe: Probe, tensors: dict[str, Any], steps: list[str]) -> None:
    for step in steps:
        if step.startswith("demote"):
            probe.demote(tensors, int(step[6:] or 1))
        elif step == "reset":
            torch.cuda.synchronize()
            probe.reset()
        else:
            getattr(probe, step)()


def survivors(probe: Probe) -> None:
    """Prints how many of a kernel's input lines are still in the L2 after each flush."""
    tensors = probe.sets[0]
    TWIN(**tensors)
    probe.loads(tensors["x"])
    hot = probe.loads(tensors["x"])
    for _ in range(3):
        probe.fill()
    cold = probe.loads(tensors["x"])
    limit = (sorted(hot)[int(0.95 * SAMPLED)] + sorted(cold)[int(0.05 * SAMPLED)]) / 2
    say(f"cycles of a load: {median(hot):.0f} from the L2, {median(cold):.0f} from memory")
    say(f"taken for a hit: below {limit:.0f}")
    say("\nlines of x still in the L2, per cent | evict_last | ordinary")
    for name, steps in FLUSHES.items():
        shares = []
        for run in (KEPT, TWIN):
            flush(probe, tensors, ["demote8", "reset", "fill", "fill"])
            run(**tensors)
            if steps:
                probe.bring(tensors)
            flush(probe, tensors, steps)
            found = probe.loads(tensors["x"])
            shares.append(100 * sum(cycles < limit for cycles in found) / SAMPLED)
        say(f"{name:36} | {shares[0]:6.2f} | {shares[1]:6.2f}")


def spans(probe: Probe, until: float) -> None:
    """Prints the spans of both kernels on inputs read just before, and on others."""
    say("\nspans in µs (median) | evict_last | ordinary | ordinary over evict_last")
    other = {"same inputs": 1, "other inputs each time": COPIES}
    for name in list(FLUSHES)[3:]:
        for words, count in other.items():
            if time.monotonic() > until:
                say("the time is up")
                return
            told: dict[Any, list[float]] = {KEPT: [], TWIN: []}
            for number in range(REPEATS):
                for run in (KEPT, TWIN) if number % 2 else (TWIN, KEPT):
                    tensors = probe.sets[number % count]
                    for earlier in probe.sets[:count]:
                        flush(probe, earlier, ["demote8", "reset"])
                    probe.fill()
                    run(**probe.sets[(number + 1) % count])  # what may keep lines
                    probe.bring(tensors)
                    flush(probe, tensors, FLUSHES[name])
                    told[run].append(probe.span_us(lambda r=run, t=tensors: r(**t)))
            mine, theirs = median(told[KEPT]), median(told[TWIN])
            say(f"{name}, {words}: {mine:.2f} | {theirs:.2f} | {theirs / mine:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    probe = Probe(options.device)
    for run in (KEPT, TWIN):
        run(**probe.sets[0])
    say(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, L2 {probe.l2 >> 20} MiB")
    survivors(probe)
    spans(probe, began + BUDGET_S)
    say(f"{time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
