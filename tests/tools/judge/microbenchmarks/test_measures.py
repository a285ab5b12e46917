"""What microbenchmarks make of the times of a stopwatch; no device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kernel_harness.tools.devices.measurements import Microbenchmark
from kernel_harness.tools.judge.microbenchmarks import launches, memory, tensor_cores
from kernel_harness.tools.judge.microbenchmarks.barriers import measure_barriers
from kernel_harness.tools.judge.microbenchmarks.findings import Findings
from kernel_harness.tools.judge.microbenchmarks.stopwatch import Stopwatch

CPU = torch.device("cpu")


class ScriptedWatch:
    """Times by name, without running what it times."""

    def __init__(self, took: Callable[[str], float]) -> None:
        self._took = took

    def spans(self, acts: Any, count: int = 3, *, warm: bool = False) -> Any:
        return {name: [self._took(name)] * count for name in acts}

    def per_step(self, acts: Any, steps: Any, *, warm: bool = True) -> Any:
        return {name: (self._took(name), [1.0]) for name in acts}


def scripted(took: Callable[[str], float]) -> Any:
    return ScriptedWatch(took)


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """A device with four multiprocessors of compute capability 9.0, whose kernels do nothing."""
    facts = SimpleNamespace(multi_processor_count=4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=None))
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: nullcontext())

    def compiled(*given: Any, **options: Any) -> Any:
        return lambda *arguments: None

    monkeypatch.setattr(torch.cuda, "_compile_kernel", compiled)


def figures(found: Findings, what: Microbenchmark) -> dict[str, float]:
    return {f"{f.name} {list(f.at.values())}": f.value for f in found.figures[what]}


def test_a_step_is_the_difference_of_a_long_run_and_a_short_one():
    watch: Any = object.__new__(Stopwatch)
    times = {"a few": [5.0, 5.2, 5.1], "a many": [25.1, 99.0, 25.0]}
    watch.spans = lambda acts, warm: {name: times[name] for name in acts}
    each, samples = watch.per_step({"a": lambda steps: None}, (10, 30))["a"]
    assert each == pytest.approx(1.0) and len(samples) == 6


def test_launches_are_one_the_second_and_each_further_one():
    took = {"stream 1": 1.5, "stream 2": 2.4, "stream 9": 8.7, "graph 1": 1.4, "graph 9": 7.0}
    found = Findings()
    launches.measure_launches(scripted(took.__getitem__), CPU, found)
    assert list(figures(found, Microbenchmark.LAUNCH).values()) == [1.5, 0.9, 0.9, 0.7]
    assert found.rates["launch_us"]["value"] == 1.5
    assert found.rates["dependent_kernel_us"]["value"] == pytest.approx(0.9)


def test_the_bandwidth_of_the_floors_is_the_best_large_copy_and_no_read(monkeypatch):
    monkeypatch.setattr(memory, "SIZES", (1 << 20, 64 << 20))
    monkeypatch.setattr(memory, "_require_copies", lambda *given: None)

    def took(name: str) -> float:
        moved = float(name.rpartition(" ")[2])
        fast = {"read": 9e6, memory.BULK: 4e6}.get(name.rpartition(" ")[0], 3e6)
        return moved / fast if moved > 1 << 20 else moved / 2e7

    found = Findings()
    memory.measure_copies(scripted(took), CPU, found)
    assert found.rates["memory_bytes_per_s"]["value"] == pytest.approx(8e12)
    assert memory.BULK in found.rates["memory_bytes_per_s"]["source"]
    got = figures(found, Microbenchmark.COPY)
    assert got[f"read [{64 << 20}]"] == 9.0 and got[f"{memory.BULK} [{64 << 20}]"] == 8.0


def test_a_way_that_does_not_copy_is_refused():
    source, target = torch.ones(4 << 20), torch.zeros(4 << 20)

    def half(size: int) -> None:
        target[: size // 8].copy_(source[: size // 8])

    with pytest.raises(RuntimeError, match="half did not copy"):
        memory._require_copies({"half": half, "read": lambda size: None}, source, target)


def test_latencies_are_nanoseconds_by_where_the_load_is_answered_from(monkeypatch):
    monkeypatch.setattr(memory, "CHASE_BYTES", dict.fromkeys(memory.CHASE_BYTES, 64))
    took = {"L1": 0.02, "device memory": 0.7}
    found = Findings()
    memory.measure_load_latency(scripted(lambda name: took.get(name, 0.1)), CPU, found)
    got = figures(found, Microbenchmark.LATENCY)
    assert got["L1 []"] == 20.0 and got["device memory []"] == 700.0
    assert found.rates["memory_latency_us"]["value"] == 0.7


def test_a_cycle_goes_through_every_element():
    following, at, seen = memory._cycle(64, CPU).tolist(), 0, set()
    for _ in range(64):
        at = following[at]
        seen.add(at)
    assert seen == set(range(64)) and at == 0


def test_barriers_say_how_many_threads_and_blocks_wait():
    found = Findings()
    measure_barriers(scripted(lambda name: 0.01 if "block" in name else 0.2), CPU, found)
    got = figures(found, Microbenchmark.BARRIER)
    assert got["barrier of a block [1024]"] == 10.0
    assert got["barrier of a cluster [128, 8]"] == got["barrier of a grid [128, 4]"] == 200.0


def test_an_instructions_rate_counts_every_multiprocessor_and_warp():
    found = Findings()
    tensor_cores.measure_instructions(scripted(lambda name: 1.0), CPU, found)
    got = figures(found, Microbenchmark.TENSOR)
    assert got["mma.sync ['m16n8k16', 'bf16', 8]"] == pytest.approx(
        4096 * 8 * 8 * 4 / 1e6, rel=1e-3
    )
    wide = got["wgmma ['m64n256k16', 'bf16', 2, 'shared memory']"]
    assert wide == pytest.approx(2 * 64 * 256 * 16 * 16 * 2 * 4 / 1e6, rel=1e-3)
    assert "wgmma ['m64n64k32', 'fp8', 2, 'shared memory']" in got


def test_a_device_without_the_instruction_has_no_figure_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (10, 0))
    found = Findings()
    tensor_cores.measure_instructions(scripted(lambda name: 1.0), CPU, found)
    assert {f.name for f in found.figures[Microbenchmark.TENSOR]} == {"mma.sync"}
    assert "wgmma" in found.skipped[Microbenchmark.TENSOR]
