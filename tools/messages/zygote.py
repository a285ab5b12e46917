"""Messages between the judge and a zygote: start a candidate process, end it, stop all of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from .candidate import DeviceFacts
from .frames import Message

CACHE_FOLDERS = {
    "HOME": "home",
    "TMPDIR": "tmp",
    "XDG_CACHE_HOME": "cache",
    "TRITON_CACHE_DIR": "triton",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "CUDA_CACHE_PATH": "nv",
    "TVM_FFI_CACHE_DIR": "tvm_ffi",
}
"""Environment variables of caches and scratch folders, and their places in a private folder."""
BUILDS_FOLDER = "build"
"""Place in a private folder of what compilers make."""
FETCHED_FOLDER = "fetched"
"""Place in a private folder of what was found in the cache of builds, one folder an entry."""


class Spawn(Message):
    """Fork one candidate process; its control socket and log pipe travel as descriptors.

    Descriptors, in order: the control socket, the write end of the log pipe (stdout and stderr).
    """

    kind: Literal["spawn"] = "spawn"
    private_dir: str = Field(description="Empty folder for home, caches and build products.")
    cache_dir: str | None = Field(
        default=None, description="Finished builds, by content; hidden from the candidate."
    )
    environment: dict[str, str] = Field(description="The whole environment of the candidate.")
    memory_bytes: int | None = None
    max_processes: int = 256
    max_file_bytes: int = 2 << 30
    cuda: bool = Field(default=False, description="Leave what CUDA needs reachable.")
    signing_key: str | None = Field(
        default=None, description="File that the candidate must not be able to read."
    )
    fake_device: DeviceFacts | None = Field(
        default=None, description="Without a GPU: what questions about the device are answered by."
    )


class Spawned(Message):
    """The candidate's process group and what its sandbox granted."""

    kind: Literal["spawned"] = "spawned"
    pid: int
    granted: list[str]
    missing: list[str]


class Reap(Message):
    """Kill a candidate and every process that descends from it."""

    kind: Literal["reap"] = "reap"
    pid: int


class Reaped(Message):
    """How the candidate ended: an exit code, or minus the signal."""

    kind: Literal["reaped"] = "reaped"
    pid: int
    exit_status: int | None


class Pause(Message):
    """Stop candidates and every process that descends from one, or let them go on."""

    kind: Literal["pause"] = "pause"
    stop: bool
    spared: list[int] = Field(
        default_factory=list, description="Candidates' processes that no candidate is in yet."
    )


class Paused(Message):
    """How many processes were stopped, or let go on."""

    kind: Literal["paused"] = "paused"
    count: int


ToZygote = Annotated[Spawn | Reap | Pause, Field(discriminator="kind")]


FromZygote = Annotated[Spawned | Reaped | Paused, Field(discriminator="kind")]


_LATER = ConfigDict(defer_build=True)
to_zygote: TypeAdapter[Spawn | Reap | Pause] = TypeAdapter(ToZygote, config=_LATER)


from_zygote: TypeAdapter[Spawned | Reaped | Paused] = TypeAdapter(FromZygote, config=_LATER)
