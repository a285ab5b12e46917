"""Without a GPU, host code meets two memories: what would fail on a device fails here."""

from __future__ import annotations

import copy
import importlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kernel_harness.tools.candidate.cpu import fake_tensors
from kernel_harness.tools.candidate.cpu.fake_memory import Memory, lay, memory_of
from kernel_harness.tools.candidate.cpu.fake_tensors import OnTheCpu

DEVICE = torch.device("cuda", 0)
LEGACY_TYPES = [name for name in vars(torch.cuda) if name.endswith("Tensor") and name[0].isupper()]


@pytest.fixture
def everywhere(monkeypatch):
    """Devices are seen in threads and elsewhere, for one test.

    Torch's compiler keeps the attributes that tensors have when it is imported, as a mode does.
    """
    importlib.import_module("torch._dynamo")
    kept = [(torch, name) for name in ("from_numpy", "frombuffer", "save", "load")]
    kept += [(torch.UntypedStorage, name) for name in ("data_ptr", "device", "is_cuda")]
    kept += [(torch.Tensor, name) for name in ("device", "get_device", "is_cpu", "is_cuda")]
    kept += [(torch.library.Library, name) for name in ("impl", "__init__")]
    kept += [(place, name) for place in (torch, torch.cuda) for name in LEGACY_TYPES]
    for place, name in [*kept, (threading.Thread, "start")]:
        monkeypatch.setattr(place, name, getattr(place, name))
    fake_tensors.see_devices_everywhere()


