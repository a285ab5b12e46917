"""One plan in one runner: memory shared, calls replayed, every output kept for its check.

The tensors of a call have one address each, which the plan holds. Values for many calls lie ready
in a second allocation, the staging memory: the runner copies a call's inputs in before it, and its
outputs out after it. Nothing waits for the judge between two timed calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...messages.runner import (
    Flush,
    LoadPlan,
    MapMemory,
    MemoryMapped,
    Move,
    PlanLoaded,
    Poison,
    Replay,
    ReplayCall,
    Replayed,
    ReplaysMade,
    ReplayTimes,
)
from ..processes.runner_process import RunnerProcess
from .validation import CheckedPlan

STAGING_ALIGNMENT = 256


@dataclass(frozen=True)
class CallTensor:
    """A tensor of the call: its address is that of the plan's recording."""

    name: str
    address: int
    nbytes: int
    is_output: bool


@dataclass(frozen=True)
class Staging:
    """Where the values of many calls lie: offsets into the staging memory.

    Args:
        offsets: of each tensor within one call's part.
        call_bytes: of one call's part.
    """

    offsets: dict[str, int]
    call_bytes: int

    def offset(self, call: int, name: str) -> int:
        """Where the tensor's value for a call begins."""
        return call * self.call_bytes + self.offsets[name]


def stage(tensors: Sequence[CallTensor]) -> Staging:
    """Lays the tensors of one call out one after another."""
    offsets: dict[str, int] = {}
    at = 0
    for tensor in tensors:
        offsets[tensor.name] = at
        at += -(-tensor.nbytes // STAGING_ALIGNMENT) * STAGING_ALIGNMENT
    return Staging(offsets, max(at, STAGING_ALIGNMENT))


def replay_calls(
    tensors: Sequence[CallTensor], staging: Staging, base: int, poison: Sequence[int]
) -> list[ReplayCall]:
    """The moves of each call.

    Args:
        tensors: of one call.
        staging: where their values lie.
        base: the address of the staging memory in the runner.
        poison: for each call, the byte that its outputs are filled with before it.
    """
    filled = [t for t in tensors if t.nbytes]
    inputs = [t for t in filled if not t.is_output]
    outputs = [t for t in filled if t.is_output]
    return [
        ReplayCall(
            before=[
                Move(
                    source=base + staging.offset(n, t.name), destination=t.address, nbytes=t.nbytes
                )
                for t in inputs
            ],
            poison=[Poison(address=t.address, nbytes=t.nbytes, byte=byte) for t in outputs],
            after=[
                Move(
                    source=t.address, destination=base + staging.offset(n, t.name), nbytes=t.nbytes
                )
                for t in outputs
            ],
        )
        for n, byte in enumerate(poison)
    ]


class DeviceBytes(Protocol):
    """Device memory whose descriptor other processes can map it from."""

    @property
    def fd(self) -> int:
        """The descriptor."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes mapped."""
        ...


class MappedRunner:
    """A runner that has the judge's memory mapped.

    Args:
        runner: fresh, for the plans of one program.
        arena: lies at `arena_address` in the runner, as in the process that recorded.
        staging: for the values of calls.
        timeout_s: for each request.

    Raises:
        RunnerLostError: when the runner fails.
    """

    def __init__(
        self,
        runner: RunnerProcess,
        arena: DeviceBytes,
        arena_address: int,
        staging: DeviceBytes,
        timeout_s: float,
    ) -> None:
        self.runner, self.timeout_s = runner, timeout_s
        self.staging_bytes = staging.nbytes
        self._map(arena, arena_address)
        self.staging_address = self._map(staging, 0)

    def load(self, checked: CheckedPlan, tensors: Sequence[CallTensor]) -> ReplaySession:
        """Loads a plan in place of the one before.

        Raises:
            RunnerLostError: when the runner fails.
        """
        return ReplaySession(self, checked, tensors)

    def _map(self, memory: DeviceBytes, address: int) -> int:
        request = MapMemory(address=address, nbytes=memory.nbytes)
        return self.runner.ask(request, MemoryMapped, self.timeout_s, (memory.fd,)).address


class ReplaySession:
    """A plan loaded into a runner, and where the values of its calls lie.

    Args:
        mapped: the runner.
        checked: the plan.
        tensors: of one call.

    Raises:
        RunnerLostError: when the runner fails.
    """

    def __init__(
        self, mapped: MappedRunner, checked: CheckedPlan, tensors: Sequence[CallTensor]
    ) -> None:
        self.runner, self.timeout_s = mapped.runner, mapped.timeout_s
        self.staging_address, self.tensors = mapped.staging_address, tuple(tensors)
        self.staging = stage(tensors)
        self.records: dict[str, int] = {}
        """What CUPTI delivered to the runner so far: buffers, and records of each kind."""
        self.total_ns = 0
        """What the last replays took in the runner, from the first's start to the last's end."""
        self._count = 0
        self._calls: dict[tuple[int, int, Flush], ReplayCall] = {}
        """The moves of each call, by its place in the staging memory: most are made many times."""
        self.most_calls = mapped.staging_bytes // self.staging.call_bytes
        fd = _file_of(checked.blobs)
        try:
            load = LoadPlan(plan=checked.plan)
            self.loaded = self.runner.ask(load, PlanLoaded, self.timeout_s, (fd,))
        finally:
            os.close(fd)

    def replay(self, poison: Sequence[int], flushes: Sequence[Flush]) -> None:
        """Replays one call for each poison byte, with the values that lie in the staging memory.

        All have been made when it returns; `times` says what they took.

        Args:
            flushes: before each of them.

        Raises:
            RunnerLostError: when the runner fails.
        """
        if len(poison) > self.most_calls:
            raise ValueError(f"The staging memory has room for {self.most_calls} calls")
        calls = [
            self._call(n, byte, flush)
            for n, (byte, flush) in enumerate(zip(poison, flushes, strict=True))
        ]
        request = Replay(calls=calls, scratch_byte=poison[0])
        self.total_ns = self.runner.ask(request, ReplaysMade, self.timeout_s).total_ns
        self._count = len(calls)

    def times(self) -> list[ReplayTimes]:
        """What the clocks saw of the calls replayed last; nothing where they tell of fewer.

        Raises:
            RunnerLostError: when the runner fails.
        """
        answer = self.runner.answer("replay", Replayed, self.timeout_s)
        self.records = dict(answer.records)
        return answer.times if len(answer.times) == self._count else [ReplayTimes()] * self._count

    def _call(self, number: int, byte: int, flush: Flush) -> ReplayCall:
        key = (number, byte, flush)
        if key not in self._calls:
            base = self.staging_address + number * self.staging.call_bytes
            (made,) = replay_calls(self.tensors, self.staging, base, [byte])
            self._calls[key] = made.model_copy(update={"flush": flush})
        return self._calls[key]


def alternating(wall_ns: Callable[[bool], int], count: int) -> tuple[list[float], list[float]]:
    """Batches with and without calls, alternating so that drift falls on both alike."""
    with_calls: list[float] = []
    flushes: list[float] = []
    for number in range(count):
        for with_call in (True, False) if number % 2 else (False, True):
            (with_calls if with_call else flushes).append(float(wall_ns(with_call)))
    return with_calls, flushes


def _file_of(blobs: Sequence[bytes]) -> int:
    fd = os.memfd_create("launch_plan", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        for blob in blobs:
            file.write(blob)
    return fd
