"""Kernels of the runner's own (kernels.ptx): a yardstick, a reading flush, and overwriting.

A candidate's kernel could leave something behind for its next call where no memory is defined: in
shared memory, in local memory. Both are overwritten between replays. Device code sets no access
policy window, and no stream here ever gets one; lines that it asked to persist in the L2 are reset
before each call (`replayer`), and the priority of lines that it asked to be evicted last.
"""

from __future__ import annotations

import struct
from ctypes import c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path

from ..driver import modules
from ..driver.library import (
    MOST_SHARED_BYTES,
    MULTIPROCESSORS,
    Driver,
    allocate,
    device_attribute,
    stack_bytes,
)
from ..driver.modules import LaunchShape, PreparedLaunch

SOURCE = Path(__file__).with_name("kernels.ptx")
CODE = SOURCE.read_bytes()
"""Read as this module is imported: once the process is confined its files are out of sight."""
YARDSTICK_CYCLES = 20_000
"""About 10 µs at 2 GHz."""
MOST_CYCLES_PER_NS = 2.5
"""No multiprocessor's clock is faster."""
LOCAL_SCRUBS = {1_024: "scrub_local_1k", 4_096: "scrub_local_4k", 16_384: "scrub_local_16k"}
MOST_LOCAL_BYTES = max(LOCAL_SCRUBS)
SCRUB_THREADS = 512
SHARED_THREADS = 1_024
READ_THREADS = 512
READ_BLOCKS = 4
"""Blocks of the reading kernel on each multiprocessor."""
COUNTER_BYTES = 256
LINE_BYTES = 128
"""Of the L2."""


class Yardstick:
    """A kernel that takes the same number of cycles each time: what every runner is compared by."""

    count = 1
    local_bytes = 0
    holdable = True
    copied_bytes: frozenset[int] = frozenset()
    scratch: tuple[tuple[int, int], ...] = ()

    def __init__(self, driver: Driver, launch: PreparedLaunch) -> None:
        self._driver, self._launch = driver, launch
        self.rehearsed = False
        """Whether it has run, as for a plan."""

    def restore(self, byte: int) -> None:
        """Does nothing: the kernel has no memory."""

    def enqueue(self) -> None:
        """Enqueues the kernel."""
        self._launch.launch(self._driver)


