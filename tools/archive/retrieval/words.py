"""Free text as an expression of FTS5, for a ranking in which any word counts.

Pure. No operator of FTS5's own gets through: words are quoted. A word of three letters and more is
a prefix; one with a hyphen is a phrase, and its parts count, too.
"""

from __future__ import annotations

import re

MOST_WORDS = 24
SHORTEST_PREFIX = 3
_WORD = re.compile(r"[^\W_]+(?:[-_][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_FUNCTION_WORDS = frozenset(
    "a an and as at be by for from in into is it no not of on or than that the this to was with"
    " when where which".split()
)


def terms(text: str) -> tuple[str, ...]:
    """The words of a text as terms of FTS5; those that carry no meaning only where all do not."""
    words = _WORD.findall(text.lower())
    meant = [word for word in words if word not in _FUNCTION_WORDS] or words
    found: list[str] = []
    for word in meant:
        parts = _PART.findall(word)
        if len(parts) > 1:
            found.append(f'"{" ".join(parts)}"')
        found += [
            _term(part)
            for part in parts
            if len(parts) == 1 or (len(part) > 1 and part not in _FUNCTION_WORDS)
        ]
    return tuple(dict.fromkeys(found))[:MOST_WORDS]


def any_of(found: tuple[str, ...]) -> str:
    """An expression that each row with one of the terms fulfils; empty without terms."""
    return " OR ".join(found)


def all_of(found: tuple[str, ...]) -> str:
    """An expression that only rows with all of the terms fulfil; empty without terms."""
    return " ".join(found)


def _term(word: str) -> str:
    return f'"{word}"*' if len(word) >= SHORTEST_PREFIX else f'"{word}"'
