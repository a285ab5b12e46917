"""Records calls in this process and replays them in a runner, on a real GPU; prints what it saw.

    python tests/gpu/replay_probe.py [--device 0] [--only NAME] [--json FILE]

Each case is tried by itself; what fails says why. Run it in a fresh process: the allocator that
records must be installed before CUDA starts.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib.util
import json
import os
import pstats
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from kernel_harness.tools.candidate.recording.allocator import ScratchAllocator
from kernel_harness.tools.candidate.recording.recorder import CallRecorder
from kernel_harness.tools.driver import library, virtual_memory
from kernel_harness.tools.driver.cupti import ActivityRecorder, Cupti
from kernel_harness.tools.driver.scratch_library import build_library
from kernel_harness.tools.judge.processes.runner_process import RunnerProcess
from kernel_harness.tools.judge.replay.decision import ReplayEvidence, decide
from kernel_harness.tools.judge.replay.output_checks import poison_bytes
from kernel_harness.tools.judge.replay.rotation import NotRotatedError, rotation_of
from kernel_harness.tools.judge.replay.session import (
    CallTensor,
    MappedRunner,
    ReplaySession,
)
from kernel_harness.tools.judge.replay.validation import check_plan
from kernel_harness.tools.judge.replay.wall_clock import (
    RotatedCall,
    YardstickTimes,
    sustained_doubt,
    unlike,
    witness_in,
    yardstick_in,
)
from kernel_harness.tools.messages.launch_plan import ARENA_BASE, ARENA_BYTES
from kernel_harness.tools.runner.spans import LEAST_MARKER_BYTES, times_of

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
ARENA = 512 << 20
STAGING = 8 << 30
CALLS = 30
WITNESS_CALLS = 200
COPIES_BYTES = 8 << 30
BUDGET_S = 110.0
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}
Shapes = dict[str, tuple[tuple[int, ...], torch.dtype]]
Run = Callable[..., Any]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class OutputCheck:
    """What became of the outputs of some replays."""

    checked: int
    wrong: int
    first: str = ""


def check_outputs(
    came: Sequence[Mapping[str, torch.Tensor]], expected: Sequence[Mapping[str, torch.Tensor]]
) -> OutputCheck:
    """Compares all outputs of all replays bit for bit, NaNs included."""
    faults = [
        f"replay {number}, output {name}: {count} bytes differ"
        for number, (mine, theirs) in enumerate(zip(came, expected, strict=True))
        for name in theirs
        if (count := int((_bytes(mine[name]) != _bytes(theirs[name])).sum()))
    ]
    wrong = len({fault.partition(",")[0] for fault in faults})
    return OutputCheck(len(came), wrong, faults[0] if faults else "")


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


class View:
    """What torch needs to view memory that it did not allocate."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


