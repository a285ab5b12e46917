"""The commands install, uninstall and doctor."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.tools.devices import environment


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
