"""Rows of figures and words that fit a terminal of any width, where no figure is ever broken.

Columns stand side by side while they fit. Where they do not, those of words and then the last ones
go below each row, with their names, and are wrapped between words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = 2


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        right: its cells end together, as figures do.
        words: its cells are words; they go below before any figure does.
    """

    name: str
    right: bool = False
    words: bool = False


@dataclass(frozen=True)
class Listing:
    """A table for rich to print; a column whose cells are all empty is left out."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines, as wide as the console is."""
        shown = [n for n in range(len(self.columns)) if any(row[n].plain for row in self.rows)]
        widths = {n: self._width(n) for n in shown}
        beside = self._beside(shown, widths, options.max_width)
        yield self._line([Text(self.columns[n].name, "bold") for n in beside], beside, widths)
        for row in self.rows:
            yield self._line([row[n] for n in beside], beside, widths)
            below = [n for n in shown if n not in beside and row[n].plain]
            if below:
                said = Text("; ").join(
                    Text.assemble((f"{self.columns[n].name} ", "bright_black"), row[n])
                    for n in below
                )
                yield from hanging(console, said, options.max_width, Text("    "))

    def _width(self, column: int) -> int:
        cells = (row[column].cell_len for row in self.rows)
        return max(len(self.columns[column].name), *cells)

    def _beside(self, shown: Sequence[int], widths: dict[int, int], most: int) -> list[int]:
        """The columns that fit side by side; the first always does."""
        beside = list(shown)
        words = [n for n in shown if self.columns[n].words]
        while len(beside) > 1 and sum(widths[n] + GAP for n in beside) - GAP > most:
            beside.remove(words.pop() if words else beside[-1])
        return beside

    def _line(self, cells: Sequence[Text], columns: Sequence[int], widths: dict[int, int]) -> Text:
        line = Text()
        for cell, column in zip(cells, columns, strict=True):
            padding = " " * (widths[column] - cell.cell_len)
            parts = (padding, cell) if self.columns[column].right else (cell, padding)
            line.append_text(Text.assemble(*parts, " " * GAP))
        line.rstrip()
        return line


@dataclass(frozen=True)
class Sentence:
    """Words for rich to print, wrapped between words."""

    words: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The lines, as wide as the console is."""
        return hanging(console, self.words, options.max_width, Text())


def hanging(console: Console, words: Text, width: int, indent: Text) -> Iterator[Text]:
    """Words wrapped to a width, each line behind the same indent."""
    space = max(width - indent.cell_len, 1)
    for line in words.wrap(console, space, overflow="fold"):
        line.rstrip()
        yield Text.assemble(indent, line)
