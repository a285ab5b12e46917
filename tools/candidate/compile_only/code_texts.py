"""Keeps what kernels were compiled to, form by form, for people and agents to read.

Disassembling and the assembler's words need NVIDIA's tools of Triton's wheel; a form that cannot be
made here is left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...messages.profiler import CODE_BYTES, CompiledModule, CompiledModules
from ..compilation import toolchain

TEXT_BYTES = 6 << 20
LOG_CHARACTERS = 40_000
MOST_MODULES = 48
FILE = "code.json"
FIRST_WITH_ITS_OWN = 100
TRITON_FORMS = ("ttir", "ttgir", "ptx")


class CodeTexts:
    """The texts of one call's kernels.

    Args:
        folder: of this process's own, where intermediate files may lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._modules: list[CompiledModule] = []

    def add_triton(self, kernels: Mapping[str, Any], target: str, files: Sequence[Path]) -> None:
        """Adds kernels of Triton, by the name that answers know them by, and their cubins."""
        sass = _disassembled(files)
        logs = [""] * len(files)
        if tool := _assembler(target):
            texts = [str(kernel.asm.get("ptx", "")) for kernel in kernels.values()]
            logs = self._assembled(tool, texts[: len(files)])
        parts = zip(kernels.items(), sass, logs, strict=False)
        for (name, kernel), disassembled, log in parts:
            texts = {form: str(kernel.asm[form]) for form in TRITON_FORMS if form in kernel.asm}
            self._add(target, {kernel.name: name}, {**texts, "sass": disassembled}, log)

    def add_cuda(
        self, file: Path, target: str, ptx: str, log: str, kernels: Mapping[str, str]
    ) -> None:
        """Adds a cubin of CUDA C++, whose `kernels` are by symbol."""
        (sass,) = _disassembled([file])
        self._add(target, dict(kernels), {"ptx": ptx, "sass": sass}, log)

    def written(self) -> int:
        """The descriptor of a file that holds all of it, which has no name any more."""
        held, size = CompiledModules(), 0
        for module in self._modules:
            size += sum(map(len, module.texts.values())) + len(module.log)
            if size * 2 > CODE_BYTES:
                break
            held.modules.append(module)
        path = self._folder / FILE
        path.write_text(held.model_dump_json(), encoding="utf-8")
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            path.unlink()

    def _assembled(self, tool: str, texts: Sequence[str]) -> list[str]:
        """What the assembler prints of texts: registers, spills, warnings."""
        commands: list[list[str]] = []
        for number, text in enumerate(texts):
            file = self._folder / f"assembled-{number}.ptx"
            file.write_text(text, encoding="utf-8")
            named = [line.split()[1] for line in text.splitlines() if line.startswith(".target ")]
            arch = named[0].rstrip(",") if named else "sm_90a"
            commands.append([tool, "-v", f"-arch={arch}", str(file), "-o", os.devnull])
        return [ran.output for ran in toolchain.run(commands)]

    def _add(
        self, target: str, kernels: dict[str, str], texts: Mapping[str, str], log: str
    ) -> None:
        if len(self._modules) >= MOST_MODULES:
            return
        held = {form: text[:TEXT_BYTES] for form, text in texts.items() if text}
        self._modules.append(
            CompiledModule(target=target, kernels=kernels, texts=held, log=log[:LOG_CHARACTERS])
        )


def _assembler(target: str) -> str:
    """The assembler that Triton uses for a target: newer ones have one of their own."""
    newer = int("".join(filter(str.isdigit, target)) or 0) >= FIRST_WITH_ITS_OWN
    return (_tool("ptxas_blackwell") if newer else "") or _tool("ptxas")


def _disassembled(files: Sequence[Path]) -> list[str]:
    """SASS with source lines, those of inlined functions by their callers, too."""
    tool = _tool("nvdisasm")
    if not tool:
        return [""] * len(files)
    ran = toolchain.run([[tool, "-gi", "-c", str(file)] for file in files], most_bytes=TEXT_BYTES)
    return [one.output if one.ok else "" for one in ran]


def _tool(name: str) -> str:
    """A tool of Triton's wheel, or of the path."""
    tools: list[Callable[[], str | None]] = [
        lambda: getattr(__import__("triton").knobs.nvidia, name).path,
        lambda: shutil.which(name),
    ]
    for find in tools:
        with contextlib.suppress(Exception):
            if found := find():
                return found
    return ""
