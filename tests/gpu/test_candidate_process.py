"""The candidate process beside a GPU: what its sandbox grants, what its clocks and streams do."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.candidate.sandbox.enter import SKIP_VARIABLE
from kernel_harness.tools.judge.calls.shared_memory import DeviceMemory
from kernel_harness.tools.judge.processes.device import device_facts
from kernel_harness.tools.messages import candidate as wire

from ..tools.candidate.conftest import CandidateEnd, JudgeEnd
from ..tools.candidate.sandbox.test_enter import seen_from_inside

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.process,
]

ARENA_BYTES = 256 << 20
CUDA_PATHS = ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH")
TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def _twice(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < n
    tl.store(out + i, tl.load(x + i, m) * 2, m)

def run(x, out):
    _twice[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), BLOCK=1024)
"""
SIDE = """
import torch
stream = torch.cuda.Stream()

def run(x, out):
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        out.copy_(x * 2)
"""


class DeviceEnd(CandidateEnd):
    """A candidate whose arena lies on the device."""

    def map(self, nbytes: int = ARENA_BYTES) -> None:
        self.shared = DeviceMemory(nbytes, 0)
        self._memory = self.shared.bytes
        request = wire.MapArena(memory="vmm", nbytes=self.shared.nbytes)
        answer = self.ask(request, (self.shared.fd,))
        assert isinstance(answer, wire.Mapped)

    def call(self, arguments: list[Any], outputs: list[torch.Tensor], **more: Any):
        if self._memory is None:
            self.map()
        torch.cuda.synchronize()
        return super().call(arguments, outputs, **more)

    def place(self, value: torch.Tensor) -> wire.TensorRef:
        ref = super().place(value)
        torch.cuda.synchronize()
        return ref


def environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in CUDA_PATHS if name in os.environ}  # noqa: TID251
    return kept | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def judge() -> Iterator[JudgeEnd]:
    end = JudgeEnd(interpret=False, environment=environment())
    yield end
    end.close()


@pytest.fixture
def device_end(judge: JudgeEnd) -> Iterator[DeviceEnd]:
    yield from spawned(judge)


def spawned(judge: JudgeEnd, **more: str) -> Iterator[DeviceEnd]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        end = DeviceEnd(judge, Path(folder), cuda=True, environment=environment() | more)
        yield end
        end.close()


def numbers(count: int = 1 << 20) -> torch.Tensor:
    return torch.rand(count, device="cuda")


def test_cuda_starts_in_the_sandbox_and_what_was_granted_is_shown(device_end, capsys):
    with capsys.disabled():
        said = device_end.spawned
        print(f"\ngranted {said.granted}, missing {said.missing}")  # noqa: T201
    assert device_end.build({"kernel.py": TRITON}, language="triton").fault is None
    x = numbers()
    called, (snapshot,) = device_end.call([x], [torch.zeros_like(x)], late=True)
    assert called.fault is None, called.fault
    assert torch.equal(snapshot, x * 2)
    assert torch.equal(device_end.view(device_end.late[0]), x * 2)