class DeviceKernels:
    """The runner's own kernels in this context.

    Args:
        driver: libcuda.
        device: the device of the current context.
        stream: where everything is launched.

    Raises:
        DriverError: when the driver cannot compile them.
    """

    def __init__(self, driver: Driver, device: int, stream: int) -> None:
        self._driver, self._stream = driver, stream
        self._module = modules.load(driver, CODE)
        self._multiprocessors = device_attribute(driver, device, MULTIPROCESSORS)
        self._memory = allocate(driver, COUNTER_BYTES)
        self._least_local = stack_bytes(driver)
        self._shared_bytes = device_attribute(driver, device, MOST_SHARED_BYTES)
        self._scrubs: dict[tuple[int, int], list[PreparedLaunch]] = {}
        self._reads: dict[tuple[int, int], PreparedLaunch] = {}
        self._spins: dict[int, PreparedLaunch] = {}
        self._demotions: dict[tuple[int, int], PreparedLaunch] = {}

    def yardstick(self) -> Yardstick:
        """A program that is replayed as a plan is."""
        return Yardstick(self._driver, self._spin(YARDSTICK_CYCLES))

    def delay(self, nanoseconds: int) -> None:
        """Keeps the stream busy for at least so long."""
        self._spin(round(nanoseconds * MOST_CYCLES_PER_NS)).launch(self._driver)

    def read(self, address: int, nbytes: int) -> None:
        """Reads the buffer, whose size is a multiple of 16 bytes; writes nothing."""
        if (address, nbytes) not in self._reads:
            parameters = struct.pack("<QQQ", address, nbytes, self._memory)
            shape = _shape(READ_BLOCKS * self._multiprocessors, READ_THREADS)
            self._reads[address, nbytes] = self._prepared("read_buffer", shape, parameters)
        self._reads[address, nbytes].launch(self._driver)

    def demote(self, begin: int, nbytes: int) -> None:
        """Gives the lines of a buffer that are in the L2 their ordinary priority again.

        A kernel that loads with `evict_last` keeps lines there that no flush of ordinary priority
        drives out, and the next call's inputs lie in them.
        """
        first = begin // LINE_BYTES * LINE_BYTES
        size = begin + nbytes - first
        if (first, size) not in self._demotions:
            shape = _shape(READ_BLOCKS * self._multiprocessors, READ_THREADS)
            parameters = struct.pack("<QQ", first, size)
            self._demotions[first, size] = self._prepared("demote_lines", shape, parameters)
        self._demotions[first, size].launch(self._driver)

    def scrub(self, local_bytes: int, byte: int) -> None:
        """Overwrites all shared memory, and `local_bytes` of every thread's local memory.

        At least the stack of a thread is overwritten, and at most `MOST_LOCAL_BYTES`.
        """
        local = max(local_bytes, self._least_local)
        chosen = min((n for n in LOCAL_SCRUBS if n >= local), default=MOST_LOCAL_BYTES)
        if (chosen, byte) not in self._scrubs:
            self._scrubs[chosen, byte] = [
                self._shared_scrub(byte),
                self._local_scrub(LOCAL_SCRUBS[chosen], byte),
            ]
        for launch in self._scrubs[chosen, byte]:
            self._reset_counter()
            launch.launch(self._driver)

    def _spin(self, cycles: int) -> PreparedLaunch:
        if cycles not in self._spins:
            self._spins[cycles] = self._prepared("spin", _shape(1, 1), struct.pack("<Q", cycles))
        return self._spins[cycles]

    def _shared_scrub(self, byte: int) -> PreparedLaunch:
        function = self._function("scrub_shared")
        nbytes = self._shared_bytes
        modules.set_attribute(self._driver, function, modules.MAX_DYNAMIC_SHARED, nbytes)
        parameters = struct.pack("<IIQ", nbytes, _word(byte), self._memory)
        return self._cooperative("scrub_shared", SHARED_THREADS, nbytes, parameters)

    def _local_scrub(self, name: str, byte: int) -> PreparedLaunch:
        parameters = struct.pack("<I4xQ", _word(byte), self._memory)
        return self._cooperative(name, SCRUB_THREADS, 0, parameters)

    def _cooperative(
        self, name: str, threads: int, shared_bytes: int, parameters: bytes
    ) -> PreparedLaunch:
        """As many blocks as fit at once: each waits for all the others."""
        function = self._function(name)
        held = modules.resident_blocks(self._driver, function, threads, shared_bytes)
        blocks = max(1, held) * self._multiprocessors
        shape = _shape(blocks, threads, shared_bytes, cooperative=True)
        return self._prepared(name, shape, parameters)

    def _prepared(self, name: str, shape: LaunchShape, parameters: bytes) -> PreparedLaunch:
        return PreparedLaunch(self._function(name), shape, parameters, self._stream)

    def _function(self, name: str) -> int:
        found = modules.function_of(self._driver, self._module, name)
        assert found is not None, f"kernels.ptx has no {name}"
        return found

    def _reset_counter(self) -> None:
        self._driver.call(
            "cuMemsetD32Async",
            c_uint64(self._memory),
            c_uint(0),
            c_size_t(1),
            c_void_p(self._stream),
        )


def _shape(
    blocks: int, threads: int, shared_bytes: int = 0, *, cooperative: bool = False
) -> LaunchShape:
    return LaunchShape((blocks, 1, 1), (threads, 1, 1), shared_bytes, cooperative=cooperative)


def _word(byte: int) -> int:
    return byte * 0x01010101
