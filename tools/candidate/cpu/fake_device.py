"""A fake device, for Triton's interpreter and for compiling without launching.

Candidates ask for the current device, its streams and its number of multiprocessors before they
launch anything. Without a GPU those questions are answered by facts that the judge sends. Nothing
here runs on a GPU or is used where one is.

It cannot make host code that reads results back behave as on a device of another size.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from ...messages.candidate import DeviceFacts
from .fake_memory import DEVICE
from .fake_tensors import see_devices_everywhere

TOOLKIT = "13.0"
"""The version of CUDA that a build of torch without CUDA says it was made for."""


class FakeDriver:
    """Stands in for Triton's driver.

    The device's number is its capability, by which Triton keeps its compiled kernels apart.
    """

    def __init__(self, facts: DeviceFacts) -> None:
        from triton.backends.compiler import GPUTarget

        self._target = GPUTarget("cuda", facts.capability, facts.warp_size)
        self._capability = facts.capability
        self.utils = SimpleNamespace(
            get_device_properties=lambda device: {
                "max_shared_mem": facts.shared_bytes_per_block,
                "multiprocessor_count": facts.sm_count,
                "max_num_regs": facts.registers_per_sm,
                "warpSize": facts.warp_size,
                "sm_clock_rate": 1_980_000,
                "mem_clock_rate": facts.memory_clock_khz,
                "mem_bus_width": 5120,
            }
        )

    def get_current_target(self) -> Any:
        """The target to compile for."""
        return self._target

    def get_current_device(self) -> int:
        """The device's number."""
        return self._capability

    def set_current_device(self, device: int) -> None:
        """Does nothing: there is one device."""

    def get_current_stream(self, device: int | None = None) -> int:
        """The default stream."""
        return 0

    def get_device_capability(self, device: int | None = None) -> tuple[int, int]:
        """Major and minor compute capability."""
        return divmod(self._capability, 10)

    def get_active_torch_device(self) -> torch.device:
        """The device that holds the tensors, as far as host code can see."""
        return DEVICE

    def get_device_interface(self) -> Any:
        """The module that torch would have for the device."""
        return torch.cuda

    def get_benchmarker(self) -> Callable[..., list[float]]:
        """A benchmark that runs nothing: without a device the first configuration is taken."""
        return lambda call, quantiles=(), **options: [1.0] * max(len(quantiles), 1)

    def get_empty_cache_for_benchmark(self) -> torch.Tensor:
        """Does nothing: there is no cache."""
        return torch.empty(0)

    def clear_cache(self, cache: Any) -> None:
        """Does nothing: there is no cache."""


FakeDriver.__name__ = FakeDriver.__qualname__ = "CudaDriver"  # as Triton's own, if asked


def use_fake_driver(facts: DeviceFacts) -> None:
    """Makes a fake driver Triton's active one, for good."""
    from triton.runtime import driver

    driver.set_active(FakeDriver(facts))  # pyright: ignore[reportArgumentType]


def take_first_configuration() -> None:
    """Has Triton's autotuner measure nothing and take the first configuration, for good."""
    from triton.runtime import autotuner

    def untimed(self: Any, *arguments: Any, config: Any, **meta: Any) -> list[float]:
        return [1.0, 1.0, 1.0]

    autotuner.Autotuner._bench = untimed


def interpret_unseen() -> None:
    """Has Triton interpret, for good, without the variable by which host code could tell."""
    from triton import knobs

    knobs.runtime.interpret = True
    os.environ.pop("TRITON_INTERPRET", None)  # noqa: TID251 - the candidate's own environment


