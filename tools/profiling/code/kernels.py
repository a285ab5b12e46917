"""One compiled kernel: its resources, its texts, and what the assembler warned of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ...errors import RequestError, unknown_name
from ...evaluation.static_resources import explained_kernel
from ...messages.candidate import CompiledKernel
from ...messages.profiler import CompiledModule
from ...schema.evaluation import StaticKernel
from ...text import shorten
from ..diagnosis.stall_samples import SampledKernel, StallSamples, same_code
from .locations import located
from .sass import SassFunction, read_sass, written

FORMS = ("ttir", "ttgir", "ptx", "sass")
_WARNING = re.compile(r"warning|performance loss|serializ", re.IGNORECASE)
_MARK = re.compile(r"\$L__tmp\d+:$")
_DEBUGGING = re.compile(r"\s*\.section\s+\.debug")
_ENTRY = re.compile(r"^(?:\.visible |\.weak )?\.entry ([\w$]+)", re.MULTILINE)


@dataclass(frozen=True)
class KernelCode:
    """One kernel as it was compiled for one target."""

    kernel: StaticKernel
    symbol: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    samples: SampledKernel | None = None
    """Where its warps waited in a profiled call; None where none of this very code was profiled."""
    sampled_on: str = ""
    """The uuid of the workload that was profiled."""

    @cached_property
    def sass(self) -> SassFunction:
        """Its instructions; none where nothing could disassemble them."""
        return read_sass(self.texts.get("sass", "")).get(self.symbol, SassFunction())

    @property
    def warnings(self) -> list[str]:
        """What the assembler warned of, once each."""
        said = [" ".join(line.split()) for line in self.log.splitlines() if _WARNING.search(line)]
        return [shorten(line, 400) for line in dict.fromkeys(said)]

    def lines(self, form: str) -> list[str]:
        """The lines of one form.

        Raises:
            RequestError: when it has none of that form.
        """
        if form == "sass" and self.sass.instructions:
            return list(written(self.sass, self.samples))
        text = self.texts.get(form, "")
        if not text or form == "sass":
            have = [name for name in FORMS if name in self.texts]
            raise RequestError(
                f"{self.kernel.name} has no {form}",
                remedy=f"It has {', '.join(have)}." if have else "Nothing here disassembles it.",
            )
        return _readable(_of_entry(text, self.symbol)) if form == "ptx" else located(text)


def kernels_of(
    compiled: Sequence[CompiledKernel], modules: Sequence[CompiledModule]
) -> list[KernelCode]:
    """The kernels that were compiled, each with the texts of its module."""
    texts = {
        known: (symbol, module) for module in modules for symbol, known in module.kernels.items()
    }
    found: list[KernelCode] = []
    for one in compiled:
        symbol, module = texts.get(one.binary or one.name, ("", None))
        shown = explained_kernel(one)
        if module is None:
            found.append(KernelCode(shown))
        else:
            found.append(KernelCode(shown, symbol, module.texts, module.log))
    return found


def with_samples(kernels: Sequence[KernelCode], known: Iterable[StallSamples]) -> list[KernelCode]:
    """The kernels, each with the samples of the first profiled call in which the same code ran."""
    calls = list(known)
    return [_sampled(one, calls) for one in kernels]


def _sampled(one: KernelCode, calls: Sequence[StallSamples]) -> KernelCode:
    opcodes = [instruction.opcode for instruction in one.sass.instructions]
    for call in calls:
        for kernel in call.kernels:
            if kernel.samples and same_code(opcodes, [i.opcode for i in kernel.instructions]):
                return replace(one, samples=kernel, sampled_on=call.uuid)
    return one


def chosen(kernels: Sequence[KernelCode], name: str | None) -> list[KernelCode]:
    """The kernels whose name has these letters; all where no name is given.

    Raises:
        RequestError: when there is none.
    """
    if name is None:
        return list(kernels)
    exact = [one for one in kernels if one.kernel.name == name]
    found = exact or [one for one in kernels if name.lower() in one.kernel.name.lower()]
    if not found:
        raise unknown_name("kernel", name, [one.kernel.name for one in kernels])
    return found


def _of_entry(text: str, symbol: str) -> list[str]:
    """The PTX of one kernel; of a module with one kernel all of it."""
    entries = list(_ENTRY.finditer(text))
    if len(entries) < 2:
        return text.splitlines()
    for number, entry in enumerate(entries):
        if entry.group(1) == symbol:
            end = entries[number + 1].start() if number + 1 < len(entries) else len(text)
            return text[entry.start() : end].splitlines()
    return text.splitlines()


def _readable(lines: Sequence[str]) -> list[str]:
    """PTX without the tables of debuggers behind it, half of its lines, and the marks for them."""
    end = next((at for at, line in enumerate(lines) if _DEBUGGING.match(line)), len(lines))
    found: list[str] = []
    place = ""
    for line in lines[:end]:
        is_place = line.lstrip().startswith(".loc")
        if not (_MARK.match(line) or (is_place and line == place)):
            found.append(line)
        place = line if is_place else place
    return found
