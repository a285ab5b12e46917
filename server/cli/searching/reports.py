"""Commands compare and lessons: searches beside one another, and what they taught."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ....tools.agents.comparison.compared import Trait
    from ....tools.agents.records.state import SearchState
    from ....tools.harness import Harness


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the commands to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    compare = command(
        "compare", "unattended searches beside one another, with their costs", _compare
    )
    compare.add_argument(
        "searches",
        nargs="*",
        help="ids, data folders with all their searches, or NAME=… of several of these, with "
        "commas between; all here if absent. Without a name: by what they were asked for",
    )
    compare.add_argument(
        "--by", help="what groups differ in: some of agent,policy,roles,start,operator"
    )
    compare.add_argument(
        "--picture", type=Path, help="draw how far they were, with intervals: .svg, .png or .pdf"
    )
    lessons = command("lessons", "a draft of what an operator's searches taught, for you", _lessons)
    lessons.add_argument("operator", help="a definition, or a unique part of its name")
    lessons.add_argument("--out", type=Path, help="write it to this file")


def searches_text(harness: Harness) -> str:
    """All searches of an archive: beside one another, then each with what it used; or nothing."""
    from ....tools.agents.comparison.compared import figures_of, grouped
    from ....tools.agents.comparison.tables import comparison_lines
    from .words import search_lines

    states = _every_state(harness)
    if not states:
        return ""
    figures = [figures_of(name, found) for name, found in grouped(states).items()]
    lines = comparison_lines(figures)
    for state in reversed(states):
        lines += ["", *search_lines(state, state.last_at)]
    return "\n".join(lines)


def _every_state(harness: Harness) -> list[SearchState]:
    from ....tools.agents.records.ledger import searches

    ledgers = reversed(searches(harness.archive.repository))
    return [_state(harness, ledger.ref.rpartition("/")[2]) for ledger in ledgers]


def _compare(harness: Harness, arguments: argparse.Namespace) -> str:
    from ....tools.agents.comparison.compared import CONFIGURATION, figures_of, grouped
    from ....tools.agents.comparison.course_plot import draw_courses
    from ....tools.agents.comparison.tables import comparison_data, comparison_lines
    from ....tools.errors import RequestError

    by = _traits(arguments.by) if arguments.by else CONFIGURATION
    if arguments.searches:
        groups = _named(harness, arguments.searches, by)
    else:
        groups = grouped(_every_state(harness), by)
    if not groups:
        raise RequestError(
            "There is no search to compare", remedy="`kernel-harness optimize` runs some."
        )
    figures = [figures_of(name, states) for name, states in groups.items()]
    if arguments.picture is not None:
        draw_courses(groups, arguments.picture)
    if arguments.json:
        return json.dumps(comparison_data(figures))
    drawn = [f"Drawn: {arguments.picture}"] if arguments.picture is not None else []
    return "\n".join([*comparison_lines(figures), *drawn])


def _traits(text: str) -> tuple[Trait, ...]:
    """What groups are to differ in.

    Raises:
        RequestError: for a word that names nothing that searches may differ in.
    """
    from ....tools.agents.comparison.compared import Trait
    from ....tools.errors import unknown_name

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in list(Trait):
            raise unknown_name("trait of searches", name, list(Trait))
    return tuple(Trait(name) for name in names)


def _named(harness: Harness, words: list[str], by: Sequence[Trait]) -> dict[str, list[SearchState]]:
    from ....tools.agents.comparison.compared import grouped

    groups: dict[str, list[SearchState]] = {}
    named = [word for word in words if "=" in word and not Path(word).is_dir()]
    plain = [state for word in words if word not in named for state in _states(harness, word)]
    for name, states in grouped(plain, by).items():
        groups.setdefault(name, []).extend(states)
    for word in named:
        name, _, listed = word.partition("=")
        for one in filter(None, listed.split(",")):
            groups.setdefault(name, []).extend(_states(harness, one))
    return groups


def _states(harness: Harness, word: str) -> list[SearchState]:
    """The search of an id, or every search of another data folder.

    Raises:
        RequestError: when there is none.
    """
    from ....tools.agents.records.ledger import searches
    from ....tools.agents.records.state import state_of
    from ....tools.archive.git.repository import Repository
    from ....tools.errors import RequestError

    folder = Path(word).expanduser()
    if os.sep not in word and not folder.is_dir():
        return [_state(harness, word)]
    repository = Repository(folder / "archive" / "repository.git")
    try:
        found = [state_of(ledger.events()) for ledger in reversed(searches(repository))]
    finally:
        repository.close()
    if not found:
        raise RequestError(
            "There is no search in this data folder",
            where=word,
            remedy="Name the folder that was given as --data-dir, or an id.",
        )
    return [state for state in found if state is not None]


def _state(harness: Harness, name: str) -> SearchState:
    from ....tools.agents.records.ledger import search_named
    from ....tools.agents.records.state import state_of

    return state_of(search_named(harness.archive.repository, name).events())


def _lessons(harness: Harness, arguments: argparse.Namespace) -> str:
    from ....tools.agents.lessons.draft import lesson_draft

    operator = harness.dataset.operator(arguments.operator)
    text = lesson_draft(harness.archive, operator.name)
    if arguments.out is None:
        return text
    arguments.out.write_text(text, encoding="utf-8")
    return f"Wrote {arguments.out}. Check each line, then move what holds into a skill page."
