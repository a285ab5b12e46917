"""Shared parts of commands that open the Harness, ask it once and print the answer in colour.

A terminal breaks a long line anywhere, an id too; so lines are broken between words before. What
goes to a file or another program is left as it is: there a line is a line.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

    from ...tools.harness import Harness
    from ...tools.progress import OnProgress
    from ...tools.settings import Settings

SettingsOptions = Callable[..., None]
"""Adds the settings to a parser, those aside whose names it is given as taken."""
Act = Callable[["Harness", argparse.Namespace], Any]
T = TypeVar("T")
_GAP = re.compile(r"\S {2,}(?=\S)")
INDENT = 2
NARROWEST = 40


@dataclass(frozen=True)
class CommandResult:
    """An answer with the exit status of its command."""

    answer: Any
    exit_status: int


class SettingsOf(Protocol):
    """The settings that arguments say, of which it is given the taken names again."""

    def __call__(self, arguments: argparse.Namespace, taken: Collection[str] = ()) -> Settings:
        """Returns the settings."""
        ...


class AddCommand(Protocol):
    """Adds a command by its name, help text and function."""

    def __call__(
        self, name: str, help_text: str, act: Act, taken: Collection[str] = ()
    ) -> argparse.ArgumentParser:
        """Returns the command's parser, for its arguments, of which some are named as settings."""
        ...


def command_factory(
    commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf
) -> AddCommand:
    """Returns a function that adds commands to a parser."""

    def command(
        name: str, help_text: str, act: Act, taken: Collection[str] = ()
    ) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=help_text, description=help_text)
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        settings_options(parser, taken)
        parser.set_defaults(
            run=lambda arguments: _run(act, settings_of(arguments, taken), arguments)
        )
        return parser

    return command


def _run(act: Act, settings: Settings, arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.text import Text

    from ...tools.harness import Harness
    from ...tools.text import printable

    harness = Harness.open(settings)
    try:
        result = act(harness, arguments)
    finally:
        harness.archive.close()
    if not isinstance(result, CommandResult):
        result = CommandResult(result, 0)
    if arguments.json:
        _print_json(result)
        return result.exit_status
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    answer = result.answer
    if isinstance(answer, str):
        console.file.write(f"{fitted_to(console.file, printable(answer))}\n")
    elif isinstance(answer, Text) and not console.is_terminal:
        # Written as it is: rich would turn tabs into blanks.
        console.file.write(f"{printable(answer.plain)}\n")
    else:
        console.print(answer)
    return result.exit_status


def _print_json(result: CommandResult) -> None:
    """Prints an answer as JSON: itself, where it is JSON already, else its parts."""
    import json

    answer = result.answer
    try:
        data = json.loads(answer) if isinstance(answer, str) else None
    except ValueError:
        data = None
    if not isinstance(data, dict | list):
        data = {"exit_status": result.exit_status, "answer": answer_data(answer)}
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def answer_data(answer: Any) -> Any:
    """An answer as plain data: the lines of a text, the rows of a table, the parts of a group."""
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    from ...tools.text import printable

    if isinstance(answer, str | Text):
        return [printable(line) for line in str(answer).splitlines()]
    if isinstance(answer, Group):
        return [answer_data(part) for part in answer.renderables]
    if isinstance(answer, Table):
        names = [str(column.header) for column in answer.columns]
        cells = zip(*(column.cells for column in answer.columns), strict=True)
        return [dict(zip(names, map(_cell, row), strict=True)) for row in cells]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(answer)
    return [line.rstrip() for line in console.export_text().splitlines()]


def _cell(value: Any) -> str:
    from ...tools.text import printable

    return printable(str(value))


def run_async(
    harness: Harness,
    work: Callable[[OnProgress], Awaitable[T]],
    stop: asyncio.Event | None = None,
) -> T:
    """Runs work that starts processes; they are killed at its end and on a signal.

    Args:
        harness: the owner of the processes; closed at the end.
        work: takes a callback that shows progress on stderr.
        stop: set by the first signal, for work that has something to write before it ends.
    """
    import anyio
    from rich.console import Console
    from rich.text import Text

    from ..lifecycle import reaping

    console = Console(stderr=True, highlight=False)

    outcome: list[T] = []
    failure: list[Exception] = []

    async def whole() -> None:
        with console.status("starting") as status:

            async def show(done: float, total: float, message: str) -> None:
                status.update(Text(message))

            async with reaping(harness.kill_children, stop):
                try:
                    outcome.append(await work(show))
                except Exception as error:  # raised below: the task group would wrap it
                    failure.append(error)
                await harness.aclose()

    anyio.run(whole)
    if failure:
        raise failure[0]
    return outcome[0]


def write_found(found: T, words: Callable[[T], str], *, as_json: bool) -> None:
    """Writes what a command without a Harness found: its parts as JSON, or in words."""
    from pydantic import TypeAdapter

    if as_json:
        said = TypeAdapter(type(found)).dump_json(found, indent=1).decode()
    else:
        said = fitted_to(sys.stdout, words(found))
    sys.stdout.write(said + "\n")


def fitted_to(stream: IO[str], text: str) -> str:
    """The text as the stream shows it best: wrapped where that is a terminal."""
    if not stream.isatty():
        return text
    return wrapped(text, shutil.get_terminal_size().columns)


def wrapped(text: str, width: int) -> str:
    """The text with every line that is longer than the width broken between words.

    What is broken off hangs below the last column of a row, or two blanks in. No word is broken.
    """
    width = max(width, NARROWEST)
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    columns = [match.end() for match in _GAP.finditer(line)]
    hanging = columns[-1] if columns and columns[-1] <= width // 2 else INDENT
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
