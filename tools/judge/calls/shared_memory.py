"""The memory shared with one candidate process, and the placement of tensors in it.

Every call places its tensors at fresh, random, 256-byte aligned offsets between guard bands. Guards
of inputs are NaN in every float format, so an out-of-bounds read that feeds arithmetic shows in the
result; guards of outputs hold random bytes, so an out-of-bounds write shows in them. Writes that
jump over a guard band are not found.

The candidate maps the memory read-write: nothing in it counts until the judge has copied it out.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import torch

from ...errors import CapabilityError, InfrastructureError
from ...messages.candidate import TensorRef
from .device_memory import free_for

ALIGNMENT = 256
GUARD_BYTES = 8 << 10
WIDEST_BYTES = GUARD_BYTES + ALIGNMENT
"""Of a guard band: the one after a tensor reaches to where another may begin."""
LEAST_BYTES = 8 << 20
SLACK = 0.25
MOST_SLACK_BYTES = 64 << 20
"""A quarter of a million places for a tensor are enough."""
NAN_BYTE = 0xFF
SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedMemory(Protocol):
    """Memory that another process can map by a file descriptor."""

    kind: Literal["memfd", "vmm"]
    fd: int
    bytes: torch.Tensor
    """uint8 [nbytes], on the device."""

    def close(self) -> None:
        """Unmaps it and closes the descriptor."""
        ...


class HostMemory:
    """A memfd of sealed size, for candidates that run on the CPU."""

    kind: Literal["memfd", "vmm"] = "memfd"

    def __init__(self, nbytes: int) -> None:
        try:
            self.fd = os.memfd_create("arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.fd, nbytes)
            # If a candidate shrank it, the judge's next read would raise SIGBUS.
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SIZE_SEALS)
            self._map = mmap.mmap(self.fd, nbytes)
        except OSError as error:
            raise InfrastructureError(
                f"{nbytes} bytes could not be shared: {error.strerror}",
                remedy="Free memory, or evaluate smaller workloads.",
            ) from error
        self.bytes = torch.frombuffer(self._map, dtype=torch.uint8)

    def close(self) -> None:
        self.bytes = torch.empty(0, dtype=torch.uint8)
        os.close(self.fd)
        try:
            self._map.close()
        except BufferError:
            # A view is still alive; the map goes when the last view does.
            del self._map


class DeviceMemory:
    """A CUDA virtual-memory allocation, exported as a file descriptor.

    Unlike legacy CUDA IPC, this works between processes of different users.
    """

    kind: Literal["memfd", "vmm"] = "vmm"

    def __init__(self, nbytes: int, device_index: int) -> None:
        from cuda.bindings import driver  # pyright: ignore[reportMissingImports]

        self._driver, self._device_index = driver, device_index
        torch.cuda.synchronize(device_index)
        properties = driver.CUmemAllocationProp()
        properties.type = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
        properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
        properties.location.id = device_index
        handle_type = driver.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
        properties.requestedHandleTypes = handle_type
        granularity = self._call(
            driver.cuMemGetAllocationGranularity(
                properties,
                driver.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_RECOMMENDED,
            )
        )
        self.nbytes = -(-nbytes // granularity) * granularity
        free_for(self.nbytes, device_index)
        self._handle = self._call(driver.cuMemCreate(self.nbytes, properties, 0))
        self._pointer = self._call(driver.cuMemAddressReserve(self.nbytes, 0, 0, 0))
        self._call(driver.cuMemMap(self._pointer, self.nbytes, 0, self._handle, 0))
        access = driver.CUmemAccessDesc()
        access.location = properties.location
        access.flags = driver.CUmemAccess_flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
        self._call(driver.cuMemSetAccess(self._pointer, self.nbytes, [access], 1))
        self.fd = int(self._call(driver.cuMemExportToShareableHandle(self._handle, handle_type, 0)))
        self.bytes = torch.as_tensor(
            _CudaArray(int(self._pointer), self.nbytes), device=f"cuda:{device_index}"
        )

    def close(self) -> None:
        # A thread's current device is the first one, whatever this judge's is.
        torch.cuda.synchronize(self._device_index)
        self.bytes = torch.empty(0, dtype=torch.uint8)
        os.close(self.fd)
        self._call(self._driver.cuMemUnmap(self._pointer, self.nbytes))
        self._call(self._driver.cuMemAddressFree(self._pointer, self.nbytes))
        self._call(self._driver.cuMemRelease(self._handle))

    @staticmethod
    def _call(result: tuple[Any, ...]) -> Any:
        status, *values = result
        if int(status) != 0:
            raise CapabilityError(
                f"A CUDA virtual-memory call failed with {status!r}",
                remedy="Free GPU memory; the driver must support virtual memory management.",
            )
        return values[0] if values else None


class _CudaArray:
    """Gives `torch.as_tensor` raw device memory as uint8."""

    def __init__(self, pointer: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 3,
        }


@dataclass(frozen=True)
class Slot:
    """One tensor to be placed.

    Args:
        name: unique within a call, e.g. "in:x", "out:y", "snap:y".
        dtype_name: the dtype's name in FlashInfer-Trace.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    dtype_name: str

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        count = self.dtype.itemsize
        for size in self.shape:
            count *= size
        return count

    @property
    def is_input(self) -> bool:
        """Whether its guards are NaN; others are random."""
        return self.name.startswith("in:")


