"""Every command can answer with JSON, and a shell can be taught all of them."""

from __future__ import annotations

import json

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from kernel_harness.server.cli.commands import answer_data
from kernel_harness.server.cli.groups import NAMES
from kernel_harness.server.cli.main import build_parser, run

WITHOUT = {
    "serve": "it speaks MCP",
    "completion": "it prints a script",
    "batch": "its steps do",
    "cluster": "its step does",
    "collect": "it runs a program, whose output is its own",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_takes_json(name, capsys):
    with pytest.raises(SystemExit):
        run([name, "--help"])
    assert ("--json" in capsys.readouterr().out) is (name not in WITHOUT)


@pytest.mark.parametrize(
    "words", [("batch", "pack"), ("batch", "run"), ("batch", "merge"), ("cluster", "status")]
)
def test_every_step_of_a_command_takes_json(words, capsys):
    with pytest.raises(SystemExit):
        run([*words, "--help"])
    assert "--json" in capsys.readouterr().out


def test_tables_texts_and_groups_are_data():
    table = Table()
    table.add_column("name")
    table.add_column("µs")
    table.add_row("one", Text("1.5"))
    assert answer_data(Group(Text("Best:\nof all"), table)) == [
        ["Best:", "of all"],
        [{"name": "one", "µs": "1.5"}],
    ]
    assert answer_data("a\nb\x1b[0m") == ["a", "b"]


@pytest.mark.parametrize("command", [["best"], ["log", "gdn_decode"], ["plans"], ["tidy"]])
def test_a_command_of_the_archive_answers_with_one_object(command, tmp_path, capsys):
    status = run([*command, "--json", "--data-dir", str(tmp_path), "--device", "cpu"])
    found = json.loads(capsys.readouterr().out)
    assert found["exit_status"] == status and "answer" in found


def test_what_doctor_says_is_one_object(tmp_path, capsys):
    status = run(["doctor", "--json", "--data-dir", str(tmp_path), "--directory", str(tmp_path)])
    found = json.loads(capsys.readouterr().out)
    assert found["exit_status"] == status and len(found["answer"]) > 3


@pytest.mark.parametrize(
    ("words", "choices"), [(["evaluate", "--scope"], ("smoke", "full")), (["measure"], ("copy",))]
)
def test_a_shell_completes_the_words_that_an_argument_takes(words, choices, capsys):
    with pytest.raises(SystemExit):
        build_parser(whole=True).parse_args([*words, "nothing"])
    said = capsys.readouterr().err
    assert "choose from" in said and all(choice in said for choice in choices)


def test_help_names_the_words_that_an_option_takes(capsys):
    with pytest.raises(SystemExit):
        run(["evaluate", "--help"])
    assert "{static,smoke,sample,full,official}" in capsys.readouterr().out


def test_a_shell_completes_commands_and_the_options_of_tools(capsys):
    pytest.importorskip("shtab", reason="shtab is not installed")
    assert run(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "evaluate" in script and "--compare-to" in script and "rebuild-index" in script
