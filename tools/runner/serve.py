"""The runner's requests: one frame in, one frame out, until the judge ends it."""

from __future__ import annotations

import mmap
import os
import socket
from typing import Literal

from ..driver import library
from ..driver.library import Driver, DriverError
from ..errors import HarnessError
from ..messages.frames import EXCERPT_CHARACTERS, TRUSTED_FRAME_BYTES, Message
from ..messages.launch_plan import split_blobs
from ..messages.runner import (
    Batch,
    LoadPlan,
    MapMemory,
    MemoryMapped,
    PlanLoaded,
    Program,
    Replay,
    Rotate,
    RunnerFault,
    RunnerReady,
    Sustain,
    to_runner,
)
from ..messages.sockets import WireClosedError, close_all, recv_frame, send_frame
from ..text import printable
from .device_kernels import Yardstick
from .loaded_plan import LoadedPlan
from .memory import RunnerMemory
from .replayer import Replayer

Stage = Literal["start", "map", "load", "replay", "batch", "rotate", "sustain"]
STAGES: dict[type[Message], Stage] = {
    MapMemory: "map",
    LoadPlan: "load",
    Replay: "replay",
    Batch: "batch",
    Rotate: "rotate",
    Sustain: "sustain",
}


class RunnerServer:
    """The serve loop of a runner.

    Args:
        control: connected to the judge.
        device_index: the device to take.
        driver: libcuda; loaded when None.
    """

    def __init__(
        self, control: socket.socket, device_index: int, driver: Driver | None = None
    ) -> None:
        self._socket, self._device_index = control, device_index
        self._driver = driver
        self._plan: LoadedPlan | None = None

    def serve(self) -> None:
        """Answers until the end of the socket, or an error of CUDA."""
        try:
            self._start()
            while self._answered():
                pass
        except WireClosedError:
            return

    def _start(self) -> None:
        try:
            self._driver = self._driver or library.CudaDriver()
            device = library.start(self._driver, self._device_index)
            self._memory = RunnerMemory(self._driver, self._device_index)
            self._replayer = Replayer(self._driver, device, self._memory)
        except (HarnessError, OSError) as error:
            self._send(_fault("start", error))
            raise WireClosedError("The runner could not start") from error
        self._send(RunnerReady(clock_note=self._replayer.note))

    def _answered(self) -> bool:
        message, fds = recv_frame(self._socket, to_runner, TRUSTED_FRAME_BYTES)
        try:
            self._send(self._handle(message, fds))
        except (HarnessError, ValueError, OSError, MemoryError) as error:
            self._send(_fault(STAGES[type(message)], error))
            # After an error of its own the context answers nothing any more.
            return not isinstance(error, DriverError)
        return True

    def _handle(self, message: Message, fds: list[int]) -> Message:
        if isinstance(message, MapMemory) and len(fds) == 1:
            return MemoryMapped(address=self._memory.map(fds[0], message.nbytes, message.address))
        if isinstance(message, LoadPlan) and len(fds) == 1:
            return self._load(message, fds[0])
        close_all(fds)
        if isinstance(message, Replay) and (program := self._program(message.program)):
            self._send(self._replayer.replay(program, message))
            return self._replayer.times()
        if isinstance(message, Batch):
            program = self._program(message.program) if message.with_call else None
            if program or not message.with_call:
                return self._replayer.batch(program, message)
        if isinstance(message, Rotate) and self._plan:
            return self._replayer.rotate(self._plan, message)
        if isinstance(message, Sustain) and self._plan:
            return self._replayer.sustain(self._plan, message)
        raise ValueError("A request came out of order, or without its descriptor")

    def _program(self, name: Program) -> LoadedPlan | Yardstick | None:
        return self._replayer.yardstick if name == "yardstick" else self._plan

    def _load(self, message: LoadPlan, fd: int) -> PlanLoaded:
        assert self._driver is not None
        try:
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as file:
                blobs = split_blobs(message.plan.blobs, file[:])
        finally:
            os.close(fd)
        if self._plan is not None:
            self._replayer.forget()
            self._plan.close()
            self._plan = None
        scratch = self._memory.map_scratch(message.plan.regions)
        stream = self._replayer.stream
        self._plan = LoadedPlan(self._driver, message.plan, blobs, stream, scratch)
        library.synchronize(self._driver)
        return PlanLoaded(kept=self._plan.kept)

    def _send(self, message: Message) -> None:
        send_frame(self._socket, message)


def _fault(stage: Stage, error: Exception) -> RunnerFault:
    words = printable(f"{type(error).__name__}: {error}")
    return RunnerFault(stage=stage, message=words[:EXCERPT_CHARACTERS])
