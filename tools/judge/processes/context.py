"""What outlives a trial: the device, zygotes, runners, prewarmed processes, prefetched inputs.

A zygote is a warm process that has imported torch. Without a GPU there are two: one whose Triton
interprets, for running, and one whose Triton compiles, started when something is first compiled for
targets.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from ...driver.scratch_library import build_library
from ...errors import CapabilityError, HarnessError
from ...schema.evaluation import DeviceInfo, Isolation
from ...settings import candidate_environment
from ..machine.clock_rate import OwnClock
from ..operators.input_sets import PREFETCHED_BYTES, PrefetchedInputs
from .candidate_process import ProcessSession, SpawnOptions, ZygoteGoneError, ZygoteHandle
from .cleanup import RACE_KERNELS, TRITON_SEED, private_folder
from .device import FAKE_TARGET, host_memory, isolation
from .prewarmed import (
    CHECKED_AND_HELD_OUT,
    MAX_PREWARMED,
    POLL_S,
    RECORDERS,
    RUNNERS,
    RUNNERS_OF_A_PAIR,
    SPARE,
    PrewarmedPool,
    prewarm_count,
)
from .runner_process import RunnerProcess
from .triton_cache import RaceKernels

logger = logging.getLogger(__name__)

HOST_MEMORY_SHARE = 0.6
NO_GPU = "there is no GPU to replay on"


class KeptRunners(Protocol):
    """Runners that wait for the next trial with what they were given in one before."""

    @property
    def runner_count(self) -> int:
        """How many they are."""
        ...

    def close(self) -> None:
        """Ends them."""
        ...


@dataclass
class JudgeContext:
    """The state of one judge that its trials share.

    Args:
        cache_dir: finished builds, by content.
        running: zygote of the candidates that are run.
        arch: what device code is built for, e.g. '90a'; None without a GPU.
        memory_mhz: the device's highest memory clock, where NVML tells.
        compiling: zygote of the candidates that are only compiled; made when first needed.
        not_sealed: why no time can be sealed here, or None.
        scratch_library: base64 of the compiled allocator of processes that record calls.
        signing_key: the file that no candidate may read; this process does not read it either.
    """

    device: torch.device
    cache_dir: Path
    running: ZygoteHandle
    info: DeviceInfo
    versions: dict[str, str]
    arch: str | None = None
    memory_mhz: int | None = None
    compiling: ZygoteHandle | None = None
    not_sealed: str | None = NO_GPU
    scratch_library: str = ""
    signing_key: Path | None = None
    sealed_lately: bool = True
    """Whether the last plan asked for sealed times: what is prewarmed for the next follows it."""
    without_pause: bool = False
    """Whether the trial under way came as soon as the one before had ended."""
    quiet_batch_s: float | None = None
    """The least time that a batch of the judge's own work took on the device."""
    yardstick_ns: float | None = None
    """The span of a runner's yardstick at the device's usual clock rate."""
    prefetched: PrefetchedInputs = field(default_factory=lambda: PrefetchedInputs(PREFETCHED_BYTES))
    checked_references: dict[str, list[str]] = field(default_factory=dict)
    """By operator and state of its files, the outputs that do not depend on the inputs."""
    kept_baseline: KeptRunners | None = None
    """Of the operator that was judged last; see `timing.programs.kept_baseline`."""
    ending: list[threading.Thread] = field(default_factory=list)
    race_kernels: RaceKernels = field(init=False)
    own_clock: OwnClock = field(init=False)
    prewarmed: PrewarmedPool[ProcessSession] = field(init=False)
    recorders: PrewarmedPool[ProcessSession] = field(init=False)
    runners: PrewarmedPool[RunnerProcess] = field(init=False)
    _beginning: threading.Thread | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.race_kernels = RaceKernels(self.cache_dir / f"{RACE_KERNELS}{os.getpid()}")
        self.own_clock = OwnClock(self.device)
        processors = len(os.sched_getaffinity(0))
        memory = 0 if self.interpreted else self.info.memory_bytes or 0
        most = prewarm_count(memory, processors)
        self.prewarmed = PrewarmedPool(most, self._spawned)
        sealed = 0 if self.not_sealed else most
        self.recorders = PrewarmedPool(min(RECORDERS, sealed), self._recorder)
        self.runners = PrewarmedPool(min(RUNNERS, sealed), self._runner)

    @property
    def triton_seed(self) -> Path | None:
        """Folder of what Triton's driver compiled for all processes."""
        return None if self.interpreted else self.cache_dir / TRITON_SEED

    @property
    def interpreted(self) -> bool:
        """Whether there is no GPU to run on."""
        return self.device.type == "cpu"

    def spawn(self, target: str = FAKE_TARGET, *, wait: bool = True) -> ProcessSession:
        """Starts a process that runs a candidate, or takes a prewarmed one; main thread only.

        Args:
            target: architecture of the device that it finds where there is none.
            wait: for a prewarmed one's context. Who does not asks whether it `came_up` before
                anything is blamed on a candidate.
        """
        return self.prewarmed.take(wait=wait) or self._forked("", target)

    def spawn_recorder(self) -> ProcessSession:
        """Starts a process that can record a candidate's calls, or takes a prewarmed one."""
        return self.recorders.take(wait=False) or self._recorder()

    def start_runner(self) -> RunnerProcess:
        """Starts a runner, or takes a prewarmed one."""
        return self.runners.take() or self._runner()

    def paused(self) -> AbstractContextManager[None]:
        """Stops every candidate process meanwhile, so that none disturbs what is timed.

        Those that wait for a trial are none of a candidate.
        """
        return self.running.paused([*self.prewarmed.pids, *self.recorders.pids])

    @contextlib.contextmanager
    def contexts_held(self) -> Iterator[None]:
        """Stops processes that still make their contexts, while calls are timed.

        While one is made a call's span is as long as ever, but of the events around it one in forty
        was up to 0.14 ms late (H200).
        """
        self._await_begun()  # what it is yet to start would not be held
        pools = (self.prewarmed, self.recorders, self.runners)
        making = [pid for pool in pools for pid in pool.unready_pids]
        _send_all(making, signal.SIGSTOP)
        try:
            yield
        finally:
            _send_all(making, signal.SIGCONT)

    def prewarm(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Starts the processes that the next trial will take, and waits for their contexts.

        In the order in which a trial takes them: the driver makes one context after another, so
        that all at once are all late.

        Args:
            hurried: whether something waits for the device. Then it waits for no context, and
                runners are started when a candidate is right (`begin_runners`).
        """
        self._await_begun()
        kept = self._kept_runners
        self.prewarmed.begin(1)
        self.prewarmed.wait_for_contexts(hurried)
        self._begin_calls(kept)
        for pool in (self.prewarmed, self.recorders):
            pool.wait_for_contexts(hurried)
        if not hurried():
            self._begin_runners(RUNNERS - kept)
            self.runners.wait_for_contexts(hurried)

    def begin(self) -> None:
        """Starts the process that the first trial takes first."""
        self.prewarmed.begin(1)

    def begin_own(self) -> None:
        """Makes this process's own CUDA context, for which the first inputs wait.

        The driver makes one context after another, and many others are asked for next.
        """
        if not self.interpreted:
            torch.cuda.synchronize(self.device)

    def begin_others(self) -> None:
        """Starts what any first trial takes beside its first process, and waits for no context.

        What only some take would make all of them late.
        """
        self._begin_calls(kept=0, spare=0)
        self._begin_runners(RUNNERS_OF_A_PAIR)

    def begin_runners(self, count: int) -> None:
        """Starts what is missing of the runners that a trial is about to take."""
        if self.not_sealed is None:
            self.runners.begin(count)

    def begin_next(self) -> None:
        """Starts the processes of the next trial where it is likely to come without a pause.

        A trial that has taken its first process calls this, and waits for nothing: the driver makes
        one context after another, for all of them it takes most of a trial. Each keeps a processor
        busy meanwhile; where there are few, the judge would wait for one while it times.
        """
        self._await_begun()
        if self.without_pause and len(os.sched_getaffinity(0)) > MAX_PREWARMED:
            kept = self._kept_runners
            # The zygote takes a while for each.
            thread = threading.Thread(target=self._begin_in_thread, args=(kept,), name="prewarming")
            with _if_possible():
                self._begin_runners(2 * (RUNNERS - kept))
                thread.start()
                self._beginning = thread

    def _begin_in_thread(self, kept: int) -> None:
        with _if_possible():
            self._begin_calls(kept, taken=1)

    def _await_begun(self) -> None:
        if self._beginning is not None:
            self._beginning.join()
            self._beginning = None

    @property
    def _kept_runners(self) -> int:
        return self.kept_baseline.runner_count if self.kept_baseline is not None else 0

    def _begin_calls(self, kept: int, *, spare: int = SPARE, taken: int = 0) -> None:
        """Starts the processes that call candidates; fewer record where a baseline is kept.

        Args:
            spare: of those that are not to record.
            taken: those to record that a trial under way is yet to take.
        """
        sealed = self.sealed_lately and self.not_sealed is None
        self.prewarmed.begin(CHECKED_AND_HELD_OUT + spare if sealed else None)
        if sealed:
            self.recorders.begin(1 + taken if kept else None)

    def _begin_runners(self, count: int) -> None:
        if self.sealed_lately and self.not_sealed is None:
            self.runners.begin(count)

    def end_prewarmed(self) -> None:
        """Ends the processes that wait, which frees the device's memory; no race goes on."""
        self.race_kernels.enter("")
        self._await_begun()
        self.prewarmed.close()
        self.recorders.close()
        self.runners.close()
        if self.kept_baseline is not None:
            self.kept_baseline.close()

    def _spawned(self) -> ProcessSession:
        return self._forked("")

    def _recorder(self) -> ProcessSession:
        return self._forked(self.scratch_library)

    def _forked(self, scratch_library: str, target: str = FAKE_TARGET) -> ProcessSession:
        try:
            session = self.running.spawn(target)
        except ZygoteGoneError:
            if threading.current_thread() is not threading.main_thread():
                raise  # another would die with this thread
            self.prewarmed.close()
            self.recorders.close()
            self.running = self.running.another()
            session = self.running.spawn(target)
        if not self.interpreted:
            session.prepare(self.device.index or 0, scratch_library)
        return session

    def _runner(self) -> RunnerProcess:
        return RunnerProcess(self.device.index or 0, candidate_environment(), private_folder())

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
                spawn_options(self.device, self.cache_dir, self.signing_key), interpret=False
            )

    def spawn_compiler(self, target: str) -> ProcessSession:
        """Starts a process that compiles for a target and never runs a kernel."""
        return (self.compiling or self.running).spawn(target)

    def end_later(self, end: Callable[[], None]) -> None:
        """Ends a trial's processes in a thread, so that the report need not wait; see `drain`."""
        thread = threading.Thread(target=end, name="ending")
        thread.start()
        self.ending.append(thread)

    def drain(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Waits until every process of earlier trials has ended and its memory is free.

        Args:
            hurried: whether something waits for the device: a trial waits itself before it times.
        """
        while self.ending:
            self.ending[-1].join(POLL_S)
            if not self.ending[-1].is_alive():
                self.ending.pop()
            elif hurried():
                return

    def close(self) -> None:
        """Ends the zygotes and every candidate process."""
        self.drain()
        self.end_prewarmed()
        self.running.close()
        if self.compiling is not None:
            self.compiling.close()


@contextlib.contextmanager
def _if_possible() -> Iterator[None]:
    """Logs why processes of the next trial cannot be started; the one under way goes on."""
    try:
        yield
    except (HarnessError, OSError, RuntimeError):  # the last is of a thread that cannot be started
        logger.exception("Processes for the next trial could not be started yet")


def _send_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def scratch_library(cache_dir: Path) -> tuple[str, str | None]:
    """Base64 of the allocator of processes that record, or why there is none."""
    try:
        return base64.b64encode(build_library(cache_dir).read_bytes()).decode(), None
    except (CapabilityError, OSError) as error:
        return "", str(error)


def spawn_options(
    device: torch.device, cache_dir: Path, signing_key: Path | None = None
) -> SpawnOptions:
    """Options of candidate processes on this device."""
    memory = None
    if device.type == "cpu":
        memory = int(host_memory() * HOST_MEMORY_SHARE)
    cuda = device.type == "cuda"
    return SpawnOptions(cache_dir, cuda, memory_bytes=memory, signing_key=signing_key)
