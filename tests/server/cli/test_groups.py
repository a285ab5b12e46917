"""The help lists every command once, with what it does."""

from __future__ import annotations

import argparse
import importlib

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.server.cli.groups import NAMES, TOOL_HELP, CommandParsers, listing


def test_every_command_is_in_one_group_with_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(TOOL_HELP) == set(cli.TOOL_COMMANDS)
    with pytest.raises(SystemExit, match="0"):
        cli.run(["--help"])
    said = capsys.readouterr().out
    for title in ("Set up", "Benchmarks", "Look", "Try", "Remember", "Carry"):
        assert f"\n{title}:\n" in said
    for name in NAMES:
        assert f"\n  {name} " in said, name
    assert max(map(len, said.splitlines())) < 80


def test_every_command_that_there_is_can_be_found_in_the_help() -> None:
    added = CommandParsers(_Parsers())
    for name in cli.COMMAND_MODULES:
        module = importlib.import_module(f"kernel_harness.server.cli.{name}")
        module.add_commands(added, lambda parser, taken=(): None, lambda arguments, taken=(): None)
    assert {*added.helps, *TOOL_HELP, "serve"} == set(NAMES)
    assert "Carry:" in listing({**dict.fromkeys(NAMES, "does"), **added.helps})


class _Parsers:
    def add_parser(self, name: str, **options: object) -> object:
        return argparse.ArgumentParser(name)


def test_a_command_that_is_none_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["evaluatee"]) == cli.EXIT_ERROR
    said = capsys.readouterr().err
    assert "evaluate" in said and "--help" in said


@pytest.mark.parametrize("words", [["completion", "bas"], ["batch", "pac"], ["report", "bst"]])
def test_a_misspelt_choice_names_the_command_and_all_there_are(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.run(words)
    said = capsys.readouterr().err
    assert f"kernel-harness {words[0]}: error: " in said and "choose from" in said
    assert "COMMAND ..." not in said


def test_a_bare_call_shows_the_groups_and_a_version_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All sixty names were listed in an error of arguments that are required."""
    assert cli.run([]) == cli.EXIT_ERROR
    assert "\nSet up:\n" in capsys.readouterr().out
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kernel-harness ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tidy", "--days", "x"], "kernel-harness tidy does not take '--days x'"),
        (["best", "one", "two"], "kernel-harness best does not take 'two'"),
    ],
)
def test_what_a_command_does_not_take_is_said_of_that_command(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(words) == cli.EXIT_ERROR
    assert capsys.readouterr().err.startswith(said)
