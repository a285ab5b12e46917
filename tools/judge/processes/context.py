"""What outlives a trial: the device, the zygotes, prewarmed processes and prefetched inputs.

A zygote is a warm process that has imported torch. Without a GPU there are two: one whose Triton
interprets, for running, and one whose Triton compiles, started when something is first compiled for
targets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ...schema.evaluation import DeviceInfo, Isolation
from ..operators.input_sets import PREFETCHED_BYTES, PrefetchedInputs
from .candidate_process import ProcessSession, SpawnOptions, ZygoteGoneError, ZygoteHandle
from .device import host_memory, isolation
from .prewarmed import PrewarmedPool, prewarm_count

HOST_MEMORY_SHARE = 0.6


@dataclass
class JudgeContext:
    """The state of one judge that its trials share.

    Args:
        cache_dir: finished builds, by content.
        running: zygote of the candidates that are run.
        arch: what device code is built for, e.g. '90a'; None without a GPU.
        memory_mhz: the device's highest memory clock, where NVML tells.
        compiling: zygote of the candidates that are only compiled; made when first needed.
    """

    device: torch.device
    cache_dir: Path
    running: ZygoteHandle
    info: DeviceInfo
    versions: dict[str, str]
    arch: str | None = None
    memory_mhz: int | None = None
    compiling: ZygoteHandle | None = None
    prefetched: PrefetchedInputs = field(default_factory=lambda: PrefetchedInputs(PREFETCHED_BYTES))
    checked_references: dict[str, list[str]] = field(default_factory=dict)
    """By operator and state of its files, the outputs that do not depend on the inputs."""
    ending: list[threading.Thread] = field(default_factory=list)
    prewarmed: PrewarmedPool = field(init=False)

    def __post_init__(self) -> None:
        most = 0 if self.interpreted else prewarm_count(self.info.memory_bytes or 0)
        self.prewarmed = PrewarmedPool(most, self._spawned)

    @property
    def interpreted(self) -> bool:
        """Whether there is no GPU to run on."""
        return self.device.type == "cpu"

    def spawn(self) -> ProcessSession:
        """Starts a process that runs a candidate, or takes a prewarmed one; main thread only."""
        return self.prewarmed.take() or self._spawned()

    def _spawned(self) -> ProcessSession:
        try:
            session = self.running.spawn()
        except ZygoteGoneError:
            self.prewarmed.close()
            self.running = self.running.another()
            session = self.running.spawn()
        if not self.interpreted:
            session.prepare(self.device.index or 0)
        return session

    def probe(self) -> Isolation:
        """Isolation in force, as reported by a candidate process."""
        session = self.prewarmed.first
        if session is None:
            session = self._spawned()
            session.close()
        return isolation(list(session.granted), list(session.missing))

    def start_compiler(self) -> None:
        """Starts the zygote for compiling unless it runs.

        Called in the main thread only: a zygote dies with the thread that started it.
        """
        if self.interpreted and (self.compiling is None or not self.compiling.alive):
            self.compiling = ZygoteHandle(
                spawn_options(self.device, self.cache_dir), interpret=False
            )

    def spawn_compiler(self) -> ProcessSession:
        """Starts a process that compiles for targets and never runs a kernel."""
        return (self.compiling or self.running).spawn()

    def end_later(self, end: Callable[[], None]) -> None:
        """Ends a trial's processes in a thread, so that the report need not wait; see `drain`."""
        thread = threading.Thread(target=end, name="ending")
        thread.start()
        self.ending.append(thread)

    def drain(self) -> None:
        """Waits until every process of earlier trials has ended and its memory is free."""
        while self.ending:
            self.ending.pop().join()

    def close(self) -> None:
        """Ends the zygotes and every candidate process."""
        self.drain()
        self.prewarmed.close()
        self.running.close()
        if self.compiling is not None:
            self.compiling.close()


def spawn_options(device: torch.device, cache_dir: Path) -> SpawnOptions:
    """Options of candidate processes on this device."""
    memory = None
    if device.type == "cpu":
        memory = int(host_memory() * HOST_MEMORY_SHARE)
    return SpawnOptions(cache_dir=cache_dir, cuda=device.type == "cuda", memory_bytes=memory)
