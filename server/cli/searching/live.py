"""Shows a search while it runs: in the terminal, and as its page."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .page import write_page
from .words import round_line, search_lines

if TYPE_CHECKING:
    from rich.live import Live

    from ....tools.agents.records.state import SearchState
    from ....tools.agents.searches.agent_step import SearchParts

PAGE_S = 1.0
"""The page is written at most so often."""


class SearchView:
    """A terminal's view, redrawn in place; elsewhere a line for each round that ends.

    Args:
        quiet: show nothing but the page, for a command whose answer programs read.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._written, self._shown = 0.0, 0

    def __enter__(self) -> SearchView:
        if sys.stdout.isatty() and not self._quiet:
            from rich.live import Live

            self._live = Live(refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *given: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show_cursor(self) -> None:
        """Shows the terminal's cursor again, for a process that ends at once."""
        if self._live is not None:
            self._live.console.show_cursor()

    def show(self, state: SearchState, parts: SearchParts) -> None:
        """Shows the search as it is now."""
        now = time.time()
        if now - self._written >= PAGE_S or state.ended is not None:
            write_page(parts.folder.page, state, now, parts.activity)
            self._written = now
        if self._quiet:
            return
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text("\n".join(search_lines(state, now, parts.activity))))
            return
        finished = sorted(state.finished, key=lambda ended: ended.at)
        for ended in finished[self._shown :]:
            sys.stdout.write(f"{round_line(ended)}\n")
        sys.stdout.flush()
        self._shown = len(finished)
