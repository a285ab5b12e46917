"""Registers the server with Claude Code and Codex by their own `mcp add` and `mcp remove`.

A client's configuration is read, to see what is registered, and never written. Where the client is
not on the path, or has no command for the scope, the entry to paste is given instead. As of Claude
Code 2.1 and Codex 0.171.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...tools.errors import InfrastructureError, RequestError

NAME = "kernel-harness"
CALL_SECONDS = 1800
START_SECONDS = 60
PASSED_ON = (
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "FIB_DATASET_PATH",
    "KERNEL_HARNESS_DATASET",
    "KERNEL_HARNESS_DATA_DIR",
    "KERNEL_HARNESS_DEVICE",
    "KERNEL_HARNESS_EFFORT",
    "KERNEL_HARNESS_MODEL",
    "KERNEL_HARNESS_SESSION",
    "LD_LIBRARY_PATH",
)
"""Environment variables for Codex to pass to the server: without a list it passes hardly any."""
COMMAND_TIMEOUT_S = 60

Client = Literal["claude", "codex"]
Scope = Literal["project", "user"]


@dataclass(frozen=True)
class Target:
    """Where one client keeps its configuration, skills and sub-agents, for one scope."""

    client: Client
    scope: Scope
    project: Path
    config: Path
    skills: Path
    agents: Path | None = None

    @property
    def table(self) -> str:
        """The key of the configuration under which servers stand."""
        return "mcpServers" if self.client == "claude" else "mcp_servers"


def target(
    client: Client, scope: Scope, project: Path, home: Path, client_home: Path | None = None
) -> Target:
    """Returns the paths of a client.

    Args:
        client: 'claude' or 'codex'.
        scope: 'project' for everyone who works in `project`; 'user' for this user everywhere.
        client_home: the client's own folder, where CLAUDE_CONFIG_DIR or CODEX_HOME names one.
    """
    if client == "claude":
        folder = project / ".claude" if scope == "project" else client_home or home / ".claude"
        config = project / ".mcp.json" if scope == "project" else home / ".claude.json"
        if scope == "user" and client_home:
            config = client_home / ".claude.json"
        return Target(client, scope, project, config, folder / "skills", folder / "agents")
    codex = project / ".codex" if scope == "project" else client_home or home / ".codex"
    agents = (project if scope == "project" else home) / ".agents"
    return Target(client, scope, project, codex / "config.toml", agents / "skills")


def server_command(arguments: Sequence[str] = ()) -> list[str]:
    """Returns the command line that starts this installation's server.

    By its name alone only where a client finds it, too: the folder of a virtual environment is on
    the path of the shells in which that is activated, and of no client that is started elsewhere.

    Args:
        arguments: settings to pass on, e.g. ['--device', 'cpu'].
    """
    script = Path(sys.executable).with_name(NAME)
    on_path = shutil.which(NAME)
    ours = on_path and script.exists() and os.path.samefile(on_path, script)
    if on_path and ours and not _is_activated(Path(on_path).parent, script.parent):
        command = [NAME]
    elif script.exists():
        command = [str(script)]
    else:
        command = [sys.executable, "-P", "-m", "kernel_harness.server"]
    return [*command, "serve", *arguments]


def _is_activated(found: Path, programs: Path) -> bool:
    """Whether a program was found by way of an activated environment, and by no link to it."""
    return sys.prefix != sys.base_prefix and found.resolve() == programs.resolve()


def entry(client: Client, command: Sequence[str]) -> dict[str, Any]:
    """Returns the server's entry for a client's configuration, with time for long GPU work."""
    plain = {"command": command[0], "args": list(command[1:])}
    if client == "claude":
        return {"type": "stdio", **plain, "timeout": CALL_SECONDS * 1000}
    return {**plain, **codex_extras()}


def codex_extras() -> dict[str, Any]:
    """Returns the part of a Codex entry that `codex mcp add` has no option for."""
    return {
        "env_vars": list(PASSED_ON),
        "startup_timeout_sec": START_SECONDS,
        "tool_timeout_sec": CALL_SECONDS,
    }


def registered_entry(where: Target) -> dict[str, Any] | None:
    """Reads the server's entry from a client's configuration; None when there is none.

    Raises:
        RequestError: when the configuration cannot be read.
    """
    try:
        text = where.config.read_text(encoding="utf-8") if where.config.is_file() else ""
        read = json.loads if where.client == "claude" else tomllib.loads
        value: Any = read(text) if text.strip() else {}
    except (OSError, ValueError) as error:
        raise RequestError(
            f"The configuration of {where.client} cannot be read: {error}",
            where=str(where.config),
            remedy="Correct it by hand first; nothing was changed.",
        ) from error
    for key in (where.table, NAME):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


def is_registered(where: Target, command: Sequence[str]) -> bool:
    """Whether the client starts the server by this command; other keys of its entry may differ."""
    present = registered_entry(where) or {}
    return [present.get("command"), *present.get("args", [])] == list(command)


def has_command(where: Target) -> bool:
    """Whether the client can register a server: it is on the path and has a command for the scope.

    Codex has one for the user's configuration only.
    """
    return shutil.which(where.client) is not None and not _is_codex_project(where)


def register_commands(where: Target, command: Sequence[str]) -> list[list[str]]:
    """Returns the client's commands that register the server; none when it is registered.

    Claude Code refuses a name that is taken, so an entry with another command is removed first.
    """
    if is_registered(where, command):
        return []
    if where.client == "codex":
        return [["codex", "mcp", "add", NAME, "--", *command]]
    stale = unregister_commands(where)
    added = json.dumps(entry("claude", command))
    return [*stale, ["claude", "mcp", "add-json", "--scope", where.scope, NAME, added]]


def unregister_commands(where: Target) -> list[list[str]]:
    """Returns the client's command that removes the server; none when it is not registered."""
    if registered_entry(where) is None:
        return []
    if where.client == "codex":
        return [["codex", "mcp", "remove", NAME]]
    return [["claude", "mcp", "remove", "--scope", where.scope, NAME]]


