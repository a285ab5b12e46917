"""libcupti through ctypes: activity records of a process, and callbacks on loaded modules.

Method and layouts: cupti_activity.h and cupti_callbacks.h of CUDA 13. Records grow at their end
from version to version; the fields read here have kept their places since CUDA 12.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from ctypes import byref, c_int, c_size_t, c_uint, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CapabilityError

MEMCPY, MEMSET, KERNEL = 1, 2, 10
KINDS = {MEMCPY: "memcpy", MEMSET: "memset", KERNEL: "kernel"}
FLUSH_FORCED = 1
BUFFER_BYTES = 1 << 20
DRIVER_DOMAIN, RESOURCE_DOMAIN = 1, 3
MODULE_LOADED, MODULE_PROFILED = 6, 8
MODULE_LOADS = {19: "cuModuleLoadData", 20: "cuModuleLoadDataEx", 21: "cuModuleLoadFatBinary"}
"""Driver calls, by CUPTI's number, whose first parameter points to the module that they give."""
OBJECT_CREATIONS = {339: "a texture", 343: "a surface"}
"""Driver calls, by CUPTI's number, whose first parameter points to the handle that they give."""
SONAMES = ("libcupti.so.13", "libcupti.so.12", "libcupti.so")
_KERNEL_FIELDS = struct.Struct("<16xQQ16xI24x16xI8xQ")
_COPY_FIELDS = struct.Struct("<8xQQQ8xII")

Callback = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_uint, c_void_p)
_Requested = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(c_void_p), ctypes.POINTER(c_size_t), ctypes.POINTER(c_size_t)
)
_Completed = ctypes.CFUNCTYPE(None, c_void_p, c_uint, c_void_p, c_size_t, c_size_t)


class CuptiError(CapabilityError):
    """Raised when a call of CUPTI fails."""


@dataclass(frozen=True)
class DeviceActivity:
    """A kernel, copy or memset: nanoseconds, stream, and a number that grows with API calls."""

    kind: str
    start: int
    end: int
    correlation: int
    stream: int
    name: str = ""
    nbytes: int = 0


def parse_record(address: int) -> DeviceActivity | None:
    """One record of a buffer; None when it is of another kind."""
    (kind,) = struct.unpack("<I", ctypes.string_at(address, 4))
    if kind == KERNEL:
        raw = ctypes.string_at(address, _KERNEL_FIELDS.size)
        start, end, stream, correlation, name = _KERNEL_FIELDS.unpack(raw)
        words = ctypes.string_at(name).decode("utf-8", "replace") if name else "kernel"
        return DeviceActivity("kernel", start, end, correlation, stream, words)
    if kind in KINDS:
        raw = ctypes.string_at(address, _COPY_FIELDS.size)
        nbytes, start, end, stream, correlation = _COPY_FIELDS.unpack(raw)
        name = f"{KINDS[kind]} {nbytes} bytes"
        return DeviceActivity(KINDS[kind], start, end, correlation, stream, name, nbytes)
    return None


def library_paths() -> Iterator[str]:
    """Where libcupti may lie: Python's packages, the toolkit, the loader's own path."""
    found = importlib.util.find_spec("nvidia")
    for root in list(found.submodule_search_locations or []) if found else []:
        for folder in ("cu13/lib", "cuda_cupti/lib"):
            yield from (str(Path(root, folder, name)) for name in SONAMES)
    for folder in ("/usr/local/cuda/extras/CUPTI/lib64", "/usr/local/cuda/lib64"):
        yield from (f"{folder}/{name}" for name in SONAMES)
    yield from SONAMES


class Cupti:
    """libcupti of this process.

    Args:
        library: the loaded library; searched for when None.

    Raises:
        CapabilityError: when there is none.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library or _loaded()

    def call(self, function: str, *arguments: Any) -> None:
        """Calls a function of it.

        Raises:
            CuptiError: when it does not return CUPTI_SUCCESS.
        """
        code = getattr(self._library, function)(*arguments)
        if code:
            words = ctypes.c_char_p()
            self._library.cuptiGetResultString(code, byref(words))
            name = (words.value or b"").decode("ascii", "replace")
            raise CuptiError(f"{function} failed with CUPTI error {code} {name}".strip())

    def next_record(self, buffer: int, valid: int, record: c_void_p) -> bool:
        """Steps to a buffer's next record; False after the last."""
        return not self._library.cuptiActivityGetNextRecord(
            c_void_p(buffer), c_size_t(valid), byref(record)
        )

    def dropped_records(self) -> int:
        """How many records were dropped since the last time."""
        count = c_size_t()
        with contextlib.suppress(CuptiError):
            self.call("cuptiActivityGetNumDroppedRecords", None, c_uint(0), byref(count))
        return count.value


def _loaded() -> Any:
    for name in SONAMES:
        # A second copy of it, beside one that torch brought, would see nothing.
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    for path in library_paths():
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise CapabilityError(
        "libcupti is not found", remedy="Install nvidia-cuda-cupti or the CUDA toolkit."
    )