def given(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor as a candidate gets it."""
    tensor = torch.ones(shape, dtype=dtype)
    lay([tensor])
    return tensor


def test_tensors_asked_for_on_cuda_are_made_on_the_cpu():
    with OnTheCpu():
        made = [
            torch.ones(2, device="cuda:1"),
            torch.ones(2, device=0),
            torch.ones(2).to(torch.device("cuda")),
            torch.ones(2).to("cuda", torch.float16),
            torch.ones(2).to(given(1)),
            torch.ones(2).to(0),
            torch.ones(2).cuda(),
            torch.empty_like(torch.ones(2), device="cuda"),
            given(2).new_zeros(3),
            given(2, 2)[:1].T,
            *torch.split(given(4), 2),
        ]
        with torch.device("cuda"):
            made += [torch.zeros(2), torch.arange(3), torch.tensor([1.0])]
        seen = [(t.is_cuda, t.is_cpu, t.device) for t in made]
    assert seen == [(True, False, DEVICE)] * len(made)
    assert [memory_of(t) for t in made] == [Memory.DEVICE] * len(made)
    assert all(t.device.type == "cpu" for t in made)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda", 0)])
def test_a_module_that_is_moved_has_its_buffers_there(device):
    with OnTheCpu():
        norm = torch.nn.BatchNorm1d(3).to(device)
        assert norm(given(2, 3)).is_cuda
        assert {memory_of(buffer) for buffer in norm.buffers()} == {Memory.DEVICE}
        norm.to("cpu", torch.float64)
        assert {memory_of(buffer) for buffer in norm.buffers()} == {Memory.HOST}
        with pytest.raises(RuntimeError, match="two devices"):
            norm(given(2, 3, dtype=torch.float64))


def test_tensors_made_without_a_device_lie_in_the_memory_of_the_host(everywhere):
    with OnTheCpu():
        made = [
            torch.ones(2),
            torch.arange(3) + 1,
            torch.from_numpy(np.ones(2)),
            torch.zeros(2, device="cpu"),
            torch.zeros(2, device="cuda", dtype=torch.int32).cpu(),
            given(2).to("cpu", torch.float64),
            torch.stack([torch.ones(2), torch.ones(2)]),
        ]
        seen = [(t.is_cuda, t.is_cpu, t.device.type) for t in made]
        assert seen == [(False, True, "cpu")] * len(made)
        assert made[0].get_device() == -1 and not made[0].is_pinned()
        assert made[0].pin_memory().is_pinned()


@pytest.mark.parametrize(
    "moved", [lambda t: t.cpu(), lambda t: t.to("cpu"), lambda t: t.to(device=torch.device("cpu"))]
)
def test_a_copy_to_the_host_is_a_copy(moved):
    x = given(4)
    with OnTheCpu():
        moved(x).zero_()
        kept = moved(x).cuda()
        kept.zero_()
        assert x.cuda() is x and x.to("cuda:0") is x
    assert torch.equal(x, torch.ones(4))


def test_numpy_refuses_what_lies_on_a_device():
    x = given(2)
    with OnTheCpu():
        for convert in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.add(x, 1)):
            with pytest.raises(TypeError, match="Use Tensor.cpu"):
                convert()
        assert x.cpu().numpy().tolist() == torch.ones(2).numpy().tolist() == [1, 1]


MIXED = {
    "sum": lambda x, h: x + h,
    "in place": lambda x, h: x.mul_(h),
    "by function": lambda x, h: torch.matmul(h, x),
    "functional": lambda x, h: torch.nn.functional.linear(x, h),
    "list": lambda x, h: torch.cat([x, h]),
    "out": lambda x, h: torch.add(x, x, out=h),
    "gather": lambda x, h: x.gather(0, h.long()),
    "index of a device": lambda x, h: h[x.long()],
}


@pytest.mark.parametrize("name", MIXED)
def test_tensors_of_two_memories_are_not_mixed(name):
    x = given(4)
    with OnTheCpu(), pytest.raises(RuntimeError, match="same device"):
        MIXED[name](x, torch.ones(4))


ALLOWED = {
    "copy": lambda x, h: x.copy_(h),
    "number": lambda x, h: x * h[0],
    "index": lambda x, h: x[h.long() * 0],
    "write": lambda x, h: x.__setitem__(slice(None), h),
    "shape": lambda x, h: x.expand_as(h),
    "unknown": lambda x, h: torch.nn.Parameter(h) * x,
    "unknown on the host": lambda x, h: torch.nn.Parameter(h) * h,
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_device_allows_is_allowed(name):
    x = given(4)
    with OnTheCpu():
        ALLOWED[name](x, torch.ones(4))


def test_questions_by_other_ways_have_the_answers_of_a_device(everywhere):
    x = given(2, dtype=torch.bfloat16)
    host = torch.ones(2)
    with OnTheCpu():
        lay([host], Memory.HOST)
        assert x.type() == "torch.cuda.BFloat16Tensor" and host.type() == "torch.FloatTensor"
        assert x.type("torch.cuda.FloatTensor").dtype is torch.float32
        assert x.untyped_storage().device == x.storage().device == DEVICE
        assert x.untyped_storage().is_cuda and not host.untyped_storage().is_cuda
        assert "device='cuda:0'" in repr(x) and "cuda" not in repr(host)
        assert x.__dlpack_device__() == (2, 0) and host.__dlpack_device__()[0] == 1
        interface: Any = x.__cuda_array_interface__
        assert interface["data"] == (x.data_ptr(), False)
        assert not hasattr(host, "__cuda_array_interface__")


def test_old_types_of_tensors_tell_a_device_from_the_host(everywhere):
    x = given(2)
    host_types: Any = torch
    cuda: Any = torch.cuda
    with OnTheCpu():
        host = torch.ones(2)
        assert isinstance(x, cuda.FloatTensor) and not isinstance(x, host_types.FloatTensor)
        assert isinstance(host, host_types.FloatTensor) and not isinstance(host, cuda.FloatTensor)
        assert not isinstance(x, cuda.HalfTensor) and not isinstance(2.0, host_types.FloatTensor)
        made = cuda.FloatTensor([1.0, 2.0])
        assert made.is_cuda and made.tolist() == [1, 2] and not host_types.FloatTensor(2).is_cuda
        moved = x.type(host_types.FloatTensor)
        assert not moved.is_cuda and moved.data_ptr() != x.data_ptr()
        assert host.type(cuda.FloatTensor).is_cuda and host.type("torch.cuda.IntTensor").is_cuda
        assert x.type(torch.float16).is_cuda and x.type("torch.cuda.FloatTensor") is x


def test_memory_of_a_device_is_shared_and_never_pinned(everywhere):
    x = given(2)
    with OnTheCpu():
        assert x.is_shared() and not torch.ones(2).is_shared()
        assert not x.is_pinned()
        with pytest.raises(RuntimeError, match="cannot pin 'torch.cuda.FloatTensor'"):
            x.pin_memory()


def test_threads_see_devices_as_the_thread_that_starts_them_does(everywhere):
    x, seen = given(2), []
    thread = threading.Thread(target=lambda: seen.append(x.is_cuda))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        assert seen == [True] and pool.submit(lambda: x.is_cuda).result()


def test_operations_that_make_or_change_tensors_are_noted_and_questions_are_not():
    noted: list[str] = []
    x = given(2, 2)
    with OnTheCpu(lambda name, arguments: noted.append(name)):
        assert x.is_cuda and x.shape == (2, 2) and x.sum().item() == 4
        x.mul_(2)
        x[0] = 1
        x.data = torch.zeros_like(x)
    assert noted == ["sum", "mul_", "__setitem__", "zeros_like", "__set__"]


def test_tensors_can_be_saved_copied_and_loaded(everywhere, tmp_path):
    x = given(4)
    with OnTheCpu():
        torch.save({"x": x, "h": torch.ones(2)}, tmp_path / "kept.pt")
        kept = torch.load(tmp_path / "kept.pt", map_location=torch.device("cuda"))
        assert torch.equal(kept["x"] + x, 2 * x)
        assert copy.deepcopy(x).is_cuda and pickle.loads(pickle.dumps(x)).shape == (4,)


HOST_TENSOR = """
import torch
import triton
import triton.language as tl

@triton.jit
def _copy(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n), i < n)

