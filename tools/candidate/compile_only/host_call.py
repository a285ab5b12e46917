"""Calls the host function of CUDA sources without a device, against a stub of CUDA's runtime.

The stub launches nothing and remembers what would be launched, so that an argument of a wrong type,
an empty grid or a block that is too large is found before anything runs. Sources with torch's
binding are compiled with the torch shim, whose tensors say here that they lie on a device; those
that it does not serve are not called. Functions of tvm-ffi get tensors that say so by DLPack. The
call is made in a fork, within a limit of time: what it does to its process is its own affair, and a
crash says nothing of the candidate, whose kernels computed nothing.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import BuildRequest, CandidateFault, DeviceFacts
from ..compilation import toolchain
from ..compilation.extensions import load_extension
from ..compilation.native import is_tvm_ffi, stub_config
from ..compilation.object_cache import (
    compile_command,
    config_for,
    find_support,
)
from ..compilation.sources import Folders, split_entry_point
from ..compilation.toolchain import Toolchain
from ..faults import cut
from . import device_tensors

STUB = Path(__file__).with_name("stub_runtime.cpp").read_text(encoding="utf-8")
CALL_S = 30.0
REPORT_BYTES = 64 << 10
_WRONG_TYPE = (
    "incompatible function arguments",
    "expected scalar type",
    "Mismatched type on argument",
    "Mismatched number of arguments",
)
"""Words of pybind11, torch and tvm-ffi on the arguments of a call."""


@dataclass(frozen=True)
class HostCall:
    """What a call against the stub showed; kernels are as the stub names them.

    Args:
        grids: by kernel, those it is launched on.
        refused: kernel and words of each launch that a device would refuse.
        error: what the call raised, or why it was not finished; empty when it returned.
    """

    kernels: Sequence[str]
    grids: Mapping[str, list[list[int]]]
    refused: Sequence[tuple[str, str]]
    error: str = ""

    def fault(self, names: Mapping[str, str]) -> CandidateFault | None:
        """What is surely wrong, whatever the kernels compute.

        Args:
            names: the kernels' names as people write them.
        """
        if self.refused:
            name, words = self.refused[0]
            message = f"{names.get(name, name)} is launched on {words}"
            return CandidateFault(kind="launch", message=cut(message, 2_000))
        if any(words in self.error for words in _WRONG_TYPE):
            message = f"The host function refuses its arguments: {self.error}"
            return CandidateFault(kind="signature", message=cut(message, 2_000))
        return None

    def notes(self) -> list[str]:
        """What else is worth saying."""
        if not self.error:
            return []
        return [cut(f"Called against a stub of the driver, it raised: {self.error}", 600)]


def link_with_stub(
    request: BuildRequest,
    source_dir: Path,
    folders: Folders,
    tools: Toolchain,
    arch: str,
    facts: DeviceFacts,
) -> Path | None:
    """The candidate's library, linked with the stub; None where that cannot be made.

    Args:
        arch: what device code is compiled for, as '90a'.
        facts: what the stub says of its device.
    """
    config = stub_config(request, folders) if folders.kept else None
    if config is None:
        return None
    objects: list[Path] = []
    if config.support is not None:
        support = find_support(config, folders, tools)
        if support is None:
            return None
        objects.append(support)
    place = folders.builds / "host_call"
    place.mkdir(parents=True, exist_ok=True)
    stub = place / "stub_runtime.cpp"
    stub.write_text(STUB, encoding="utf-8")
    defined = {
        "SM_COUNT": facts.sm_count,
        "CAPABILITY": facts.capability,
        "SHARED_BYTES_PER_BLOCK": facts.shared_bytes_per_block,
    }
    compile_stub = [tools.require_cxx(), f"-std={config.standard}", "-O1", "-w", "-fPIC"]
    compile_stub += [f"-D{name}={value}" for name, value in defined.items()]
    compile_stub += [f"-I{tools.cuda_home}/include", "-c", str(stub), "-o", f"{stub}.o"]
    names = [
        s["path"] for s in request.sources if s["path"].endswith((".cu", ".cpp", ".cc", ".cxx"))
    ]
    made = [place / f"{index}.o" for index in range(len(names))]
    commands = [
        compile_command((name, file), arch, source_dir, config_for(request, name, config), tools)
        for name, file in zip(names, made, strict=True)
    ]
    if not all(ran.ok for ran in toolchain.run([compile_stub, *commands])):
        return None
    library = place / "candidate_host.so"
    link = [tools.require_cxx(), "-shared", "-o", str(library), *map(str, [*made, *objects])]
    link += [f"{stub}.o", "-Wl,-Bsymbolic", "-Wl,--as-needed", *config.libraries]
    return library if toolchain.run([link])[0].ok else None


def call_host_function(
    library: Path, request: BuildRequest, arguments: Sequence[Any]
) -> HostCall | None:
    """Calls the entry point once, in a fork; None where it said nothing, as after a crash."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _report_call(write, library, request, arguments)
        os._exit(0)
    os.close(write)
    said, deadline = b"", time.monotonic() + CALL_S
    while len(said) < REPORT_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([read], [], [], left)[0]:
            break
        part = os.read(read, REPORT_BYTES)
        if not part:
            break
        said += part
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _read_report(said.decode("utf-8", "replace"))


def _report_call(
    write: int, library: Path, request: BuildRequest, arguments: Sequence[Any]
) -> None:
    """In the fork: loads, calls, and writes what the stub remembers; the last line ends it."""
    error = ""
    report = b""
    try:
        function, passed = _loaded(library, request, arguments)
        stub = ctypes.CDLL(str(library)).kernel_harness_stub_report
        stub.restype = ctypes.c_char_p
        try:
            function(*passed)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        report = stub() or b""
    except Exception as raised:
        error = f"it could not be called: {type(raised).__name__}: {raised}"
    line = error.replace("\n", " ")[:2_000].encode("utf-8", "replace")
    os.write(write, report[: REPORT_BYTES // 2] + b"error\t" + line + b"\nend\n")


def _loaded(
    library: Path, request: BuildRequest, arguments: Sequence[Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """The entry point and its arguments, tensors among them as tensors of a device."""
    _, symbol = split_entry_point(request)
    if not is_tvm_ffi(request):
        return getattr(load_extension(library), symbol), list(arguments)
    tvm_ffi: Any = importlib.import_module("tvm_ffi")
    passed = [
        tvm_ffi.from_dlpack(device_tensors.Lent(a)) if isinstance(a, torch.Tensor) else a
        for a in arguments
    ]
    return tvm_ffi.load_module(str(library))[symbol], passed


def _read_report(text: str) -> HostCall | None:
    lines = [line.split("\t") for line in text.splitlines()]
    if not lines or lines[-1] != ["end"]:
        return None
    kernels = [line[1] for line in lines if line[0] == "kernel" and len(line) == 2]
    launches = [line for line in lines if line[0] == "launched" and len(line) == 6]
    refused = [
        (
            name,
            f"a grid of {grid.replace(' ', 'x')} blocks of {block.replace(' ', 'x')} threads: "
            f"{why}",
        )
        for _, name, grid, block, _, why in launches
        if why
    ]
    error = next((line[1] for line in lines if line[0] == "error" and len(line) == 2), "")
    grids: dict[str, list[list[int]]] = {}
    for _, name, grid, *_ in launches:
        sizes = [int(size) for size in grid.split()]
        if sizes not in grids.setdefault(name, []):
            grids[name].append(sizes)
    return HostCall(kernels, grids, refused, error)