class ActivityRecorder:
    """Records kernels, copies and memsets of this process.

    External correlation ids would say which call an activity belongs to, but CUPTI gives them
    for records of API calls only, which are not enabled here. Callers put copies of a size of their
    own around a call instead.
    """

    def __init__(self, cupti: Cupti) -> None:
        self._cupti = cupti
        self._buffers: dict[int, Any] = {}
        self._full: list[tuple[int, int]] = []
        self.counts: Counter[str] = Counter()
        """Buffers asked for and delivered, records of each kind, and records that were dropped."""
        self._callbacks = (_Requested(self._requested), _Completed(self._completed))
        cupti.call("cuptiActivityRegisterCallbacks", *self._callbacks)
        self._switch("cuptiActivityEnable")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Records nothing meanwhile: each record lengthens the time between two kernels."""
        self._switch("cuptiActivityDisable")
        try:
            yield
        finally:
            self._switch("cuptiActivityEnable")

    def _switch(self, function: str) -> None:
        for kind in KINDS:
            self._cupti.call(function, c_uint(kind))

    def collect(self) -> list[DeviceActivity]:
        """What was recorded since the last time; the device must be at rest."""
        self._cupti.call("cuptiActivityFlushAll", c_uint(FLUSH_FORCED))
        full, self._full = self._full, []
        activities: list[DeviceActivity] = []
        for address, valid in full:
            for found in self._records(address, valid):
                self.counts[found.kind if found else "other"] += 1
                if found is not None:
                    activities.append(found)
            del self._buffers[address]
        self.counts["dropped"] += self._cupti.dropped_records()
        return activities

    def _records(self, address: int, valid: int) -> Iterator[DeviceActivity | None]:
        record = c_void_p()
        while valid and self._cupti.next_record(address, valid, record):
            yield parse_record(record.value or 0)

    def _requested(self, buffer: Any, size: Any, most: Any) -> None:
        made = ctypes.create_string_buffer(BUFFER_BYTES)
        address = ctypes.addressof(made)
        self._buffers[address] = made
        self.counts["requested"] += 1
        buffer[0], size[0], most[0] = address, BUFFER_BYTES, 0

    def _completed(self, _context: Any, _stream: int, buffer: int, _size: int, valid: int) -> None:
        self.counts["delivered"] += 1
        self._full.append((buffer, valid))


class ModuleCallbacks:
    """Hands over each cubin that this process loads, with the module that holds it where known.

    A cubin is announced while the driver call that loads it runs; the call's end gives the handle.
    Cubins of libraries are loaded when a kernel of theirs is first used, and have no handle here.

    Args:
        loaded: called with (cubin, handle or None) from inside the driver's call.
    """

    def __init__(self, cupti: Cupti, loaded: Callable[[bytes, int | None], None]) -> None:
        self._cupti, self._loaded = cupti, loaded
        self._pending: dict[int, list[bytes]] = {}
        self._seen: set[tuple[int, int, int | None]] = set()
        self._entered: Callable[[int, int], None] | None = None
        self._callback = Callback(self._called)
        self.objects: dict[int, str] = {}
        """What textures and surfaces were made, by their handles."""
        self._subscriber = c_void_p()
        cupti.call("cuptiSubscribe", byref(self._subscriber), self._callback, None)
        for number in (MODULE_LOADED, MODULE_PROFILED):
            self._enable(RESOURCE_DOMAIN, number)
        for number in (*MODULE_LOADS, *OBJECT_CREATIONS):
            self._enable(DRIVER_DOMAIN, number)

    def close(self) -> None:
        """Ends the subscription."""
        self._cupti.call("cuptiUnsubscribe", self._subscriber)

    @contextlib.contextmanager
    def watching(
        self, numbers: Sequence[int], entered: Callable[[int, int], None]
    ) -> Iterator[None]:
        """Announces other driver calls as they begin, too.

        Args:
            numbers: of the calls, as CUPTI counts them; none that is always announced.
            entered: called with a call's number and the address of its parameters.
        """
        self._entered = entered
        for number in numbers:
            self._enable(DRIVER_DOMAIN, number)
        try:
            yield
        finally:
            for number in numbers:
                self._enable(DRIVER_DOMAIN, number, on=False)
            self._entered = None

    def _enable(self, domain: int, number: int, *, on: bool = True) -> None:
        arguments = (c_uint(on), self._subscriber, c_int(domain), c_uint(number))
        self._cupti.call("cuptiEnableCallback", *arguments)

    def _called(self, _user: Any, domain: int, number: int, data: int) -> None:
        if domain == RESOURCE_DOMAIN:
            self._announced(data)
        elif number in MODULE_LOADS:
            self._load_call(data)
        elif number in OBJECT_CREATIONS:
            if (handle := _handle_given(data)) is not None:
                self.objects[handle] = OBJECT_CREATIONS[number]
        elif self._entered is not None and c_int.from_address(data).value == 0:
            self._entered(number, c_void_p.from_address(data + 16).value or 0)

    def _announced(self, data: int) -> None:
        descriptor = c_void_p.from_address(data + 16).value or 0
        module = c_uint.from_address(descriptor).value
        nbytes = c_size_t.from_address(descriptor + 8).value
        image = c_void_p.from_address(descriptor + 16).value
        if (module, nbytes, image) in self._seen:
            return  # launches may announce their module again; copying one takes milliseconds
        self._seen.add((module, nbytes, image))
        cubin = ctypes.string_at(image, nbytes) if image else b""
        pending = self._pending.get(threading.get_ident())
        if pending is None:
            self._loaded(cubin, None)
        else:
            pending.append(cubin)

    def _load_call(self, data: int) -> None:
        thread = threading.get_ident()
        if c_int.from_address(data).value == 0:
            self._pending[thread] = []
            return
        handle = _handle_given(data)
        for cubin in self._pending.pop(thread, []):
            self._loaded(cubin, handle)


def _handle_given(data: int) -> int | None:
    """What a driver call wrote to where its first parameter points; None before its end."""
    if c_int.from_address(data).value == 0:
        return None
    parameters = c_void_p.from_address(data + 16).value or 0
    target = c_void_p.from_address(parameters).value
    return c_void_p.from_address(target).value if target else None
