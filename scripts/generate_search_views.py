"""Writes what a search showed while it ran, as pictures for the guide, from what is recorded of it.

    python scripts/generate_search_views.py DATA_DIR [--search ID] [--round N] [--out docs/images]
    python scripts/generate_search_views.py --transcript FILE [--out docs/images]

`search-terminal.svg` is the terminal as it was in the middle of round N, which without `--round`
is the last one; `search-page.html` is the page after the search. Both are made by the functions
that show a search, from the steps in the archive's repository; only what an agent did at that
moment is not recorded, and is told as its name. Of a transcript, what `optimize` printed at its
end on another machine, only the terminal is drawn.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from kernel_harness.server.cli.searching.page import page_of
from kernel_harness.server.cli.searching.words import search_lines
from kernel_harness.tools.agents.records.events import RoundBegan, RoundEnded, SearchEvent
from kernel_harness.tools.agents.records.ledger import search_named, searches
from kernel_harness.tools.agents.records.state import SearchState, state_of
from kernel_harness.tools.agents.searches.agent_step import roles_started
from kernel_harness.tools.archive.git.repository import Repository
from kernel_harness.tools.errors import RequestError

WIDTH = 110
ENDED = re.compile(r"^s\d{8}-\d{6}-\w{6}  .*?^Ended: [^\n]*$", re.DOTALL | re.MULTILINE)
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
TERMINAL, PAGE = "search-terminal.svg", "search-page.html"


def events_of(data_dir: Path, name: str | None) -> list[SearchEvent]:
    """The steps of a search, or of the newest one.

    Raises:
        RequestError: when there is none.
    """
    repository = Repository(data_dir / "archive" / "repository.git")
    try:
        found = [search_named(repository, name)] if name else searches(repository)
        if not found:
            raise RequestError("There is no search", where=str(data_dir))
        return found[0].events()
    finally:
        repository.close()


def in_the_midst(events: Sequence[SearchEvent], number: int | None) -> tuple[SearchState, float]:
    """The search as it was in the middle of a round, and when that was.

    Raises:
        RequestError: when that round never was, or did not end.
    """
    if number is None:
        number = max((e.number for e in events if isinstance(e, RoundEnded)), default=0)
    began = [e.at for e in events if isinstance(e, RoundBegan) and e.number == number]
    ended = [e.at for e in events if isinstance(e, RoundEnded) and e.number == number]
    if not began or not ended:
        raise RequestError(f"There is no round {number} that began and ended")
    now = (began[0] + ended[0]) / 2
    return state_of([event for event in events if event.at <= now]), now


def lines_at(state: SearchState, now: float) -> list[str]:
    """What the terminal showed at a moment."""
    agent, options = state.began.agent, state.began.options
    doing = {
        r.began.number: f"{agent} as {', then '.join(roles_started(options, r.began.role))}"
        for r in state.under_way
    }
    return search_lines(state, now, doing)


def last_lines(transcript: str) -> list[str]:
    """What a terminal showed at the end of a search, out of all that was printed.

    Raises:
        RequestError: when no search ended in it.
    """
    found = ENDED.search(transcript)
    if found is None:
        raise RequestError("No search ended in this transcript")
    return found[0].splitlines()


def terminal_svg(lines: Sequence[str]) -> str:
    """A terminal's view as a picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text("\n".join(lines)))
    title = "kernel-harness optimize"
    svg = console.export_svg(title=title, unique_id="search")
    return FONT.sub("", svg)  # it would be loaded from elsewhere


def main(arguments: Sequence[str]) -> int:
    """Writes both; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path, nargs="?", default=Path())
    parser.add_argument("--transcript", type=Path)
    parser.add_argument("--search")
    parser.add_argument("--round", type=int)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        if given.transcript:
            lines = last_lines(given.transcript.read_text(encoding="utf-8"))
            (given.out / TERMINAL).write_text(terminal_svg(lines), encoding="utf-8")
            return 0
        events = events_of(given.data_dir, given.search)
        midst, now = in_the_midst(events, given.round)
    except RequestError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    whole = state_of(events)
    svg = terminal_svg(lines_at(midst, now))
    (given.out / TERMINAL).write_text(svg, encoding="utf-8")
    (given.out / PAGE).write_text(page_of(whole, whole.last_at), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
