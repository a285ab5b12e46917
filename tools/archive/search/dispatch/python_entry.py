"""The choice between Python and Triton programs: a function that calls the part of a size. Pure."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from ....schema.flashinfer_trace import Definition
from .parts import Choice, Part

ENTRY_FILE = "main.py"


def why_not(parts: Sequence[Part]) -> str:
    """Why Python cannot import one of the parts; empty when it can."""
    for part in parts:
        names = (*_module(part).split("."), part.solution.entry_function)
        if not all(map(_is_name, names)):
            entry = part.solution.spec.entry_point
            return f"Python cannot import {entry!r}, the entry of {part.node.candidate_id}"
    return ""


def python_files(
    definition: Definition, choice: Choice, parts: Sequence[Part]
) -> Mapping[str, str]:
    """The entry, and each part's only file beside it; several lie in a folder of their own."""
    files = {ENTRY_FILE: _entry(definition, choice, parts)}
    for part in parts:
        alone = len(part.files) == 1
        for path, text in part.files.items():
            files[f"{part.name}.py" if alone else f"{part.name}/{path}"] = text
    return files


def _module(part: Part) -> str:
    if len(part.files) == 1:
        return part.name
    inner = PurePosixPath(part.solution.entry_file).with_suffix("").parts
    return ".".join((part.name, *inner))


def _entry(definition: Definition, choice: Choice, parts: Sequence[Part]) -> str:
    fills = all(part.solution.spec.destination_passing_style for part in parts)
    given = [*definition.inputs, *(definition.outputs if fills else ())]
    names = _arguments(given, [part.name for part in parts])
    call = f"({', '.join(names)})"
    lines = [
        f'"""Chooses by {choice.axis} between candidates of the archive, each in its own file.'
    ]
    lines += ["", *choice.described, "Archive it with all of them as its parents."]
    lines += ['"""', ""]
    lines += [
        f"from .{_module(part)} import {part.solution.entry_function} as {part.name}"
        for part in parts
    ]
    lines += ["", "", f"def run{call}:"]
    lines.append(f'    """Calls the candidate that was the fastest at this {choice.axis}."""')
    lines.append(f"    size = {names[choice.argument]}.shape[{choice.dimension}]")
    for bound, part in choice.upto:
        lines += [f"    if size <= {bound}:", f"        return {part.name}{call}"]
    lines.append(f"    return {choice.last.name}{call}")
    return "\n".join(lines) + "\n"


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _arguments(names: Sequence[str], modules: Sequence[str]) -> list[str]:
    """What `run` calls its arguments: as the definition does, or numbers where it cannot."""
    own = {"size", *modules}
    plain = all(_is_name(name) and name not in own for name in names)
    return list(names) if plain else [f"argument_{n}" for n in range(1, len(names) + 1)]