def view(address: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    count = dtype.itemsize
    for extent in shape:
        count *= extent
    return torch.as_tensor(View(address, count), device="cuda").view(dtype).view(shape)


def gdn_decode(batch: int) -> tuple[Run, Shapes, Shapes, list[Any]]:
    folder = next(KERNELS.glob("gdn_decode_*"))
    definition = json.loads((folder / "definition.json").read_text())
    path = folder / "solutions" / "triton_split_v" / "kernel.py"
    spec = importlib.util.spec_from_file_location("probed_kernel", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    axes = {name: axis.get("value") for name, axis in definition["axes"].items()}
    axes["batch_size"] = batch

    def shapes(kind: str) -> Shapes:
        return {
            name: (tuple(axes[a] or 1 for a in tensor["shape"]), DTYPES[tensor["dtype"]])
            for name, tensor in definition[kind].items()
            if tensor["shape"]
        }

    return module.run, shapes("inputs"), shapes("outputs"), [0.088]


def matmul_softmax(rows: int, inner: int, columns: int) -> tuple[Run, Shapes, Shapes, list[Any]]:
    def run(x: Any, w: Any, out: Any) -> None:
        out.copy_(torch.softmax(x @ w, dim=-1))

    half = torch.bfloat16
    inputs: Shapes = {"x": ((rows, inner), half), "w": ((inner, columns), half)}
    return run, inputs, {"out": ((rows, columns), half)}, []


def two_streams() -> tuple[Run, Shapes, Shapes, list[Any]]:
    side = torch.cuda.Stream()

    def run(x: Any, y: Any, out: Any) -> None:
        here = torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            doubled = y * 2
            doubled.record_stream(here)
        added = x + 1
        here.wait_stream(side)
        torch.add(added, doubled, out=out)

    shape = ((1024, 1024), torch.float32)
    return run, {"x": shape, "y": shape}, {"out": shape}, []


def counter() -> tuple[Run, Shapes, Shapes, list[Any]]:
    """Keeps a buffer of its own between calls, filled before: its content travels in the plan."""
    kept = torch.arange(4096, dtype=torch.float32, device="cuda")

    def run(x: Any, out: Any) -> None:
        torch.add(x, kept, out=out)

    return run, {"x": ((4096,), torch.float32)}, {"out": ((4096,), torch.float32)}, []


def synchronising() -> tuple[Run, Shapes, Shapes, list[Any]]:
    """Reads a value back: it cannot be recorded, and must say so."""

    def run(x: Any, out: Any) -> None:
        torch.mul(x, float(x[0].item()), out=out)

    return run, {"x": ((4096,), torch.float32)}, {"out": ((4096,), torch.float32)}, []


def memo_by_address() -> tuple[Run, Shapes, Shapes, list[Any]]:
    """An attack: computes once for each address of an input, and copies the old result after."""
    known: dict[int, Any] = {}

    def run(x: Any, out: Any) -> None:
        if x.data_ptr() not in known:
            known[x.data_ptr()] = x * 2
        out.copy_(known[x.data_ptr()])

    return run, {"x": ((4096,), torch.float32)}, {"out": ((4096,), torch.float32)}, []


def plan_for_show() -> tuple[Run, Shapes, Shapes, list[Any]]:
    """An attack: does less while it is captured than when it is called."""

    def run(x: Any, out: Any) -> None:
        part = x[:1024] if torch.cuda.is_current_stream_capturing() else x
        torch.mul(part, 2, out=out[: len(part)])

    return run, {"x": ((4096,), torch.float32)}, {"out": ((4096,), torch.float32)}, []


def twice(x: Any, out: Any) -> None:
    torch.mul(x, 2, out=out)


CORRECT: dict[str, Run] = {"attack: memo by address": twice, "attack: plan for show": twice}
"""What attacks should compute; other cases are compared with their own ordinary calls."""
CASES: dict[str, Callable[[], tuple[Run, Shapes, Shapes, list[Any]]]] = {
    "gdn_decode B=1": lambda: gdn_decode(1),
    "gdn_decode B=16": lambda: gdn_decode(16),
    "gdn_decode B=64": lambda: gdn_decode(64),
    "matmul+softmax": lambda: matmul_softmax(512, 1024, 1024),
    "split-k matmul+softmax": lambda: matmul_softmax(64, 16384, 128),
    "two streams": two_streams,
    "kept scratch": counter,
    "attack: memo by address": memo_by_address,
    "attack: plan for show": plan_for_show,
    # Last: a capture that failed leaves torch's random generator waiting for the capture's end.
    "synchronising (not replayable)": synchronising,
}


class Probe:
    """One device, one arena on the candidate's side and one on the runner's."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.driver = library.CudaDriver()
        self.driver.call("cuInit", 0)
        self.began = time.monotonic()
        scratch = ScratchAllocator(build_library(Path(tempfile.mkdtemp())))
        cupti = Cupti()
        self.recorder = CallRecorder(self.driver, scratch, cupti)
        torch.cuda.set_device(device)
        torch.cuda.init()
        torch.empty(1, device="cuda")
        virtual_memory.reserve(self.driver, ARENA_BYTES, ARENA_BASE)
        shared = virtual_memory.allocate_shared
        self.arena = shared(self.driver, ARENA, device, ARENA_BASE)
        self.theirs = shared(self.driver, ARENA, device)
        self.staging = shared(self.driver, STAGING, device)
        self.l2 = library.l2_bytes(self.driver, device)
        flushed = library.allocate(self.driver, 2 * self.l2)
        self.flushed = view(flushed, (2 * self.l2,), torch.uint8)
        self.activities = ActivityRecorder(cupti)
        self.marker = torch.zeros(2, LEAST_MARKER_BYTES, dtype=torch.uint8, device="cuda")
        say(f"recording process: {cupti.described()}")
        self.results: list[dict[str, Any]] = []
        self.yardstick: YardstickTimes | None = None

    def case(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"case": name}
        runner: RunnerProcess | None = None
        try:
            begin = time.perf_counter()
            home = Path(tempfile.mkdtemp())
            runner = RunnerProcess(self.device, dict(os.environ), home)  # noqa: TID251
            ready = runner.ready()
            found["runner_ready_ms"] = _ms(begin)
            found["context_ms"] = ready.context_ns / 1e6
            found["clock"] = ready.clock_note or ready.clock_library
            self._steps(name, found, runner)
        except Exception as error:
            found["failed"] = f"{type(error).__name__}: {error}"[:600]
            found["where"] = traceback.format_exc().strip().splitlines()[-3:-1]
        finally:
            if runner is not None:
                runner.close()
        self.results.append(found)
        return found

    def _steps(self, name: str, found: dict[str, Any], runner: RunnerProcess) -> None:
        run, inputs, outputs, scalars = CASES[name]()
        tensors, views = self._place(inputs, outputs)
        arguments = [views[n] for n in inputs] + scalars + [views[n] for n in outputs]
        torch.manual_seed(1)
        self._draw({n: views[n] for n in inputs})

        def call() -> None:
            run(*arguments)

        for _ in range(3):
            call()
        torch.cuda.synchronize()
        found["ordinary_us"] = self._ordinary(call)
        mark = time.perf_counter()
        profile = cProfile.Profile()
        recording = profile.runcall(self.recorder.record, call, self.device)
        found["record_ms"] = _ms(mark)
        found["record_in"] = _slowest(profile)
        if recording.built is None:
            found["claimed"] = recording.reason
            return
        plan, blobs = recording.built.plan, recording.built.blobs
        found["plan_nodes"] = len(plan.nodes)
        found["plan"] = {
            "nodes": [getattr(n, "function", n.kind)[:60] for n in plan.nodes],
            "edges": len(plan.edges),
            "modules_kb": [b.nbytes >> 10 for b in plan.modules],
            "regions": len(plan.regions),
            "contents_kb": sum(b.nbytes for b in plan.contents) >> 10,
            "globals": [g.name[:60] for g in plan.globals],
            "plan_bytes": len(plan.model_dump_json()),
        }
        mark = time.perf_counter()
        checked = check_plan(
            plan,
            b"".join(blobs),
            architecture=plan.architecture,
            arena=[(ARENA_BASE, ARENA_BASE + ARENA)],
            scratch_bytes=64 << 30,
        )
        found["validate_ms"] = _ms(mark)
        mark = time.perf_counter()
        mapped = MappedRunner(runner, self.theirs, ARENA_BASE, self.staging, 20.0)
        session = mapped.load(checked, tensors)
        found["session_ms"] = _ms(mark)
        found["modules_ms"] = session.loaded.modules_ns / 1e6
        found["scratch_ms"] = session.loaded.memory_ns / 1e6
        correct = CORRECT.get(name, run)
        expected = partial(correct, *arguments)
        self._replays(found, session, tensors, inputs, outputs, expected, views)

    def _replays(
        self,
        found: dict[str, Any],
        session: ReplaySession,
        tensors: list[CallTensor],
        inputs: Shapes,
        outputs: Shapes,
        call: Callable[[], None],
        views: dict[str, torch.Tensor],
    ) -> None:
        count = min(CALLS, session.most_calls)
        staged = [self._staged(session, n, inputs | outputs) for n in range(count)]
        for values in staged:
            self._draw({n: values[n] for n in inputs})
        torch.cuda.synchronize()
        mark = time.perf_counter()
        session.replay(poison_bytes(1, 0))
        found["first_replay_ms"] = _ms(mark)
        mark = time.perf_counter()
        times = session.replay(poison_bytes(count, 1))
        found["replays_ms"] = _ms(mark)
        came = [{n: values[n].cpu() for n in outputs} for values in staged]
        expected = [self._expected(values, inputs, outputs, call, views) for values in staged]
        check = check_outputs(came, expected)
        found["equal"] = f"{check.checked - check.wrong} of {check.checked}"
        found["first_difference"] = check.first
        found["span_us"] = _median([t.span_ns for t in times])
        found["events_us"] = _median([t.events_ns for t in times])
        found["enqueue_us"] = _median([t.enqueue_ns for t in times])
        found["activities"] = sorted({len(t.activities) for t in times})
        found["records"] = session.records
        for words, options in {
            "not_held_us": {"held": False},
            "not_drained_us": {"drained": False},
            "neither_us": {"held": False, "drained": False},
            "warm_us": {"flush": "none"},
            "clean_us": {"flush": "read"},
        }.items():
            more = session.replay(poison_bytes(count, 1), **options)
            found[words] = _median([t.span_ns for t in more])
        self._witness(found, session, times, check)
        self._sustained(found, session, staged, expected, outputs)

    def _witness(
        self, found: dict[str, Any], session: ReplaySession, times: Any, check: Any
    ) -> None:
        mark = time.perf_counter()
        nodes = found["plan_nodes"]
        yardstick = yardstick_in(session.runner, session.timeout_s)
        found["yardstick_us"] = _median(list(yardstick.spans_ns))
        found["yardstick_wall_us"] = round(yardstick.wall.mean_ns / 1e3, 3)
        found["surplus_us"] = round(yardstick.surplus_ns / 1e3, 3)
        found["yardstick_note"] = yardstick.wall.note
        if self.yardstick is not None:
            found["unlike"] = unlike(self.yardstick, yardstick)
        self.yardstick = yardstick
        witness = witness_in(
            session.runner, session.timeout_s, nodes=nodes, yardstick=yardstick, calls=WITNESS_CALLS
        )
        found["wall_us"] = round(witness.mean_ns / 1e3, 3)
        found["wall_least_us"] = round(witness.least_ns / 1e3, 3)
        found["wall_error_us"] = round(witness.error_ns / 1e3, 3)
        found["wall_note"] = witness.note
        found["witness_ms"] = _ms(mark)
        evidence = ReplayEvidence(
            outputs_checked=check.checked,
            outputs_wrong=check.wrong,
            wrong=check.first,
            spans_ns=tuple(t.span_ns for t in times),
            events_ns=tuple(t.events_ns for t in times),
            witness=witness,
            memory_kept=session.loaded.kept,
        )
        decision = decide(evidence)
        found["decision"] = f"{decision.clock} {decision.words}".strip()

    def _sustained(
        self,
        found: dict[str, Any],
        session: ReplaySession,
        staged: list[dict[str, torch.Tensor]],
        expected: list[dict[str, torch.Tensor]],
        outputs: Shapes,
    ) -> None:
        mark = time.perf_counter()
        try:
            rotation = rotation_of(
                session.tensors,
                nodes=found["plan_nodes"],
                l2_bytes=self.l2,
                memory_bytes=COPIES_BYTES,
            )
            kept = list(range(len(rotation.offsets)))[: len(staged)]
            rotated = RotatedCall(session, rotation)
            call_ns = rotated.once(kept, poison_bytes(len(kept), 2))
        except NotRotatedError as error:
            found["sustained"] = f"none: {error}"
            return
        came = [{n: values[n].cpu() for n in outputs} for values in staged[: len(kept)]]
        check = check_outputs(came, expected[: len(kept)])
        bound = rotated.bound()
        found["sustained_us"] = round(call_ns / 1e3, 3)
        found["sustained_wall_us"] = round(bound.mean_ns / 1e3, 3)
        found["sustained_doubt"] = sustained_doubt(call_ns, bound)
        found["sustained_copies"] = f"{len(rotation.offsets)}, {rotation.touched_bytes >> 20} MiB"
        found["sustained_equal"] = f"{check.checked - check.wrong} of {check.checked} {check.first}"
        found["sustained_ms"] = _ms(mark)

    def _place(
        self, inputs: Shapes, outputs: Shapes
    ) -> tuple[list[CallTensor], dict[str, torch.Tensor]]:
        tensors: list[CallTensor] = []
        views: dict[str, torch.Tensor] = {}
        at = ARENA_BASE + (1 << 20)
        for name, (shape, dtype) in (inputs | outputs).items():
            views[name] = view(at, shape, dtype)
            nbytes = views[name].numel() * dtype.itemsize
            tensors.append(CallTensor(name, at, nbytes, name in outputs))
            at += -(-nbytes // 4096) * 4096 + 8192
        return tensors, views

    def _staged(self, session: ReplaySession, number: int, shapes: Shapes) -> dict[str, Any]:
        return {
            name: view(self.staging.address + session.staging.offset(number, name), shape, dtype)
            for name, (shape, dtype) in shapes.items()
        }

    def _draw(self, values: dict[str, torch.Tensor]) -> None:
        for value in values.values():
            value.copy_(torch.randn(value.shape, device="cuda") * 0.3)

    def _expected(
        self,
        values: dict[str, torch.Tensor],
        inputs: Shapes,
        outputs: Shapes,
        call: Callable[[], None],
        views: dict[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        for name in inputs:
            views[name].copy_(values[name])
        for name in outputs:
            views[name].view(torch.uint8).fill_(0xFF)
        call()
        torch.cuda.synchronize()
        return {name: views[name].cpu() for name in outputs}

    def _ordinary(self, call: Callable[[], None]) -> float | None:
        """The median span here, as candidates' processes are timed: a flush, a pause, the call."""
        self.activities.collect()
        for _ in range(CALLS):
            self.flushed.zero_()
            self.marker[0].copy_(self.marker[1])
            torch.cuda.synchronize()
            call()
            self.marker[0].copy_(self.marker[1])
            torch.cuda.synchronize()
        nothing = [None] * CALLS
        found = self.activities.collect()
        times = times_of(found, LEAST_MARKER_BYTES, nothing, [0] * CALLS)
        return _median([t.span_ns for t in times])


def _ms(since: float) -> float:
    return round((time.perf_counter() - since) * 1e3, 2)


def _slowest(profile: cProfile.Profile) -> str:
    """The functions in which most of the time was spent, each with its own milliseconds."""
    own = {
        f"{Path(where[0]).name}:{where[2]}": spent[2] * 1e3
        for where, spent in pstats.Stats(profile).stats.items()  # pyright: ignore[reportAttributeAccessIssue]
    }
    slowest = sorted(own, key=lambda name: -own[name])[:6]
    return ", ".join(f"{name} {own[name]:.0f}" for name in slowest)


def _median(values: list[int | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(median(known) / 1e3, 3) if known else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    began = time.monotonic()
    probe = Probe(options.device)
    versions = f"torch {torch.__version__}, {torch.cuda.get_device_name()}"
    say(f"{versions}, L2 {probe.l2 >> 20} MiB, set up in {time.monotonic() - began:.1f} s")
    for name in CASES:
        if options.only not in name:
            continue
        if time.monotonic() - began > BUDGET_S:
            say(f"{name}: left out, the time is up")
            continue
        mark = time.monotonic()
        found = probe.case(name)
        say(f"\n== {name} ({time.monotonic() - mark:.1f} s)")
        for key, value in found.items():
            if key != "case":
                say(f"   {key:18} {value}")
    say("\ncase | equal | ordinary | replay | events | wall-flush | decision (µs)")
    for r in probe.results:
        verdict = r.get("failed") or r.get("claimed") or r.get("decision")
        figures = [r.get(k) for k in ("equal", "ordinary_us", "span_us", "events_us", "wall_us")]
        say(" | ".join(map(str, [r["case"], *figures, verdict])))
    if options.json:
        Path(options.json).write_text(json.dumps(probe.results))


if __name__ == "__main__":
    main()
