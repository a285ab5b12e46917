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
        self.most_calls = mapped.staging_bytes // self.staging.call_bytes
        fd = _file_of(checked.blobs)
        try:
            load = LoadPlan(plan=checked.plan)
            self.loaded = self.runner.ask(load, PlanLoaded, self.timeout_s, (fd,))
        finally:
            os.close(fd)

    def replay(
        self,
        poison: Sequence[int],
        *,
        flush: Flush = "fill",
        held: bool = True,
        drained: bool = True,
    ) -> list[ReplayTimes]:
        """Replays one call for each poison byte, with the values that lie in the staging memory.

        Raises:
            RunnerLostError: when the runner fails, or tells fewer times than there were calls.
        """
        if len(poison) > self.most_calls:
            raise ValueError(f"The staging memory has room for {self.most_calls} calls")
        calls = replay_calls(self.tensors, self.staging, self.staging_address, poison)
        request = Replay(
            calls=calls, flush=flush, held=held, drained=drained, scratch_byte=poison[0]
        )
        answer = self.runner.ask(request, Replayed, self.timeout_s)
        self.records, times = dict(answer.records), answer.times
        self.total_ns = answer.total_ns
        return times if len(times) == len(poison) else [ReplayTimes()] * len(poison)


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
