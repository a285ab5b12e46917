"""The kernels on a GPU: loaded by the driver, compared with their definition, launched.

They run on torch's current stream and fill torch's memory. Nothing is drawn with them before they
gave the values of the definition on this device; where they cannot be had there is a reason.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ctypes import byref, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...driver import modules
from ...driver.library import MULTIPROCESSORS, CudaDriver, Driver, device_attribute, start
from ...driver.modules import LaunchShape, PreparedLaunch
from ...errors import HarnessError
from .blocks import ROUNDS, round_keys, words_by_part
from .kernel_source import THREADS, source
from .tables import QUANTILES, e4m3_quantiles, normal_coefficients, normal_values, uniform_values

CHUNK = 16
"""Bytes that a thread computes at a time."""
PARAMETERS = struct.Struct(f"<QQQI{2 * ROUNDS}I")
COMPARED = 2_501
"""Values of each kernel that are compared with the definition: more than one block of threads."""


@dataclass(frozen=True)
class Stream:
    """A stream of random blocks: the key, and its number under this key."""

    key: int
    number: int


class PhiloxKernels:
    """The kernels in the primary context of a device, which is torch's.

    Args:
        driver: libcuda.
        device: whose memory is filled.

    Raises:
        DriverError: when the driver cannot compile them.
    """

    def __init__(self, driver: Driver, device: torch.device) -> None:
        self._driver, self._device = driver, device
        number = start(driver, device.index or 0)
        self._context = c_void_p()
        driver.call("cuCtxGetCurrent", byref(self._context))
        self._module = modules.load(driver, source())
        self._multiprocessors = device_attribute(driver, number, MULTIPROCESSORS)
        self._coefficients = torch.from_numpy(normal_coefficients()).to(device)
        self._quantiles: dict[float, torch.Tensor] = {}
        self._functions: dict[str, tuple[int, int]] = {}

    def words(self, stream: Stream, count: int) -> torch.Tensor:
        """Random words: int32 [count]."""
        out = self._empty(count, torch.int32)
        self._launch("philox_words", out, 0, stream)
        return out[:count]

    def uniforms(self, stream: Stream, count: int) -> torch.Tensor:
        """Values in [0, 1), multiples of 2^-24: float32 [count]."""
        out = self._empty(count, torch.float32)
        self._launch("philox_uniforms", out, 0, stream)
        return out[:count]

    def normals(self, stream: Stream, count: int) -> torch.Tensor:
        """Standard normal values: float32 [count]."""
        out = self._empty(count, torch.float32)
        self._launch("philox_normals", out, self._coefficients.data_ptr(), stream)
        return out[:count]

    def e4m3_normals(self, stream: Stream, count: int, spread: float) -> torch.Tensor:
        """Bytes of normal values in e4m3: uint8 [count]."""
        if spread not in self._quantiles:
            table = torch.from_numpy(e4m3_quantiles(spread)).to(self._device)
            self._quantiles[spread] = table
        out = self._empty(count, torch.uint8)
        table = self._quantiles[spread]
        self._launch("philox_quantiles", out, table.data_ptr(), stream, QUANTILES)
        return out[:count]

    def fault(self) -> str:
        """How the kernels differ from the definition, in words; empty when they do not."""
        stream, spread = Stream(0x0123_4567_89AB_CDEF, 7), 106.5
        defined = np.concatenate([w for _, w in words_by_part(stream.key, stream.number, COMPARED)])
        halves = defined.view(np.uint16)
        compared: dict[str, tuple[torch.Tensor, NDArray[Any]]] = {
            "words": (self.words(stream, COMPARED), defined),
            "uniform values": (self.uniforms(stream, COMPARED), uniform_values(defined)),
            "normal values": (self.normals(stream, COMPARED), normal_values(defined)),
            "e4m3 values": (
                self.e4m3_normals(stream, len(halves), spread),
                e4m3_quantiles(spread)[halves],
            ),
        }
        differing = [
            name
            for name, (got, expected) in compared.items()
            if got.cpu().numpy().tobytes() != expected.tobytes()
        ]
        return f"its {' and '.join(differing)} differ from the definition" if differing else ""

    def _empty(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """Memory for whole chunks: kernels write no part of one."""
        whole = -(-count * dtype.itemsize // CHUNK) * CHUNK
        return torch.empty(whole // dtype.itemsize, dtype=dtype, device=self._device)

    def _launch(
        self, name: str, out: torch.Tensor, table: int, stream: Stream, shared_bytes: int = 0
    ) -> None:
        chunks = out.nbytes // CHUNK
        if not chunks:
            return
        # The thread may be one that torch has not used yet.
        self._driver.call("cuCtxSetCurrent", self._context)
        function, resident = self._function(name, shared_bytes)
        blocks = min(-(-chunks // THREADS), resident * self._multiprocessors)
        parameters = PARAMETERS.pack(
            out.data_ptr(), table, chunks, stream.number, *round_keys(stream.key)
        )
        shape = LaunchShape((blocks, 1, 1), (THREADS, 1, 1), shared_bytes)
        PreparedLaunch(function, shape, parameters, _stream_of(out)).launch(self._driver)

    def _function(self, name: str, shared_bytes: int) -> tuple[int, int]:
        """A kernel, and how many blocks of it a multiprocessor holds."""
        if name not in self._functions:
            function = modules.function_of(self._driver, self._module, name)
            assert function is not None, f"there is no kernel {name}"
            if shared_bytes:
                most = modules.MAX_DYNAMIC_SHARED
                modules.set_attribute(self._driver, function, most, shared_bytes)
            resident = modules.resident_blocks(self._driver, function, THREADS, shared_bytes)
            self._functions[name] = function, max(1, resident)
        return self._functions[name]


def _stream_of(out: torch.Tensor) -> int:
    return torch.cuda.current_stream(out.device).cuda_stream if out.is_cuda else 0


@cache
def kernels_on(
    device: torch.device, driver: Callable[[], Driver] = CudaDriver
) -> tuple[PhiloxKernels | None, str]:
    """The kernels on a GPU, or None and why they cannot be used; found once."""
    try:
        kernels = PhiloxKernels(driver(), device)
        fault = kernels.fault()
    except (HarnessError, RuntimeError) as error:
        return None, f"the kernels of Philox do not run on this device: {error}"
    return (None, f"the kernels of Philox are not used: {fault}") if fault else (kernels, "")