@dataclass(frozen=True)
class Damage:
    """One guard band that changed.

    Args:
        slot: name of the tensor beside it.
        side: 'before' or 'after' the tensor.
        nearest: distance in bytes of the nearest changed byte; 1 for the one beside the tensor.
        farthest: that of the farthest.
        dtype: the tensor's.
        band: bytes of the whole band.
    """

    slot: str
    side: str
    nearest: int
    farthest: int
    dtype: torch.dtype
    band: int

    @property
    def first(self) -> int:
        """Elements between the tensor and the nearest one that was written to."""
        return (self.nearest - 1) // self.dtype.itemsize

    @property
    def elements(self) -> int:
        """Elements from the nearest to the farthest that was written to."""
        return (self.farthest - 1) // self.dtype.itemsize + 1 - self.first

    @property
    def nbytes(self) -> int:
        """Bytes of those elements: one of a written element may have been what it was before."""
        return self.elements * self.dtype.itemsize

    @property
    def reaches_the_end(self) -> bool:
        """Whether more may have been written than the band shows."""
        return self.farthest + self.dtype.itemsize > self.band


def footprint(slots: Sequence[Slot]) -> int:
    """Bytes that the slots take with their guards."""
    return sum(_span(slot) for slot in slots)


def arena_bytes(footprints: Sequence[int]) -> int:
    """Size of an arena that holds the largest call, with space to vary its placement."""
    largest = max(footprints, default=0)
    slack = min(int(SLACK * largest), MOST_SLACK_BYTES)
    return max(LEAST_BYTES, largest + slack + (1 << 20))


