"""Maps the memory shared with the judge: one flat buffer, and tensors as views of it.

The judge allocates and fills it; this process maps it and views it. On a CPU it is a memfd, on a
GPU a virtual-memory allocation whose POSIX descriptor was handed over. It cannot keep a candidate
inside the views it was given: guards and checks lie with the judge. What it returns in memory of
its own is remembered here, that no later call returns it again.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from ...messages.candidate import Argument, MapArena, TensorRef
from ...messages.launch_plan import ARENA_BYTES
from ..faults import CandidateError

HELD_CALLS = 8
HELD_FOREIGN_BYTES = 256 << 20
"""Of memory that torch did not allocate, whose owner cannot be asked whether he keeps it."""

DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
    "float4_e2m1fn_x2": torch.float4_e2m1fn_x2,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


class MappedArena:
    """The mapped memory; `flat` is all of it, uint8 [nbytes] on its device."""

    def __init__(self, flat: torch.Tensor) -> None:
        self.flat = flat
        self.begin = flat.data_ptr()
        self.end = self.begin + flat.numel()

    @property
    def device(self) -> torch.device:
        """The device of the candidate's tensors."""
        return self.flat.device

    def tensor(self, ref: TensorRef) -> torch.Tensor:
        """Views a part of the arena as a contiguous tensor.

        Raises:
            CandidateError: when the reference does not fit the arena.
        """
        dtype = DTYPES.get(ref.dtype)
        if dtype is None:
            raise CandidateError("unknown_dtype", f"No tensor can be made of dtype {ref.dtype!r}")
        count = 1
        for extent in ref.shape:
            count *= extent
        nbytes = count * dtype.itemsize
        if ref.offset + nbytes > self.flat.numel():
            raise CandidateError("arena", f"{nbytes} bytes at {ref.offset} exceed the arena")
        if nbytes == 0:
            return torch.empty(ref.shape, dtype=dtype, device=self.device)
        return self.flat[ref.offset : ref.offset + nbytes].view(dtype).view(ref.shape)

    def values(self, arguments: Sequence[Argument]) -> list[Any]:
        """Turns a call's arguments into tensors and Python scalars, in order."""
        return [self.tensor(a) if isinstance(a, TensorRef) else a.value for a in arguments]

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether any byte of the tensor's storage lies inside the arena."""
        storage = tensor.untyped_storage()
        begin = storage.data_ptr()
        return storage.nbytes() > 0 and begin < self.end and self.begin < begin + storage.nbytes()


def lies_in(value: torch.Tensor, argument: torch.Tensor) -> bool:
    """Whether every element of a tensor is memory of an argument, which is contiguous."""
    begin, first = value.data_ptr(), argument.data_ptr()
    last = sum((n - 1) * step for n, step in zip(value.shape, value.stride(), strict=True))
    return first <= begin and begin + (last + 1) * value.itemsize <= first + argument.nbytes


def map_arena(request: MapArena, fd: int) -> MappedArena:
    """Maps the buffer behind `fd`, which is closed.

    Raises:
        CandidateError: when the driver refuses the allocation's handle.
    """
    try:
        if request.memory == "memfd":
            return MappedArena(torch.frombuffer(mmap.mmap(fd, request.nbytes), dtype=torch.uint8))
        return MappedArena(_map_device_memory(request, fd))
    finally:
        os.close(fd)


class _DeviceBuffer:
    """Gives torch memory that it did not allocate, by the CUDA array interface."""

    def __init__(self, pointer: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 3,
        }


def _map_device_memory(request: MapArena, fd: int) -> torch.Tensor:
    from cuda.bindings import driver  # pyright: ignore[reportMissingImports]

    def checked(result: tuple[Any, ...], what: str) -> Any:
        if int(result[0]) != 0:
            raise CandidateError("cuda_error", f"{what} failed: {result[0]!r}")
        return result[1] if len(result) > 1 else None

    torch.cuda.set_device(request.device_index)
    torch.cuda.init()
    torch.empty(1, device=f"cuda:{request.device_index}")
    kind = driver.CUmemAllocationHandleType.CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
    handle = checked(driver.cuMemImportFromShareableHandle(fd, kind), "Importing the arena")
    # The driver gives the address asked for only to a reservation that is large.
    nbytes = ARENA_BYTES if request.address else request.nbytes
    reserved = driver.cuMemAddressReserve(nbytes, 0, request.address, 0)
    address = checked(reserved, "Reserving its address")
    if request.address and int(address) != request.address:
        raise CandidateError("arena", f"The driver gives {address} for {request.address:#x}")
    checked(driver.cuMemMap(address, request.nbytes, 0, handle, 0), "Mapping the arena")
    access = driver.CUmemAccessDesc()
    access.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    access.location.id = request.device_index
    access.flags = driver.CUmemAccess_flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
    checked(driver.cuMemSetAccess(address, request.nbytes, [access], 1), "Opening the arena")
    buffer = _DeviceBuffer(int(address), request.nbytes)
    return torch.as_tensor(buffer, device=f"cuda:{request.device_index}")


class ReturnedMemory:
    """The memory of returned tensors that a later call must not return again.

    That of the last calls is held here. Older memory counts for as long as the candidate keeps it:
    a ring of any length is found. Memory that torch did not allocate is held up to a bound.
    """

    def __init__(self) -> None:
        self._held: deque[list[torch.UntypedStorage]] = deque()
        self._foreign: deque[torch.UntypedStorage] = deque()
        self._kept: list[tuple[StorageWeakRef, int, int]] = []

    def add(self, tensors: Sequence[torch.Tensor]) -> None:
        """Remembers what one call returned."""
        self._held.append([tensor.untyped_storage() for tensor in tensors])
        if len(self._held) > HELD_CALLS:
            for storage in self._held.popleft():
                self._kept.append((StorageWeakRef(storage), storage.data_ptr(), storage.nbytes()))
                if not storage.resizable():
                    self._foreign.append(storage)
        while sum(storage.nbytes() for storage in self._foreign) > HELD_FOREIGN_BYTES:
            self._foreign.popleft()
        self._kept = [kept for kept in self._kept if not kept[0].expired()]

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether any byte of the tensor's storage lies in memory that an earlier call returned."""
        storage = tensor.untyped_storage()
        begin, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        ranges = [(s.data_ptr(), s.nbytes()) for call in self._held for s in call]
        ranges += [(at, nbytes) for weak, at, nbytes in self._kept if not weak.expired()]
        return any(at < end and begin < at + nbytes for at, nbytes in ranges if nbytes)
