"""Where CUDA and C++ sources hold a constant: macros and constexpr; and how it is replaced.

No preprocessor runs here. Comments and texts in quotes are blanked, and then a constant counts that
is defined once, in one line, as a number, a truth value or one name. What a branch of the
preprocessor chooses between is defined several times, and refused.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from ..errors import RequestError
from ..text import one_line
from .places import Edit, ValuePlace, edited

_HIDDEN = re.compile(
    r'R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'  # raw text
    r'|//(?:\\\r?\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
_NUMBER = r"[-+]?(?:0[xX][0-9a-fA-F']+|0[bB][01']+|(?:\d[\d']*\.?[\d']*|\.\d+)(?:[eE][-+]?\d+)?)"
_SUFFIX = r"[uUlLzZfF]{0,3}"
_NAME = r"[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*"
_VALUE = re.compile(rf"\(?\s*(?:{_NUMBER}{_SUFFIX}|{_NAME})\s*\)?")
_NAME_ONLY = re.compile(_NAME)
_DEFINED = re.compile(
    r"^[ \t]*#[ \t]*define[ \t]+([A-Za-z_]\w*)[ \t]"
    r"|\bconstexpr\b[^;={}()#]*?\b([A-Za-z_]\w*)\s*[={]",
    re.MULTILINE,
)
_CONSTANT = re.compile(r"[A-Za-z_]\w*")


def places(text: str, constant: str) -> list[ValuePlace] | str:
    """The place of a constant's value, or why there is none; empty when none is so called."""
    if not _CONSTANT.fullmatch(constant):
        return ""
    plain = _HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    defined = list(
        re.finditer(rf"^[ \t]*#[ \t]*define[ \t]+{constant}\b(?P<value>.*)$", plain, re.MULTILINE)
    )
    declared = list(
        re.finditer(
            rf"\bconstexpr\b[^;=(){{}}#]*?\b{constant}\s*(?:=(?P<value>[^;]*)"
            rf"|\{{(?P<braced>[^;}}]*)\}})\s*;",
            plain,
        )
    )
    found = [*defined, *declared]
    if not found:
        return (
            "is named, but no #define or constexpr gives it a value"
            if _named(plain, constant)
            else ""
        )
    lines = ", ".join(str(plain.count("\n", 0, match.start()) + 1) for match in found)
    if len(found) > 1 or re.search(rf"#[ \t]*undef[ \t]+{constant}\b", plain):
        return f"is defined several times, or undefined again, in lines {lines}"
    (match,) = found
    group = "value" if match["value"] is not None else "braced"
    written = match[group]
    stripped = written.strip()
    if not _VALUE.fullmatch(stripped) or (defined and not written[:1].isspace()):
        return f"is no plain number or name, in line {lines}"
    start = match.start(group) + len(written) - len(written.lstrip())
    return [ValuePlace(start, start + len(stripped), text[start : start + len(stripped)])]


def names(text: str, most: int) -> list[str]:
    """What a call may name here, the first: macros and constexpr variables of a plain value."""
    likely = dict.fromkeys(macro or variable for macro, variable in _DEFINED.findall(text))
    found = (name for name in likely if isinstance(places(text, name), list))
    return list(itertools.islice(found, most))


def literal(name: str, value: Any, place: ValuePlace) -> str:
    """The value as C++ writes it.

    Raises:
        RequestError: when it has no such literal.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise RequestError(f"The value of {name!r} is no 64-bit number: {one_line(str(value))}")
        return f"({value})" if value < 0 else str(value)
    if isinstance(value, float):
        suffix = "f" if place.written.rstrip(")").rstrip().lower().endswith("f") else ""
        return f"({value!r}{suffix})" if value < 0 else f"{value!r}{suffix}"
    if isinstance(value, str) and _NAME_ONLY.fullmatch(value):
        return value
    raise RequestError(
        f"The value of {name!r} is {one_line(repr(value), 80)}, which a macro cannot be given",
        remedy="Give a number, a truth value, or a name such as 'float' or 'cute::bfloat16_t'.",
    )


def replaced(text: str, edits: Sequence[Edit]) -> str:
    """The source with each place's value replaced."""
    return edited(text, edits)


def _named(plain: str, constant: str) -> bool:
    return re.search(rf"\b{constant}\b", plain) is not None