def run(where: Target, commands: Sequence[Sequence[str]]) -> None:
    """Runs a client's commands in the project's folder.

    Raises:
        InfrastructureError: when one fails; those after it are not run.
    """
    for command in commands:
        try:
            ended = subprocess.run(
                command,
                cwd=where.project,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refused(command, str(error)) from error
        if ended.returncode != 0:
            raise _refused(command, ended.stderr or ended.stdout)


def by_hand(where: Target, command: Sequence[str]) -> str:
    """Returns what must be done by hand to register the server, with the entry to paste."""
    reason = (
        f"{where.client} has no command that registers a server for one project"
        if _is_codex_project(where)
        else f"{where.client} is not on the path"
    )
    registered = entry(where.client, command)
    if where.client == "claude":
        text = json.dumps({where.table: {NAME: registered}}, indent=2)
    else:
        text = f"[{where.table}.{NAME}]\n{_toml(registered)}"
    return f"{reason}. Add this to {where.config}:\n\n{text}\n"


def missing_lines(where: Target) -> str:
    """Returns the TOML lines that a Codex entry lacks for time-outs and environment, or ''."""
    if where.client == "claude":
        return ""
    present = registered_entry(where) or {}
    return _toml({name: value for name, value in codex_extras().items() if name not in present})


def _toml(values: dict[str, Any]) -> str:
    """Formats strings, whole numbers and lists of strings, which TOML writes as JSON does."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())


def _is_codex_project(where: Target) -> bool:
    return where.client == "codex" and where.scope == "project"


def _refused(command: Sequence[str], output: str) -> InfrastructureError:
    lines = output.split("Stack backtrace")[0].strip().splitlines()[-5:]
    said = " ".join(line.strip() for line in lines) or "it gave no reason"
    return InfrastructureError(
        f"{command[0]} refused to change its configuration: {said}",
        where=shlex.join(command),
        remedy="Run that command by hand to see more.",
    )
