"""A judge's end of the sockets, as small as tests need it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.processes.device import device_facts
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages import zygote
from kernel_harness.tools.messages.sockets import recv_frame, send_frame

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}
CALL_S = 60.0


class JudgeEnd:
    """A zygote and what a judge does with it."""

    def __init__(
        self,
        *,
        interpret: bool,
        prefix: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        command = [*prefix, sys.executable, "-m", "kernel_harness.tools.candidate"]
        command += ["--socket", str(theirs.fileno())]
        command += ["--interpret"] if interpret else []
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env={**ENVIRONMENT, **(environment or {}), "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def spawn(self, folder: Path, **options: Any) -> CandidateEnd:
        return CandidateEnd(self, folder, **options)

    def ask(self, message: zygote.Spawn | zygote.Reap, fds: tuple[int, ...] = ()) -> Any:
        send_frame(self.socket, message, fds)
        return recv_frame(self.socket, zygote.from_zygote, timeout_s=CALL_S)[0]

    def close(self) -> None:
        self.socket.close()
        self.process.wait(10)


class CandidateEnd:
    """One candidate process and its arena, laid out one tensor after another."""

    def __init__(self, judge: JudgeEnd, folder: Path, **options: Any) -> None:
        self.judge = judge
        self.private = folder / "private"
        self.private.mkdir(parents=True)
        owner = options.pop("owner", None)
        if owner is not None:
            os.chown(self.private, owner, owner)
        environment = ENVIRONMENT | options.pop("environment", {})
        if not options.get("cuda"):
            options["fake_device"] = device_facts("sm_90")
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.log_read, log_write = os.pipe()
        os.set_blocking(self.log_read, False)
        spawn = zygote.Spawn(private_dir=str(self.private), environment=environment, **options)
        self.spawned: zygote.Spawned = judge.ask(spawn, (theirs.fileno(), log_write))
        theirs.close()
        os.close(log_write)
        self._memory: torch.Tensor | None = None
        self._used = 0

    @property
    def pid(self) -> int:
        return self.spawned.pid

    def ask(self, message: Any, fds: tuple[int, ...] = ()) -> Any:
        send_frame(self.socket, message, fds)
        return recv_frame(self.socket, wire.from_candidate, timeout_s=CALL_S)[0]

    def build(self, sources: dict[str, str], **options: Any) -> wire.Built:
        request: dict[str, Any] = {
            "language": "python",
            "binding": None,
            "entry_point": "kernel.py::run",
            "destination_passing_style": True,
            "content_hash": "0123456789abcdef" * 4,
            "argument_count": 1,
            "output_count": 1,
        }
        files = [{"path": path, "content": content} for path, content in sources.items()]
        return self.ask(wire.BuildRequest(sources=files, **(request | options)))

    def map(self, nbytes: int = 1 << 20) -> None:
        fd = os.memfd_create("arena")
        os.ftruncate(fd, nbytes)
        self._memory = torch.from_file(
            f"/proc/self/fd/{fd}", shared=True, size=nbytes, dtype=torch.uint8
        )
        answer = self.ask(wire.MapArena(memory="memfd", nbytes=nbytes), (fd,))
        os.close(fd)
        assert isinstance(answer, wire.Mapped)

    def place(self, value: torch.Tensor) -> wire.TensorRef:
        ref = wire.TensorRef(
            offset=self._used,
            shape=list(value.shape),
            dtype=str(value.dtype).removeprefix("torch."),
        )
        self._used += -(-value.numel() * value.dtype.itemsize // 256) * 256
        self.view(ref).copy_(value)
        return ref

    def view(self, ref: wire.TensorRef) -> torch.Tensor:
        assert self._memory is not None
        dtype = getattr(torch, ref.dtype)
        count = torch.Size(ref.shape).numel() * dtype.itemsize
        return self._memory[ref.offset : ref.offset + count].view(dtype).view(ref.shape)

    def call(
        self, arguments: list[Any], outputs: list[torch.Tensor], *, late: bool = False, **more: Any
    ) -> tuple[wire.Called, list[torch.Tensor]]:
        """Calls with every tensor placed afresh; returns the answer and the snapshots."""
        if self._memory is None:
            self.map()
        self._used = 0
        refs = [
            self.place(a) if isinstance(a, torch.Tensor) else wire.ScalarValue(value=a)
            for a in arguments
        ]
        self.arguments = refs
        self.outputs = [self.place(o) for o in outputs]
        snapshots = [self.place(o) for o in outputs]
        self.late = [self.place(o) for o in outputs] if late else []
        called = self.ask(
            wire.CallRequest(
                arguments=refs, outputs=self.outputs, snapshots=snapshots, late=self.late, **more
            )
        )
        return called, [self.view(s).clone() for s in snapshots]

    def log(self) -> str:
        parts = []
        try:
            while part := os.read(self.log_read, 1 << 20):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts).decode(errors="replace")

    def reap(self) -> int | None:
        reaped = self.judge.ask(zygote.Reap(pid=self.pid))
        assert reaped.pid == self.pid
        return reaped.exit_status

    def close(self) -> None:
        self.reap()
        self.socket.close()
        os.close(self.log_read)


@pytest.fixture(scope="session")
def interpreting() -> Iterator[JudgeEnd]:
    """One zygote that interprets Triton, for a whole test run."""
    judge = JudgeEnd(interpret=True)
    yield judge
    judge.close()


@pytest.fixture
def candidate(interpreting: JudgeEnd) -> Iterator[CandidateEnd]:
    """A fresh candidate process in a folder that other users may reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        end = interpreting.spawn(Path(folder))
        yield end
        end.close()
