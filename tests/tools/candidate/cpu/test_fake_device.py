"""Without a GPU, candidates get answers of a fake one, and tensors on the CPU."""

from __future__ import annotations

import pytest
import torch

AUTOTUNED = """
import torch
import triton
import triton.language as tl

SLOTS = torch.zeros(4, device="cuda")

@triton.autotune([triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.jit
def _add(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < n
    tl.store(out + i, tl.load(x + i, m) + BLOCK, m)

def run(x, out):
    assert x.is_cuda and torch.cuda.is_available()
    assert torch.cuda.get_device_properties(0).multi_processor_count > 100
    scratch = torch.empty(3, device=torch.device("cuda"))
    assert scratch.to("cuda").cuda().device.type == "cuda"
    _add[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, out, x.numel())
"""


@pytest.mark.process
def test_an_autotuned_kernel_is_interpreted_with_its_first_configuration(candidate):
    assert candidate.build({"kernel.py": AUTOTUNED}, language="triton").fault is None
    called, (snapshot,) = candidate.call([torch.ones(100)], [torch.zeros(100)])
    assert called.fault is None, called.fault
    assert torch.equal(snapshot, torch.full((100,), 65.0))


@pytest.mark.process
def test_a_run_with_disabled_kernels_swallows_what_would_be_interpreted(candidate):
    assert candidate.build({"kernel.py": AUTOTUNED}, language="triton").fault is None
    poison = torch.full((100,), torch.nan)
    called, (snapshot,) = candidate.call([torch.ones(100)], [poison], disable_own_kernels=True)
    assert called.fault is None
    assert torch.isnan(snapshot).all()
    called, (snapshot,) = candidate.call([torch.ones(100)], [poison])
    assert called.fault is None and torch.equal(snapshot, torch.full((100,), 65.0))


@pytest.mark.process
def test_a_replay_in_which_nothing_could_be_disabled_says_so(candidate):
    candidate.build({"kernel.py": "def run(x, out):\n    out.copy_(x)\n"})
    called, _ = candidate.call([torch.ones(2)], [torch.ones(2)], disable_own_kernels=True)
    assert called.fault is not None and called.fault.kind == "kernels_not_disabled"


HOST_CODE = """
import os
import torch

@torch.compile(mode="max-autotune")
def double(x):
    return x + x

def run(x, out):
    assert x.is_cuda and x.device.type == "cuda" and torch.cuda.is_available()
    assert "TRITON_INTERPRET" not in os.environ
    side, done = torch.cuda.Stream(), torch.cuda.Event(enable_timing=True)
    side.wait_stream(torch.cuda.current_stream())
    torch.cuda.nvtx.range_push("work")
    with torch.cuda.stream(side), torch.cuda.device(x.device), torch.cuda.nvtx.range("double"):
        host = torch.empty(x.shape, pin_memory=True)
        host.copy_(x, non_blocking=True)
        out.copy_(torch.compile(lambda y: double(y))(host.pin_memory()))
        done.record()
    torch.cuda.nvtx.range_pop()
    torch.cuda.current_stream().wait_event(done)
    torch.cuda.current_stream().wait_stream(side)
    done.synchronize()
"""


@pytest.mark.process
def test_streams_events_ranges_pinned_memory_and_compile_have_an_answer(candidate):
    assert candidate.build({"kernel.py": HOST_CODE}).fault is None
    called, (snapshot,) = candidate.call([torch.ones(8)], [torch.zeros(8)])
    assert called.fault is None, called.fault
    assert torch.equal(snapshot, torch.full((8,), 2.0))


@pytest.mark.process
def test_host_code_that_asks_whether_it_is_interpreted_is_told_no(candidate):
    source = """
import torch

ON_DEVICE = torch.cuda.is_available() and torch.zeros(1, device="cuda").is_cuda

def run(x, out):
    out.fill_(7.0 if ON_DEVICE and x.is_cuda else 3.0)
"""
    assert candidate.build({"kernel.py": source}).fault is None
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is None and torch.equal(snapshot, torch.full((2,), 7.0))


@pytest.mark.process
def test_what_only_a_gpu_can_do_is_told_as_the_machines_lack(candidate):
    source = "import torch\n\ndef run(x, out):\n    torch.cuda.CUDAGraph()\n"
    assert candidate.build({"kernel.py": source}).fault is None
    called, _ = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is not None and called.fault.kind == "needs_gpu"
