"""A program's named constants, and the program with other values of them.

A value is put in where the source holds the constant, as text, and nothing else changes: for Python
the changed source is parsed again and must be the old tree with the new value in it. What cannot be
changed so is refused in words, never guessed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from ..schema.flashinfer_trace import Solution, SourceFile
from ..text import one_line
from . import macros, python_constants
from .places import Edit, ValuePlace

MOST_CHARACTERS = 64 << 10
"""Of a source that is searched: the server parses it, and must go on answering."""
LONGEST_VALUE = 1_000
DEEPEST_VALUE = 4
LONGEST_NAME = 200
MOST_LISTED = 16
PYTHON_FILES = (".py",)
C_FILES = (".cu", ".cuh", ".h", ".hpp", ".cpp", ".cc", ".cxx", ".inc")


@dataclass(frozen=True)
class _Held:
    """A constant: the source that holds it, and where."""

    name: str
    path: str
    places: Sequence[ValuePlace]


class Constants:
    """The places of some constants of a solution.

    Args:
        names: 'BLOCK', with its file 'kernel.py::BLOCK', an entry of a table '_tile.BM', or a
            keyword of the launches of a kernel '_step.num_warps'.

    Raises:
        RequestError: when a constant is not there, is there several times, or is computed.
    """

    def __init__(self, solution: Solution, names: Sequence[str]) -> None:
        self._solution = solution
        self._texts = {source.path: source.content for source in solution.sources}
        self._held = {name: self._found(name) for name in names}
        self._refuse_overlaps()

    def written(self) -> dict[str, str]:
        """By name, the value that the source holds, as it is written there."""
        return {name: held.places[0].written for name, held in self._held.items()}

    def with_values(self, values: Mapping[str, Any], name: str) -> Solution:
        """The solution of that name with these values of its constants.

        Raises:
            RequestError: when a value is none that the language has a literal for.
        """
        texts = dict(self._texts)
        for path in {self._held[constant].path for constant in values}:
            here = {c: v for c, v in values.items() if self._held[c].path == path}
            texts[path] = self._changed(path, here)
        sources = [SourceFile(path=path, content=text) for path, text in texts.items()]
        return self._solution.model_copy(update={"name": name, "sources": sources})

    def passed_to_triton(self) -> frozenset[str]:
        """The constants that launches alone hold, and that Triton alone is given.

        No other code of the program can tell their values.
        """
        texts = [text for path, text in self._texts.items() if path.endswith(PYTHON_FILES)]
        found: set[str] = set()
        for name, held in self._held.items():
            constant = name.rpartition("::")[2]
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                if held.path.endswith(PYTHON_FILES):
                    kernel = python_constants.launched_with(self._texts[held.path], constant)
                    keyword = constant.rpartition(".")[2]
                    if kernel and python_constants.plain_kernel(texts, kernel, keyword):
                        found.add(name)
        return frozenset(found)

    def edits(self, name: str, value: Any) -> tuple[str, list[Edit]]:
        """The source that holds a constant, and what is to be written there for a value.

        Raises:
            RequestError: when the value is none that the language has a literal for, or is a text
                and the source has a number there.
        """
        refuse_value(name, value)
        held = self._held[name]
        python = held.path.endswith(PYTHON_FILES)
        if python and isinstance(value, str) and _is_number(held.places[0].written):
            raise RequestError(
                f"The value {one_line(repr(value), 80)} of {name!r} is a text, where {held.path} "
                f"has the number {held.places[0].written}",
                remedy="Pass numbers without quotation marks.",
            )
        module = python_constants if python else macros
        return held.path, [(place, module.literal(name, value, place)) for place in held.places]

    def _changed(self, path: str, values: Mapping[str, Any]) -> str:
        module = python_constants if path.endswith(PYTHON_FILES) else macros
        edits = [edit for name, value in values.items() for edit in self.edits(name, value)[1]]
        return module.replaced(self._texts[path], edits)

    def _found(self, name: str) -> _Held:
        file, _, constant = name.rpartition("::")
        if not constant or len(name) > LONGEST_NAME or not constant.isprintable():
            raise RequestError(f"{one_line(name, 80)!r} cannot name a constant")
        if file and file not in self._texts:
            raise RequestError(
                f"There is no source {one_line(file, 80)!r}",
                remedy=f"The sources are {', '.join(list(self._texts)[:12])}.",
            )
        if constant == self._solution.entry_function:
            raise RequestError(f"{constant!r} is the entry point, no constant")
        found: list[_Held] = []
        reasons: list[str] = []
        for path, text in self._texts.items():
            if path.endswith(PYTHON_FILES + C_FILES) and file in ("", path):
                held = self._searched(name, constant, path, text, reasons)
                found += [held] if held else []
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(f"{held.path}::{constant}" for held in found)
            raise RequestError(
                f"{len(found)} sources hold a constant {constant!r}", remedy=f"Name {choices}."
            )
        raise RequestError(
            f"The constant {one_line(constant, 80)!r} cannot be changed: "
            + ("; ".join(reasons[:4]) or "no source assigns it"),
            remedy=f"{self._listed()}Write it as a literal, once, at the top level of a Python "
            "source or in a function of it (BLOCK = 64), in a table (_tile = {'BM': 64}), as a "
            "keyword of a launch (num_warps=4), or in CUDA as #define BLOCK 64 or constexpr int "
            "BLOCK = 64.",
        )

    def _listed(self) -> str:
        """Which constants the sources hold, in a sentence; empty where none is found."""
        held: dict[str, None] = {}
        for path, text in self._texts.items():
            if len(text) <= MOST_CHARACTERS and path.endswith(PYTHON_FILES + C_FILES):
                module = python_constants if path.endswith(PYTHON_FILES) else macros
                held |= dict.fromkeys(module.names(text, MOST_LISTED))
        return f"It holds {', '.join(list(held)[:MOST_LISTED])}. " if held else ""

    @staticmethod
    def _searched(
        name: str, constant: str, path: str, text: str, reasons: list[str]
    ) -> _Held | None:
        if constant.partition(".")[0] not in text:
            return None
        if len(text) > MOST_CHARACTERS:
            reasons.append(f"{path} has more than the {MOST_CHARACTERS} characters that are read")
            return None
        module = python_constants if path.endswith(PYTHON_FILES) else macros
        found = module.places(text, constant)
        if isinstance(found, str):
            reasons.append(f"in {path} it {found}" if found else "")
            reasons[:] = filter(None, reasons)
            return None
        return _Held(name, path, found)

    def _refuse_overlaps(self) -> None:
        """Refuses two names of one place: the later value would overwrite the earlier one."""
        seen: dict[tuple[str, int], str] = {}
        for name, held in self._held.items():
            for place in held.places:
                for offset in range(place.start, place.end):
                    other = seen.setdefault((held.path, offset), name)
                    if other != name:
                        raise RequestError(
                            f"{other!r} and {name!r} are one place of {held.path}",
                            remedy="Name it once.",
                        )


def _is_number(written: str) -> bool:
    try:
        float(written)
    except ValueError:
        return False
    return True


def refuse_value(name: str, value: Any, depth: int = 0) -> None:
    """Refuses what is no literal: only numbers, truth values, texts, and tables of them.

    Raises:
        RequestError: saying of which constant.
    """
    if depth > DEEPEST_VALUE or (not depth and len(repr(value)) > LONGEST_VALUE):
        raise RequestError(f"The value of {name!r} is too large: {one_line(repr(value), 80)}")
    if isinstance(value, list | tuple):
        for part in value:
            refuse_value(name, part, depth + 1)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            refuse_value(name, key, depth + 1)
            refuse_value(name, part, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"The value of {name!r} is {value}, which no literal is")
    elif value is not None and not isinstance(value, bool | int | float | str):
        raise RequestError(f"The value of {name!r} is {one_line(repr(value), 80)}, no literal")
