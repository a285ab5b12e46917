"""An author's words as the archive stores them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ....text import one_line, printable

PROSE_CHARACTERS = 20_000


def prose(text: str) -> str:
    """An author's text, printable and cut to a length that a reviewer can read."""
    return printable(text)[:PROSE_CHARACTERS].strip()


def technique_tags(tags: Sequence[str]) -> list[str]:
    """Techniques as they are stored: lower case, words joined by hyphens, first use kept."""
    joined = (re.sub(r"[\s_]+", "-", one_line(tag, 80).lower()) for tag in tags)
    return list(dict.fromkeys(tag for tag in joined if tag))