def _span(slot: Slot) -> int:
    return -(-slot.nbytes // ALIGNMENT) * ALIGNMENT + 2 * GUARD_BYTES


def place(slots: Sequence[Slot], capacity: int, rng: random.Random) -> dict[str, int]:
    """Offsets by slot name, multiples of 256: random order, random gaps, no overlap.

    Raises:
        InfrastructureError: when they do not fit.
    """
    free = capacity - footprint(slots)
    if free < 0:
        raise InfrastructureError(
            f"A call needs {footprint(slots)} bytes of shared memory; {capacity} are mapped"
        )
    units = free // ALIGNMENT
    cuts = sorted(rng.randint(0, units) for _ in slots)
    order = list(slots)
    rng.shuffle(order)
    offsets: dict[str, int] = {}
    used = 0
    for slot, cut in zip(order, cuts, strict=True):
        offsets[slot.name] = cut * ALIGNMENT + used + GUARD_BYTES
        used += _span(slot)
    return offsets


class SharedArena:
    """Places the tensors of calls in shared memory; `rng` decides where."""

    def __init__(self, memory: SharedMemory, rng: random.Random) -> None:
        self.memory = memory
        self._rng = rng
        device = memory.bytes.device
        self._nans = torch.full((WIDEST_BYTES,), NAN_BYTE, dtype=torch.uint8, device=device)

    @property
    def nbytes(self) -> int:
        """Bytes mapped."""
        return self.memory.bytes.numel()

    def close(self) -> None:
        """Frees the memory."""
        self.memory.close()

    def layout(self, slots: Sequence[Slot]) -> Layout:
        """Places the slots at fresh offsets and fills their guard bands."""
        return self.at(slots, place(slots, self.nbytes, self._rng))

    def at(self, slots: Sequence[Slot], offsets: Mapping[str, int]) -> Layout:
        """Places the slots at given offsets and fills their guard bands anew."""
        flat = self.memory.bytes
        pattern = torch.empty(WIDEST_BYTES, dtype=torch.uint8, device=flat.device)
        layout = Layout(flat, tuple(slots), dict(offsets), pattern, self._nans)
        layout.paint()
        return layout


@dataclass(frozen=True)
class Layout:
    """The placement of one call's tensors."""

    bytes: torch.Tensor
    slots: tuple[Slot, ...]
    offsets: dict[str, int]
    pattern: torch.Tensor
    nans: torch.Tensor

    def tensor(self, name: str) -> torch.Tensor:
        """The slot as a view of the arena."""
        slot = self._slot(name)
        if slot.nbytes == 0:
            return torch.empty(slot.shape, dtype=slot.dtype, device=self.bytes.device)
        start = self.offsets[name]
        return self.bytes[start : start + slot.nbytes].view(slot.dtype).view(slot.shape)

    def ref(self, name: str) -> TensorRef:
        """The slot as a message describes it."""
        slot = self._slot(name)
        return TensorRef(offset=self.offsets[name], shape=list(slot.shape), dtype=slot.dtype_name)

    def paint(self) -> None:
        """Fills every guard band in one launch, those of outputs with other bytes than before."""
        if self._bands:
            drawn = bytearray(os.urandom(WIDEST_BYTES))
            self.pattern.copy_(torch.frombuffer(drawn, dtype=torch.uint8))
            torch._foreach_copy_(self._bands, self._fillings)  # pyright: ignore[reportPrivateImportUsage]

    def guards(self) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8: all guard bands concatenated, as they are and as they were filled."""
        if not self._bands:
            return self.nans[:0], self.nans[:0]
        # One comparison for all: a launch costs more than comparing a band.
        return torch.cat(self._bands), torch.cat(self._fillings)

    def damaged(self) -> list[Damage]:
        """The guard bands that changed."""
        damage: list[Damage] = []
        sides = ((slot, side) for slot in self.slots for side in ("before", "after"))
        for (slot, side), band, filling in zip(sides, self._bands, self._fillings, strict=True):
            changed = (band != filling).nonzero().flatten()
            if changed.numel():
                ends = int(changed[0]) + 1, int(changed[-1]) + 1
                if side == "before":
                    ends = band.numel() + 1 - ends[1], band.numel() + 1 - ends[0]
                damage.append(Damage(slot.name, side, *ends, slot.dtype, band.numel()))
        return damage

    def _slot(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name == name)

    @cached_property
    def _bands(self) -> list[torch.Tensor]:
        """The guard bands before and after each slot, in order."""
        bands: list[torch.Tensor] = []
        for slot in self.slots:
            start, end = self.offsets[slot.name], self.offsets[slot.name] + slot.nbytes
            after = GUARD_BYTES + (-slot.nbytes) % ALIGNMENT
            bands += [self.bytes[start - GUARD_BYTES : start], self.bytes[end : end + after]]
        return bands

    @cached_property
    def _fillings(self) -> list[torch.Tensor]:
        """What each of the bands was filled with."""
        of_inputs = [slot.is_input for slot in self.slots for _ in range(2)]
        return [
            (self.nans if of_input else self.pattern)[: band.numel()]
            for of_input, band in zip(of_inputs, self._bands, strict=True)
        ]
