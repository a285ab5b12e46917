"""The repository as one plugin for both clients, and what opening a clone gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from kernel_harness.server.client_setup.registration import CALL_SECONDS, PASSED_ON, START_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ".claude-plugin/plugin"
MOST_BYTES = 1 << 20
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def read(path: str) -> dict[str, Any]:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def test_every_manifest_speaks_of_this_version() -> None:
    (listed,) = read(".claude-plugin/marketplace.json")["plugins"]
    own = read(f"{PLUGIN}/.claude-plugin/plugin.json")
    for manifest in (own, read(".codex-plugin/plugin.json"), listed):
        assert manifest["version"] == VERSION
        assert manifest["name"] == "kernel-harness"


def test_every_file_that_a_manifest_names_is_there() -> None:
    (listed,) = read(".claude-plugin/marketplace.json")["plugins"]
    assert (ROOT / listed["source"]).samefile(ROOT / PLUGIN)
    manifest = read(".codex-plugin/plugin.json")
    for path in (manifest["mcpServers"], manifest["skills"]):
        assert (ROOT / str(path)).exists(), path


def test_what_a_client_copies_of_the_checkout_is_small_and_whole(tmp_path: Path) -> None:
    # Claude Code copies the folder that the marketplace names, and what its links lead to. It was
    # the whole checkout, with gigabytes of .venv.
    ignored = shutil.ignore_patterns("__pycache__")
    copied = shutil.copytree(ROOT / PLUGIN, tmp_path / "plugin", ignore=ignored)
    assert sum(path.stat().st_size for path in copied.rglob("*") if path.is_file()) < MOST_BYTES
    assert not any(path.is_symlink() for path in copied.rglob("*"))
    command = read(f"{PLUGIN}/.mcp.json")["mcpServers"]["kernel-harness"]["command"]
    assert os.access(command.replace("${CLAUDE_PLUGIN_ROOT}", str(copied)), os.X_OK)
    assert (copied / "skills" / "optimize-kernel" / "SKILL.md").is_file()
    # The places in which the client looks without being told: a manifest that named the four
    # files showed no agents.
    agents = sorted((copied / "agents").glob("*.md"))
    assert [path.stem for path in agents] == ["coder", "debugger", "planner", "verifier"]
    for path in agents:
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        told = yaml.safe_load(front)
        assert told["name"] and told["description"] and body.strip(), path
    assert set(read(f"{PLUGIN}/.claude-plugin/plugin.json")).isdisjoint(("agents", "mcpServers"))


def test_both_clients_give_long_calls_their_time_and_the_environment_they_need() -> None:
    for path in (".mcp.json", f"{PLUGIN}/.mcp.json"):
        assert read(path)["mcpServers"]["kernel-harness"]["timeout"] == CALL_SECONDS * 1000
    codex = read(".codex-plugin/mcp.json")["mcpServers"]["kernel-harness"]
    project = tomllib.loads((ROOT / ".codex/config.toml").read_text())["mcp_servers"]
    for entry in (codex, project["kernel-harness"]):
        assert entry["tool_timeout_sec"] == CALL_SECONDS
        assert entry["startup_timeout_sec"] == START_SECONDS
        assert tuple(entry["env_vars"]) == PASSED_ON


def test_a_clone_shows_its_skills_to_both_clients() -> None:
    for folder in (".claude/skills", ".agents/skills"):
        assert (ROOT / folder).is_symlink()
        assert (ROOT / folder / "optimize-kernel" / "SKILL.md").is_file()


def test_the_named_command_starts_the_server_or_says_how_to_install_it(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "serve"
    script.parent.mkdir()
    script.write_bytes((ROOT / "scripts" / "serve").read_bytes())
    script.chmod(0o755)
    environment = {"PATH": os.defpath}
    lost = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert lost.returncode == 127 and not lost.stdout
    assert "make install" in lost.stderr and "pipx install" in lost.stderr
    linked = tmp_path / "plugin" / "serve"
    linked.parent.mkdir()
    linked.symlink_to(script)
    # Each place is preferred to those before it.
    for folder in ("home/.local/bin", "path", ".venv/bin"):
        stand_in = tmp_path / folder / "kernel-harness"
        stand_in.parent.mkdir(parents=True)
        stand_in.write_text(f'#!/bin/sh\necho "{folder} $@"\n')
        stand_in.chmod(0o755)
        environment = {
            "PATH": f"{tmp_path / 'path'}{os.pathsep}{os.defpath}",
            "HOME": str(tmp_path / "home"),
        }
        found = subprocess.run(
            [script, "--device", "cpu"], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout == f"{folder} serve --device cpu\n"
    through = subprocess.run([linked], env=environment, capture_output=True, text=True, check=True)
    assert through.stdout == ".venv/bin serve\n", "a link leads to the checkout that it is of"


def test_every_expected_failure_of_the_suites_stands_under_a_reason() -> None:
    for path in (ROOT / "tests" / "server" / "conformance").glob("baseline-*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert yaml.safe_load(text)["server"]
        under_a_reason = False
        for line in text.splitlines()[3:]:
            under_a_reason |= line.startswith("  #")
            assert under_a_reason, f"{path.name}: {line}"


@pytest.mark.parametrize(("asked", "status"), [(["--if-possible"], 0), ([], 1)])
def test_without_npm_the_suites_are_skipped_by_name_where_that_is_allowed(
    asked: list[str], status: int, tmp_path: Path
) -> None:
    for name in ("bash", "dirname", "mktemp", "rm", "tail"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    told = subprocess.run(
        [str(tmp_path / "bash"), str(ROOT / "scripts" / "conformance.sh"), *asked],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.startswith("SKIPPED  MCP's own suites: npm is not installed")
    assert told.returncode == status


def test_ci_runs_the_suites_where_npm_answers() -> None:
    assert "scripts/conformance.sh --if-possible" in (ROOT / ".ci" / "run").read_text()
