"""What one judge has at hand for every trial: its device, its zygotes, draws made ahead.

A zygote is a warm process that has imported torch. Without a GPU there are two: one whose Triton
is the interpreter, for running, and one whose Triton compiles, started only when something is to be
compiled for targets that are not here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ...schema.evaluation import DeviceInfo, Isolation
from ..operators.input_draws import AHEAD_BYTES, PrefetchedInputs
from .candidate_process import ProcessSession, SpawnOptions, ZygoteGoneError, ZygoteHandle
from .device import _host_memory, isolation
from .prewarmed import PrewarmedPool, how_many

HOST_MEMORY_SHARE = 0.6


@dataclass
class JudgeContext:
    """Everything that outlives a trial.

    Args:
        device: where candidates run.
        cache_dir: finished builds, by content.
        running: forks the candidates that are run.
        info: what the device is.
        versions: of all that a result depends on.
        arch: what to build for, e.g. '90a'; None without a GPU.
        memory_mhz: the device's highest memory clock, where NVML says it.
        compiling: forks the candidates that are only compiled; made when first needed.
    """

    device: torch.device
    cache_dir: Path
    running: ZygoteHandle
    info: DeviceInfo
    versions: dict[str, str]
    arch: str | None = None
    memory_mhz: int | None = None
    compiling: ZygoteHandle | None = None
    ahead: PrefetchedInputs = field(default_factory=lambda: PrefetchedInputs(AHEAD_BYTES))
    ending: list[threading.Thread] = field(default_factory=list)
    waiting: PrewarmedPool = field(init=False)

    def __post_init__(self) -> None:
        most = 0 if self.interpreted else how_many(self.info.memory_bytes or 0)
        self.waiting = PrewarmedPool(most, self._spawned)

    @property
    def interpreted(self) -> bool:
        """Whether there is no GPU to run on."""
        return self.device.type == "cpu"

    def spawn(self) -> ProcessSession:
        """A candidate process that runs candidates; to be called in the main thread."""
        return self.waiting.take() or self._spawned()

    def _spawned(self) -> ProcessSession:
        try:
            session = self.running.spawn()
        except ZygoteGoneError:
            self.waiting.close()
            self.running = self.running.another()
            session = self.running.spawn()
        if not self.interpreted:
            session.prepare(self.device.index or 0)
        return session

    def probe(self) -> Isolation:
        """What keeps candidates apart here, as one process of theirs has it."""
        session = self.waiting.first
        if session is None:
            session = self._spawned()
            session.close()
        return isolation(list(session.granted), list(session.missing))

    def start_compiler(self) -> None:
        """Makes sure that there is a zygote for compiling.

        To be called in the main thread: a zygote dies with the thread that started it.
        """
        if self.interpreted and (self.compiling is None or not self.compiling.alive):
            self.compiling = ZygoteHandle(
                spawn_options(self.device, self.cache_dir), interpret=False
            )

    def spawn_compiler(self) -> ProcessSession:
        """A candidate process that compiles for targets and never runs a kernel."""
        return (self.compiling or self.running).spawn()

    def end_later(self, end: Callable[[], None]) -> None:
        """Ends processes beside the report's way to the server; `drain` waits for it."""
        thread = threading.Thread(target=end, name="ending")
        thread.start()
        self.ending.append(thread)

    def drain(self) -> None:
        """Waits until every process of earlier trials has gone and its memory is free."""
        while self.ending:
            self.ending.pop().join()

    def close(self) -> None:
        """Ends the zygotes and all that they started."""
        self.drain()
        self.waiting.close()
        self.running.close()
        if self.compiling is not None:
            self.compiling.close()


def spawn_options(device: torch.device, cache_dir: Path) -> SpawnOptions:
    """What candidates get on this device."""
    memory = None
    if device.type == "cpu":
        pages, page_size = _host_memory()
        memory = int(pages * page_size * HOST_MEMORY_SHARE)
    return SpawnOptions(cache_dir=cache_dir, cuda=device.type == "cuda", memory_bytes=memory)
