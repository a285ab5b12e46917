"""Shared parts of commands that open the Harness, ask it once and print the answer in colour.

A terminal breaks a long line anywhere, an id too; so lines are broken between words before. What
goes to a file or another program is left as it is: there a line is a line.
"""

from __future__ import annotations

import argparse
import io
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Awaitable, Callable, Collection, Mapping
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


ToolCommands = Mapping[str, tuple[str, tuple[str, ...]]]
"""Of each tool its command, and the arguments that are given by position."""


def in_commands(text: str, tools: ToolCommands) -> str:
    """The text with calls of tools as the commands that make them.

    What is to be filled in stands in capitals: `workspace=…` is WORKSPACE.
    """
    words, at = [], 0
    for found in re.finditer(rf"\b({'|'.join(map(re.escape, tools))})\b(\(?)", text):
        name, begins = found.groups()
        if found.start() < at or (not begins and "_" not in name):  # a word like any other
            continue
        command, positional = tools[name]
        words.append(text[at : found.start()])
        at = found.end()
        given: list[tuple[str, str]] = []
        if begins:
            end = _closing(text, at)
            given = [_argument(part) for part in _parts(text[at:end])]
            at = end + 1
        places = [_value(argument, value) for argument, value in given if argument in positional]
        options = [_option(*one) for one in given if one[0] not in positional]
        words.append(" ".join(["kernel-harness", command, *places, *filter(None, options)]))
    said = "".join([*words, text[at:]])
    return _ALONE.sub(lambda found: _option(found[1], found[2]), said)


_ALONE = re.compile(r"\b(force|interpret|detail|cursor|section|start_from)=(true\b|'[^'\s]*')")
"""Arguments that are named without their call."""


def _closing(text: str, at: int) -> int:
    """Where the bracket is closed that was opened before a place; the end where it is not."""
    depth, quoted = 1, False
    for place in range(at, len(text)):
        quoted ^= text[place] == "'"
        depth += 0 if quoted else (text[place] in "([{") - (text[place] in ")]}")
        if not depth:
            return place
    return len(text)


def _parts(text: str) -> list[str]:
    """What stands between commas that are in no quotes and no brackets."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _argument(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value.strip()


def _option(name: str, value: str) -> str:
    """An option as a shell takes it; nothing for one that is off."""
    flag = "--" + name.replace("_", "-")
    if value.lower() in ("true", "false"):
        return flag if value.lower() == "true" else ""
    if value.startswith("[") and value.endswith("]"):
        return " ".join(f"{flag} {_value(name, part)}" for part in _parts(value[1:-1]))
    return f"{flag} {_value(name, value)}"


def _value(name: str, value: str) -> str:
    """A value as a shell takes it; the name in capitals for one that is to be filled in."""
    if value.startswith("'") and value.endswith("'") and len(value) > 1:
        inner = value[1:-1]
        return name.upper() if inner.strip("…-") in ("", "ev") else shlex.quote(inner)
    if value.startswith("["):
        return " ".join(_value(name, part) for part in _parts(value[1:-1]))
    if value.startswith("{"):
        return shlex.quote(value.replace("'", '"'))
    if re.fullmatch(r"[\d.]+", value):
        return value
    return (value if re.fullmatch(r"[a-z_]+", value) else name).upper()


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