@pytest.mark.parametrize("step", ["landlock", "seccomp", "mount", "not_dumpable", "net"])
def test_cuda_starts_without_each_step_too(judge, step):
    for end in spawned(judge, **{SKIP_VARIABLE: step}):
        assert step in end.spawned.missing
        assert end.build({"kernel.py": TRITON}, language="triton").fault is None
        x = numbers(4096)
        called, (snapshot,) = end.call([x], [torch.zeros_like(x)])
        assert called.fault is None, called.fault
        assert torch.equal(snapshot, x * 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another uid")
def test_the_judges_descriptors_cannot_be_opened_beside_cuda(device_end):
    if "uid" in device_end.spawned.missing:
        pytest.skip("this machine's Python cannot be read by another user")
    probe = f"seen['fd'] = attempt(lambda: os.listdir('/proc/{os.getpid()}/fd'))[0]\n"
    assert seen_from_inside(device_end, probe)["fd"] in ("PermissionError", "FileNotFoundError")


@pytest.mark.alone
def test_cold_warm_and_events_agree_on_a_long_kernel(device_end):
    assert device_end.build({"kernel.py": TRITON}, language="triton").fault is None
    x = numbers(16 << 20)
    out = torch.zeros_like(x)
    spans: dict[str, list[int]] = {"cold": [], "warm": [], "events": []}
    for _ in range(5):
        for how in spans:
            called, _ = device_end.call([x], [out], time=how)
            assert called.fault is None and called.span_ns
            spans[how].append(called.span_ns)
            if how != "events" and called.timer == "cupti":
                assert [a.origin for a in called.activities] == ["candidate"]
                assert called.dropped_activities == 0
    cold, events = (statistics.median(spans[how]) for how in ("cold", "events"))
    assert 0.5 < cold / events < 1.5
    assert all(span > 10_000 for span in spans["warm"])


def test_times_told_later_are_those_of_their_calls(device_end):
    assert device_end.build({"kernel.py": TRITON}, language="triton").fault is None
    sizes = {3: 1 << 12, 4: 1 << 24, 9: 1 << 12}
    for number, size in sizes.items():
        x = numbers(size)
        called, (snapshot,) = device_end.call(
            [x], [torch.zeros_like(x)], time="cold", late=number == 4, defer=number
        )
        assert called.fault is None and called.span_ns is None
        assert torch.equal(snapshot, x * 2)
    told = {times.number: times for times in device_end.ask(wire.Collect()).times}
    assert list(told) == [3, 4, 9]
    assert all([a.origin for a in times.activities] == ["candidate"] for times in told.values())
    assert told[4].span_ns > 4 * max(told[3].span_ns, told[9].span_ns)
    assert device_end.ask(wire.Collect()).times == []


def test_a_device_that_is_up_before_its_candidate_changes_nothing(device_end):
    assert isinstance(device_end.ask(wire.Prepare()), wire.Prepared)
    assert device_end.build({"kernel.py": TRITON}, language="triton").fault is None
    x = numbers(4096)
    called, (snapshot,) = device_end.call([x], [torch.zeros_like(x)], time="cold")
    assert called.timer == "cupti" and called.span_ns
    assert torch.equal(snapshot, x * 2)


def test_work_on_an_unjoined_stream_is_in_the_span_and_not_in_the_snapshot(device_end):
    assert device_end.build({"kernel.py": SIDE}).fault is None
    x = numbers(4096)
    device_end.call([x], [torch.zeros_like(x)])
    poison = torch.full_like(x, torch.nan)
    called, (snapshot,) = device_end.call([x], [poison], late=True, time="warm")
    assert called.fault is None
    assert torch.isnan(snapshot).all()
    assert torch.equal(device_end.view(device_end.late[0]), x * 2)
    if called.timer == "cupti":
        assert called.span_ns is not None and called.span_ns > 5_000_000


@pytest.mark.parametrize("how", [{"stream": "side"}, {"noise": True}])
def test_another_stream_and_a_busy_device_change_no_value(device_end, how):
    assert device_end.build({"kernel.py": TRITON}, language="triton").fault is None
    x = numbers()
    called, (snapshot,) = device_end.call([x], [torch.zeros_like(x)], **how)
    assert called.fault is None
    assert torch.equal(snapshot, x * 2)


def test_the_ghost_replay_leaves_the_poison(device_end):
    assert device_end.build({"kernel.py": TRITON}, language="triton").fault is None
    x = numbers(4096)
    poison = torch.full_like(x, torch.nan)
    called, (snapshot,) = device_end.call([x], [poison], disable_own_kernels=True)
    assert called.fault is None
    assert torch.isnan(snapshot).all()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("torch.empty(1 << 48, device='cuda')", "out_of_memory"),
        ("out[torch.tensor([1 << 30], device='cuda')] = 1; torch.cuda.synchronize()", "cuda_error"),
    ],
)
def test_device_faults_have_their_names(device_end, body, kind):
    source = f"import torch\ndef run(x, out):\n    {body}\n"
    assert device_end.build({"kernel.py": source}).fault is None
    x = numbers(16)
    called, _ = device_end.call([x], [torch.zeros_like(x)])
    assert called.fault is not None and called.fault.kind == kind


def test_targets_are_compiled_beside_a_device_without_touching_it(judge):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        end = CandidateEnd(judge, Path(folder), cuda=True, environment=environment())
        assert end.build({"kernel.py": TRITON}, language="triton").fault is None
        end.map()
        x, out = end.place(torch.ones(300)), end.place(torch.zeros(300))
        request = wire.CompileRequest(
            targets={t: device_facts(t) for t in ("sm_90", "sm_100")}, arguments=[x], outputs=[out]
        )
        compiled = end.ask(request)
        end.close()
    assert compiled.fault is None and compiled.failures == {}
    assert [k.target for k in compiled.kernels] == ["sm_90", "sm_100"]
    assert all(k.registers for k in compiled.kernels)
