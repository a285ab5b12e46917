"""What C++ and CUDA sources export to Python, read from their text where no GPU can load them.

It refuses only what it can read: an export that a macro of the candidate writes, or a function that
it cannot find, is left to the machine that loads the library.
"""

from __future__ import annotations

import re

from ...messages.candidate import BuildRequest
from ..faults import CandidateError
from .sources import split_entry_point

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DEFINED = re.compile(r"^\s*#\s*define\b(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_MARKS = re.compile(r"\.def\s*\(|PYBIND11_MODULE|TVM_FFI_DLL_EXPORT")
_PYBIND = re.compile(r'\.\s*def\s*\(\s*"(\w+)"\s*,\s*(&?\s*[\w:]+|\[)')
_TVM = re.compile(r"TVM_FFI_DLL_EXPORT_TYPED_FUNC\s*\(\s*(\w+)\s*,\s*([\w:]+|\[)")
_OTHER_WAYS = re.compile(r"\bTORCH_LIBRARY|\bPyInit_|\bTVM_FFI_STATIC_INIT_BLOCK")
_SOURCE_FILES = (".cu", ".cpp", ".cc", ".cxx", ".c++")


def check_exports(request: BuildRequest) -> None:
    """Checks that the entry point is exported, and takes as many arguments as it is called with.

    Raises:
        CandidateError: of kind 'entry_point' or 'signature'.
    """
    file, symbol = split_entry_point(request)
    if file.suffix not in _SOURCE_FILES:
        raise CandidateError(
            "entry_point",
            f"{request.entry_point!r} names no C++ or CUDA file, as 'kernel.cu::run' does",
        )
    text = _COMMENT.sub(" ", "\n".join(source["content"] for source in request.sources))
    if _OTHER_WAYS.search(text) or any(_MARKS.search(m[0]) for m in _DEFINED.finditer(text)):
        return
    found = {m[1]: m for way in (_PYBIND, _TVM) for m in way.finditer(text)}
    if not found and ".def" in text:
        return
    if symbol not in found:
        names = ", ".join(sorted(found)) or "nothing"
        raise CandidateError(
            "entry_point",
            f"{request.entry_point!r} is not exported; the sources export {names}. Export it by "
            f'm.def("{symbol}", &function) in PYBIND11_MODULE, or by '
            f"TVM_FFI_DLL_EXPORT_TYPED_FUNC({symbol}, function)",
        )
    _check_arity(request, symbol, found[symbol], text)


def _check_arity(request: BuildRequest, symbol: str, export: re.Match[str], text: str) -> None:
    target = export[2].lstrip("& ").rpartition("::")[2]
    parameters = _after(text, export.end() - 1) if target == "[" else _of_function(text, target)
    if parameters is None or _default_beside(text, export.end()):
        return
    needed = sum("=" not in parameter for parameter in parameters)
    expected = request.argument_count
    style = "the inputs"
    if request.destination_passing_style:
        expected += request.output_count
        style = "the inputs, then the outputs"
    if not needed <= expected <= len(parameters):
        raise CandidateError(
            "signature",
            f"{symbol} takes {len(parameters)} arguments; it is called with {expected}: {style}",
        )


def _default_beside(text: str, start: int) -> bool:
    """Whether the statement of an export names arguments, which may have defaults."""
    return "arg(" in text[start : text.find(";", start)]


def _of_function(text: str, name: str) -> list[str] | None:
    """The parameters of the one function that is defined under a name; None when it is not one."""
    found: list[list[str]] = []
    for start in re.finditer(rf"(?<![\w.>]){re.escape(name)}\s*\(", text):
        end = _closing(text, start.end() - 1)
        if end is not None and re.match(r"\s*(?:noexcept\s*)?\{", text[end + 1 :]):
            found.append(_split(text[start.end() : end]))
    return found[0] if len(found) == 1 else None


def _after(text: str, start: int) -> list[str] | None:
    """The parameters of a lambda whose capture begins at `start`."""
    opening = text.find("(", text.find("]", start))
    end = _closing(text, opening) if opening >= 0 else None
    return _split(text[opening + 1 : end]) if end is not None else None


def _closing(text: str, opening: int) -> int | None:
    depth = 0
    for at in range(opening, min(len(text), opening + 20_000)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return None


def _split(parameters: str) -> list[str]:
    """Parameters between commas that no bracket encloses."""
    parts, depth = [""], 0
    for letter in parameters:
        depth += {"(": 1, "<": 1, "{": 1, "[": 1, ")": -1, ">": -1, "}": -1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip() and part.strip() != "void"]
