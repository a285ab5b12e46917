"""What commands share that open the Harness, ask one question and print the answer in colour."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from ...tools.harness import Harness
    from ...tools.settings import Settings

SettingsOptions = Callable[[argparse.ArgumentParser], None]
SettingsOf = Callable[[argparse.Namespace], "Settings"]
Act = Callable[["Harness", argparse.Namespace], Any]
T = TypeVar("T")
Progress = Callable[[float, float, str], Awaitable[None]]


@dataclass(frozen=True)
class Told:
    """An answer that ends with a status of its own."""

    answer: Any
    status: int


class Adds(Protocol):
    """Adds a command: its name, what it does in words, and what does it."""

    def __call__(self, name: str, words: str, act: Act) -> argparse.ArgumentParser:
        """The command's parser, for its arguments."""
        ...


def adder(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> Adds:
    """What adds commands to a parser.

    Args:
        commands: what `add_subparsers` gave.
        settings_options: adds the options that choose settings.
        settings_of: makes the settings of parsed arguments.
    """

    def command(name: str, words: str, act: Act) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=words, description=words)
        settings_options(parser)
        parser.set_defaults(run=lambda arguments: _run(act, settings_of(arguments), arguments))
        return parser

    return command


def _run(act: Act, settings: Settings, arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from ...tools.harness import Harness

    harness = Harness.open(settings)
    try:
        told = act(harness, arguments)
    finally:
        harness.archive.close()
    if not isinstance(told, Told):
        told = Told(told, 0)
    Console(highlight=False, soft_wrap=True).print(told.answer)
    return told.status


def awaited(harness: Harness, work: Callable[[Progress], Awaitable[T]]) -> T:
    """Runs work that starts processes: they end with it, and on a signal.

    Args:
        harness: whose processes.
        work: is given what shows its progress on stderr.
    """
    import anyio
    from rich.console import Console

    from ..lifecycle import reaping

    console = Console(stderr=True, highlight=False)

    outcome: list[T] = []
    failure: list[Exception] = []

    async def whole() -> None:
        with console.status("starting") as status:

            async def show(done: float, total: float, message: str) -> None:
                status.update(message)

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
