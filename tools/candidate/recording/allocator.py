"""Torch's device memory, taken from a reservation of addresses that a runner can have, too.

Addresses that the driver chooses cannot be had again in another process.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_size_t, c_uint64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import CapabilityError
from ...messages.launch_plan import RESERVATION_BASE, SCRATCH_BYTES

MOST_BLOCKS = 262_144
RESERVED_BYTES = 256 << 20


@dataclass(frozen=True)
class Block:
    """Memory that was given: bytes as rounded up; `serial` grows with each allocation."""

    address: int
    nbytes: int
    serial: int
    live: bool


class ScratchAllocator:
    """The compiled allocator of this process.

    Args:
        library: what `driver.scratch_library.build_library` gave.

    Raises:
        CapabilityError: when the driver lacks virtual memory.
    """

    def __init__(self, library: Path) -> None:
        self._path = library
        self._library = ctypes.CDLL(str(library))
        self._library.kh_serial.restype = c_uint64
        self._library.kh_blocks.restype = c_size_t
        status = self._library.kh_setup(c_uint64(RESERVATION_BASE), c_uint64(SCRATCH_BYTES))
        if status:
            raise CapabilityError(
                f"The driver cannot map memory at fixed addresses ({status})",
                remedy="Update the driver; times stay claimed without it.",
            )

    def install(self) -> None:
        """Makes torch allocate here; before CUDA is started in this process."""
        import torch

        allocator = torch.cuda.memory.CUDAPluggableAllocator(str(self._path), "kh_alloc", "kh_free")
        record = ctypes.cast(self._library.kh_record_stream, ctypes.c_void_p).value
        handle: Any = allocator.allocator()
        # Without it, memory that a second stream uses must not be freed before the call's end.
        if hasattr(handle, "set_record_stream_fn"):
            handle.set_record_stream_fn(record)
        torch.cuda.memory.change_current_allocator(allocator)

    def reserve(self, device_index: int, nbytes: int = RESERVED_BYTES) -> None:
        """Maps memory ahead, so that a capture needs no call of the driver for it."""
        if status := self._library.kh_ready(c_uint64(nbytes), c_int(device_index)):
            raise CapabilityError(
                f"{nbytes} bytes of scratch could not be mapped (CUDA error {status})",
                remedy="Free GPU memory.",
            )

    def drain(self) -> None:
        """Lets free memory be given again in other sizes and to other streams, or goes back.

        The device must be at rest.
        """
        self._library.kh_drain()

    @property
    def failure(self) -> int:
        """The driver's error when memory could last not be given; 0 when it always could."""
        return self._library.kh_failure()

    def serial(self) -> int:
        """The serial number that the next block will have."""
        return self._library.kh_serial()

    def blocks(self) -> list[Block]:
        """Every block, live or free, as it is now."""
        raw = (c_uint64 * (4 * MOST_BLOCKS))()
        count = self._library.kh_blocks(raw, c_size_t(MOST_BLOCKS))
        return [
            Block(raw[4 * i], raw[4 * i + 1], raw[4 * i + 2], bool(raw[4 * i + 3]))
            for i in range(count)
        ]