def run(x, out):
    held = torch.empty(x.shape{device})
    _copy[lambda meta: (int(held.is_cuda),)](x, held, x.numel(), BLOCK=64)
    out.copy_(held)
"""


@pytest.mark.process
def test_a_kernel_is_not_launched_on_memory_that_a_device_cannot_reach(candidate):
    source = HOST_TENSOR.format(device="")
    assert candidate.build({"kernel.py": source}, language="triton").fault is None
    called, _ = candidate.call([torch.ones(8)], [torch.zeros(8)])
    assert called.fault is not None and "cannot be accessed from Triton" in called.fault.message


@pytest.mark.process
@pytest.mark.parametrize("device", [", device='cuda'", ", device=x.device", ", pin_memory=True"])
def test_a_kernel_is_launched_on_what_it_can_reach(candidate, device):
    source = HOST_TENSOR.format(device=device).replace("int(held.is_cuda)", "1")
    assert candidate.build({"kernel.py": source}, language="triton").fault is None
    called, (snapshot,) = candidate.call([torch.ones(8)], [torch.zeros(8)])
    assert called.fault is None and torch.equal(snapshot, torch.ones(8))


@pytest.mark.process
def test_an_output_in_the_memory_of_the_host_is_refused(candidate):
    source = "import torch\n\ndef run(x):\n    return torch.ones(8)\n"
    candidate.build({"kernel.py": source}, destination_passing_style=False)
    called, _ = candidate.call([torch.ones(8)], [torch.zeros(8)])
    assert called.fault is not None and called.fault.kind == "wrong_device"


def test_host_code_that_torch_calls_sees_devices(everywhere):
    seen: list[bool] = []

    class Size:
        def __index__(self) -> int:
            seen.append(tensor.is_cuda and not tensor.is_cpu and tensor.get_device() == 0)
            return 2

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(args[0].device == DEVICE)
            return func(*args, **(kwargs or {}))

    tensor = given(4)
    with OnTheCpu():
        torch.ones(1).expand(Size())  # pyright: ignore[reportCallIssue, reportArgumentType]
        with Seeing():
            tensor.sum()
        with torch._C.DisableTorchFunction():
            seen.append(tensor.is_cuda)
    assert len(seen) >= 3 and all(seen)


def test_an_operator_of_ones_own_calls_its_kernel_for_cuda(everywhere):
    where: list[str] = []

    @torch.library.custom_op("kh_tests::own", mutates_args=(), device_types="cpu")
    def own(x: torch.Tensor) -> torch.Tensor:
        where.append("cpu")
        return x + 1

    @own.register_kernel("cuda")
    def _(x: torch.Tensor) -> torch.Tensor:
        assert x.is_cuda and x.device == DEVICE
        where.append("cuda")
        return x + 2

    library = torch.library.Library("kh_tests_plain", "DEF")
    library.define("own(Tensor x) -> Tensor")
    library.impl("own", lambda x: x + 2, "CUDA")
    library.impl("own", lambda x: x + 1, "CPU")
    cuda = torch.library.Library("kh_tests_plain", "IMPL", "CUDA")
    cuda.impl("own", lambda x: x + 3)
    with OnTheCpu():
        assert own(given(1)).item() == 3
        assert torch.ops.kh_tests_plain.own(given(1)).item() == 4
    assert where == ["cuda"]


def test_new_memory_is_not_zero():
    with OnTheCpu():
        floats = [
            torch.empty(1 << 20, device="cuda"),
            torch.empty_like(given(3)),
            given(2).new_empty(5, dtype=torch.float8_e4m3fn),
        ]
        numbers = torch.empty(4, dtype=torch.int64, device="cuda")
        truths = torch.empty(3, dtype=torch.bool)
    assert all(bool(made.float().isnan().all()) for made in floats)
    assert bool((numbers > 1 << 60).all()) and bool(truths.all())
