"""Shared parts of commands that open the Harness, ask it once and print the answer in colour."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from ...tools.harness import Harness
    from ...tools.progress import OnProgress
    from ...tools.settings import Settings

SettingsOptions = Callable[[argparse.ArgumentParser], None]
SettingsOf = Callable[[argparse.Namespace], "Settings"]
Act = Callable[["Harness", argparse.Namespace], Any]
T = TypeVar("T")


@dataclass(frozen=True)
class CommandResult:
    """An answer with the exit status of its command."""

    answer: Any
    exit_status: int


class AddCommand(Protocol):
    """Adds a command by its name, help text and function."""

    def __call__(self, name: str, help_text: str, act: Act) -> argparse.ArgumentParser:
        """Returns the command's parser, for its arguments."""
        ...


def command_factory(
    commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf
) -> AddCommand:
    """Returns a function that adds commands to a parser."""

    def command(name: str, help_text: str, act: Act) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=help_text, description=help_text)
        settings_options(parser)
        parser.set_defaults(run=lambda arguments: _run(act, settings_of(arguments), arguments))
        return parser

    return command


def _run(act: Act, settings: Settings, arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from ...tools.harness import Harness

    harness = Harness.open(settings)
    try:
        result = act(harness, arguments)
    finally:
        harness.archive.close()
    if not isinstance(result, CommandResult):
        result = CommandResult(result, 0)
    Console(highlight=False, soft_wrap=True, markup=False, emoji=False).print(result.answer)
    return result.exit_status


def run_async(harness: Harness, work: Callable[[OnProgress], Awaitable[T]]) -> T:
    """Runs work that starts processes; they are killed at its end and on a signal.

    Args:
        harness: the owner of the processes; closed at the end.
        work: takes a callback that shows progress on stderr.
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

            async with reaping(harness.kill_children):
                try:
                    outcome.append(await work(show))
                except Exception as error:  # raised below: the task group would wrap it
                    failure.append(error)
                await harness.aclose()

    anyio.run(whole)
    if failure:
        raise failure[0]
    return outcome[0]
