"""The command line: every command does what it says, and says what went wrong."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.server.client_setup import doctor, registration
from kernel_harness.tools.devices import environment
from kernel_harness.tools.evaluation.record_store import RecordStore
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Evidence, Scope
from kernel_harness.tools.settings import Settings

from ..scripted import DEFINITION, passed


@pytest.fixture
def here(tmp_path: Path, kernels_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a data folder and a project of one's own."""
    for name in ("home", "data", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KERNEL_HARNESS_KERNELS_DIR", str(kernels_dir))
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def test_a_tools_command_prints_its_summary(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list"]) == 0
    assert DEFINITION in capsys.readouterr().out


def test_json_is_the_whole_result(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "rmsnorm", "--limit", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["workloads"]) == 2


def test_reading_a_report_prints_the_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"kernel-harness://definition/{DEFINITION}"
    assert cli.run(["read", uri, "--section", "reference"]) == 0
    printed = capsys.readouterr().out
    assert "def run(" in printed and "Characters 0 to" in printed


def test_a_refusal_goes_to_stderr_with_its_remedy(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sample", "rmsnrom"]) == 2
    printed = capsys.readouterr()
    assert not printed.out and DEFINITION in printed.err


def test_a_workspace_is_opened_where_the_settings_say(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["open", "rmsnorm", "--name", "w1"]) == 0
    assert (here / "data" / "workspaces" / "w1" / "candidate.toml").is_file()
    assert cli.run(["open", "rmsnorm", "--name", "w1"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_command_starts_no_judge_that_it_does_not_need(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Harness] = []

    async def warm(self: Harness) -> None:
        started.append(self)

    monkeypatch.setattr(Harness, "warm", warm)
    assert cli.run(["open", "rmsnorm", "--name", "first"]) == 0
    assert started == []


def test_every_tool_has_a_command(here: Path) -> None:
    from kernel_harness.server.app import tool_schemas

    assert {tool for tool, _ in cli.TOOL_COMMANDS.values()} == set(tool_schemas())


@pytest.mark.parametrize("command", [["log"], ["best"], ["log", "rmsnorm"]])
def test_an_empty_archive_is_shown_as_empty(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.run(command) == 0
    assert "yet" in capsys.readouterr().out


def test_a_report_is_written_where_asked_else_into_the_data_folder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report", "--out", "pages"]) == 0
    assert (here / "project" / "pages" / "index.html").is_file()
    assert cli.run(["report"]) == 0
    assert (here / "data" / "report" / "index.html").is_file()


def test_an_unknown_candidate_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", "4f2a9c01d3be"]) == 2
    assert "4f2a9c01d3be" in capsys.readouterr().err


def test_summaries_are_recomputed_from_the_samples(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields: dict[str, Any] = {
        "evaluation_id": "ev-20261120-221530-9f3a61c2",
        "definition": DEFINITION,
        "solution_name": "mine",
        "language": "python",
        "content_hash": "0" * 64,
        "workload_digest": "d",
        "scope": Scope.SAMPLE,
        "evidence": Evidence(started_at="2026-11-20T22:15:30+00:00"),
    }
    settings = Settings(data_dir=here / "data")
    RecordStore(settings.evaluations_dir).write(Evaluation(**fields, **passed({})))
    assert cli.run(["recompute", fields["evaluation_id"]]) == 0
    assert "follows from the raw samples" in capsys.readouterr().out


@pytest.fixture
def fake_claude(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A claude on the path that records its arguments; `mcp add-json` writes the project's file."""
    folder, log = here / "bin", here / "said"
    folder.mkdir()
    (folder / "claude").write_text(
        f"""#!/bin/sh
echo "$@" >> {log}
[ "$2" = add-json ] || exec rm .mcp.json
printf '{{"mcpServers": {{"%s": %s}}}}' "$5" "$6" > .mcp.json
"""
    )
    (folder / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def test_install_shows_its_command_runs_it_and_takes_it_back(
    here: Path, fake_claude: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["install", "claude", "--project", "--device", "cpu", "--dry-run"]) == 0
    (shown,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ")]
    assert not fake_claude.exists()
    assert not [path for path in (here / "project").rglob("*") if path.is_file()]
    assert cli.run(["install", "claude", "--project", "--device", "cpu"]) == 0
    entry = json.loads((here / "project" / ".mcp.json").read_text())["mcpServers"]
    assert entry["kernel-harness"] == json.loads(shlex.split(shown)[-1])
    assert entry["kernel-harness"]["args"] == ["serve", "--device", "cpu"]
    assert (here / "project/.claude/skills/optimize-kernel/SKILL.md").is_file()
    assert cli.run(["install", "claude", "--project", "--device", "cpu"]) == 0
    assert "Nothing to change" in capsys.readouterr().out
    assert cli.run(["uninstall", "claude", "--project"]) == 0
    assert not [path for path in (here / "project").rglob("*") if path.is_file()]
    said = fake_claude.read_text().splitlines()
    assert [line.split()[1] for line in said] == ["add-json", "remove"]


def test_install_without_the_client_gives_the_entry_and_copies_skills(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert cli.run(["install", "codex"]) == 0
    said = capsys.readouterr().out
    assert "[mcp_servers.kernel-harness]" in said and ".codex/config.toml" in said
    written = {path.relative_to(here).parts[:2] for path in here.rglob("*") if path.is_file()}
    assert written == {("home", ".agents"), ("data", "installations.json")}


def test_uninstalling_what_is_not_there_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["uninstall", "codex"]) == 2
    assert "Nothing was installed" in capsys.readouterr().err


def test_the_doctor_names_the_command_that_registers(
    here: Path, fake_claude: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["doctor"])
    assert "kernel-harness install claude" in capsys.readouterr().out
    cli.run(["install", "claude", "--project"])
    capsys.readouterr()
    cli.run(["doctor"])
    said = capsys.readouterr().out
    assert "kernel-harness install claude" not in said
    assert f"✓ claude knows the server: {here / 'project' / '.mcp.json'}" in said


def test_the_doctor_says_what_is_well_and_whether_to_go_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [absent("cupti-python"), absent("nvcc")]
    monkeypatch.setattr(environment.MachineTools, "listed", missing)
    assert cli.run(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("✓ Device cpu")
    assert "also wanted: cupti-python." in said and "! cupti-python" not in said
    assert "! nvcc was not found" in said
    assert said.splitlines()[-1].startswith("Ready.")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert cli.run(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("Not ready")


def absent(name: str) -> environment.Tool:
    """A tool that was not found."""
    return environment.Tool(name=name, found=False, costs="something", remedy="Install it.")


def test_the_doctor_sees_a_command_that_is_gone(tmp_path: Path) -> None:
    where = registration.target("claude", "project", tmp_path, tmp_path)
    where.config.write_text('{"mcpServers": {"kernel-harness": {"command": "/gone/kh"}}}')
    (problem, *others) = doctor.client_problems([doctor.client_state(where, ["tune"])])
    assert problem.blocks and "/gone/kh" in problem.what
    assert "tune" in others[0].what
    assert doctor.as_text([problem]).startswith("✗")


def test_http_off_loopback_without_a_token_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["serve", "--http", "0.0.0.0:8791"]) == 2
    assert "--token-file" in capsys.readouterr().err
    assert cli.run(["serve", "--http", "nonsense"]) == 2
