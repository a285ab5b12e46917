"""What is said to agents in calls of tools is said to people in commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kernel_harness.server.answers.evaluation import next_steps
from kernel_harness.server.cli import main as cli
from kernel_harness.server.cli.commands import in_commands

TOOLS = {tool: (command, places) for command, (tool, places) in cli.TOOL_COMMANDS.items()}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "Next: evaluate_kernel(workspace='gdn-1', scope='smoke').",
            "Next: kernel-harness evaluate gdn-1 --scope smoke.",
        ),
        (
            "archive_candidate(workspace=…, evaluation_id=…, hypothesis=…, lesson=…) keeps it.",
            "kernel-harness archive WORKSPACE --evaluation-id EVALUATION_ID "
            "--hypothesis HYPOTHESIS --lesson LESSON keeps it.",
        ),
        (
            "profile_ncu(workspace=…, workloads=['5e8d', 'a b']) says what limits it.",
            "kernel-harness profile WORKSPACE --workloads 5e8d --workloads 'a b' says what limits "
            "it.",
        ),
        (
            "read_report(uri=evaluation_uri, section='workloads') has all.",
            "kernel-harness read EVALUATION_URI --section workloads has all.",
        ),
        (
            "evaluate_kernel(workspace=…, scope='full', force=true) measures again.",
            "kernel-harness evaluate WORKSPACE --scope full --force measures again.",
        ),
        ("Use check_environment() now", "Use kernel-harness check now"),
        ("sample_shapes gives the few", "kernel-harness sample gives the few"),
        ("force=true judges them again", "--force judges them again"),
        ("search_archive(limit=5, cursor='o20')", "kernel-harness search --limit 5 --cursor o20"),
        (
            "evaluate_variants(workspace='w', variants={'tile': {'BLOCK': [8, 16]}})",
            """kernel-harness tune w --variants '{"tile": {"BLOCK": [8, 16]}}'""",
        ),
        ("sanitize the inputs, and inspect calls", "sanitize the inputs, and inspect calls"),
        ("sanitize(workspace='w') names it", "kernel-harness sanitize w names it"),
        (
            "a call never closed: get_context(role='plan'",
            "a call never closed: kernel-harness context plan",
        ),
        ("my_evaluate_kernels and evaluate_kernels", "my_evaluate_kernels and evaluate_kernels"),
    ],
)
def test_a_call_of_a_tool_becomes_its_command(said: str, meant: str) -> None:
    assert in_commands(said, TOOLS) == meant


def test_every_step_that_a_verdict_names_is_a_command_that_there_is() -> None:
    source = Path(next_steps.__file__).read_text("utf-8")
    calls = re.findall(rf"(?:{'|'.join(TOOLS)})\([^()]*\)", source)
    assert len(calls) >= 6
    for call in calls:
        words = shlex.split(in_commands(call, TOOLS))
        assert words[0] == "kernel-harness" and words[1] in cli.TOOL_COMMANDS, call
        known = set(re.findall(r"--[a-z-]+", cli._tool_parser(words[1]).format_help()))
        assert {word for word in words if word.startswith("--")} <= known, call


def test_an_error_names_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run(["show", "nope", "--data-dir", str(tmp_path)]) == cli.EXIT_ERROR
    assert "kernel-harness search lists candidates" in capsys.readouterr().err


def test_json_keeps_the_words_for_agents(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["list", "gdn_decode", "--data-dir", str(tmp_path)]) == 0
    assert "kernel-harness open" in capsys.readouterr().out
    assert cli.run(["list", "gdn_decode", "--json", "--data-dir", str(tmp_path)]) == 0
    assert "open_workspace" in capsys.readouterr().out