class _NoContext(contextlib.nullcontext[None]):
    """A device or stream that is entered and left without effect."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__()


class FakeStream(_NoContext):
    """A stream on which everything has happened when it is asked for."""

    cuda_stream = 0
    device = DEVICE
    device_index = 0
    priority = 0

    def wait_stream(self, stream: Any) -> None:
        """Nothing is left to wait for."""

    def wait_event(self, event: Any) -> None:
        """Nothing is left to wait for."""

    def record_event(self, event: Any = None) -> FakeEvent:
        """An event that has happened."""
        return event or FakeEvent()

    def synchronize(self) -> None:
        """Nothing is left to wait for."""

    def query(self) -> bool:
        """Whether all work is done: always."""
        return True


class FakeEvent:
    """An event that has happened; the time between two is 0."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def record(self, stream: Any = None) -> None:
        """Does nothing: the event has happened."""

    def wait(self, stream: Any = None) -> None:
        """Nothing is left to wait for."""

    def synchronize(self) -> None:
        """Nothing is left to wait for."""

    def query(self) -> bool:
        """Whether it has happened: always."""
        return True

    def elapsed_time(self, event: Any) -> float:
        """No time is measured on a CPU."""
        return 0.0


def _properties(facts: DeviceFacts) -> SimpleNamespace:
    """What torch tells of a device's properties."""
    major, minor = divmod(facts.capability, 10)
    return SimpleNamespace(
        name=facts.name,
        major=major,
        minor=minor,
        gcnArchName="",
        is_integrated=False,
        is_multi_gpu_board=False,
        multi_processor_count=facts.sm_count,
        total_memory=80 << 30,
        L2_cache_size=facts.l2_bytes,
        max_threads_per_multi_processor=facts.threads_per_sm,
        shared_memory_per_block=48 << 10,
        shared_memory_per_block_optin=facts.shared_bytes_per_block,
        shared_memory_per_multiprocessor=facts.shared_bytes_per_sm,
        regs_per_multiprocessor=facts.registers_per_sm,
        warp_size=facts.warp_size,
    )


def answer_for_cuda(facts: DeviceFacts) -> None:
    """Has `torch.cuda` answer for a fake device, for good.

    `torch.compile` gives back what it was given: there is no device to compile for.
    """
    properties, stream = _properties(facts), FakeStream()
    for name, answer in {
        "Event": FakeEvent,
        "ExternalStream": FakeStream,
        "Stream": FakeStream,
        "current_device": lambda: 0,
        "current_stream": lambda device=None: stream,
        "default_stream": lambda device=None: stream,
        "device": _NoContext,
        "device_count": lambda: 1,
        "device_of": _NoContext,
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "get_device_name": lambda device=None: properties.name,
        "get_device_properties": lambda device=None: properties,
        "is_available": lambda: True,
        "is_bf16_supported": lambda including_emulation=True: True,
        "mem_get_info": lambda device=None: (70 << 30, 80 << 30),
        "memory_allocated": lambda device=None: 0,
        "set_device": lambda device: None,
        "set_stream": lambda stream: None,
        "stream": _NoContext,
        "synchronize": lambda device=None: None,
    }.items():
        setattr(torch.cuda, name, answer)
    for name in ("mark", "range_end", "range_pop", "range_push", "range_start"):
        setattr(torch.cuda.nvtx, name, lambda *words: 0)
    _answer_for_accelerator(stream)
    torch.backends.cuda.is_built = lambda: True
    if torch.version.cuda is None:
        torch.version.cuda = TOOLKIT
        torch.__version__ = _of_a_build_with_cuda(torch.__version__)
    torch.compile = _uncompiled
    see_devices_everywhere()


def _of_a_build_with_cuda(version: Any) -> Any:
    return type(version)(str(version).replace("+cpu", f"+cu{TOOLKIT.replace('.', '')}"))


def _answer_for_accelerator(stream: FakeStream) -> None:
    for name, answer in {
        "current_accelerator": lambda check_available=False: torch.device("cuda"),
        "current_device_index": lambda: 0,
        "current_stream": lambda device=None: stream,
        "device_count": lambda: 1,
        "is_available": lambda: True,
        "synchronize": lambda device=None: None,
    }.items():
        setattr(torch.accelerator, name, answer)


def _uncompiled(model: Any = None, **options: Any) -> Any:
    return (lambda function: function) if model is None else model
