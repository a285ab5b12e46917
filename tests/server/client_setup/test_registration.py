"""Registering the server through the clients' own commands, which alone write their files."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel_harness.server.client_setup import registration
from kernel_harness.tools.errors import InfrastructureError, RequestError

COMMAND = ["/opt/kh/bin/kernel-harness", "serve"]
PLACES = [("claude", "project"), ("claude", "user"), ("codex", "project"), ("codex", "user")]

Place = Callable[[registration.Client, registration.Scope], registration.Target]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Makes the target of a client in a home and a project of the test's own."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("CODEX_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return lambda client, scope: registration.target(
        client, scope, tmp_path / "project", tmp_path / "home"
    )


@pytest.fixture
def said_to_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts a claude and a codex on the path that record their arguments and do nothing."""
    folder, log = tmp_path / "bin", tmp_path / "said"
    folder.mkdir()
    for client in ("claude", "codex"):
        (folder / client).write_text(
            f'#!/bin/sh\nfor word in "$(basename "$0")" "$@"; do echo "$word"; done >> {log}\n'
            f"pwd >> {log}\n"
        )
        (folder / client).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return lambda: log.read_text().splitlines()


def write_entry(where: registration.Target, command: list[str]) -> None:
    where.config.parent.mkdir(parents=True, exist_ok=True)
    wanted = registration.entry(where.client, command)
    if where.client == "claude":
        where.config.write_text(json.dumps({"mcpServers": {"kernel-harness": wanted}}))
    else:
        lines = [f"{name} = {json.dumps(value)}" for name, value in wanted.items()]
        where.config.write_text("[mcp_servers.kernel-harness]\n" + "\n".join(lines))


def test_claude_is_told_the_whole_entry_with_its_timeout(
    place: Place, said_to_clients: Callable[[], list[str]]
) -> None:
    where = place("claude", "user")
    registration.run(where, registration.register_commands(where, COMMAND))
    *words, added, folder = said_to_clients()
    assert words == ["claude", "mcp", "add-json", "--scope", "user", "kernel-harness"]
    assert json.loads(added) == {
        "type": "stdio",
        "command": COMMAND[0],
        "args": ["serve"],
        "timeout": 1_800_000,
    }
    assert folder == str(where.project)
    assert not where.config.exists()


def test_codex_is_told_the_command_and_the_rest_is_shown(
    place: Place, said_to_clients: Callable[[], list[str]]
) -> None:
    where = place("codex", "user")
    registration.run(where, registration.register_commands(where, COMMAND))
    assert said_to_clients()[:-1] == ["codex", "mcp", "add", "kernel-harness", "--", *COMMAND]
    lines = tomllib.loads(registration.missing_lines(where))
    assert lines["tool_timeout_sec"] == 1800 and "CUDA_VISIBLE_DEVICES" in lines["env_vars"]
    write_entry(where, COMMAND)
    assert registration.missing_lines(where) == ""


@pytest.mark.parametrize(("client", "scope"), PLACES)
def test_what_is_registered_is_not_registered_again(
    place: Place, client: registration.Client, scope: registration.Scope
) -> None:
    where = place(client, scope)
    assert registration.register_commands(where, COMMAND)
    write_entry(where, COMMAND)
    assert registration.register_commands(where, COMMAND) == []


def test_claude_which_refuses_a_name_twice_is_asked_to_remove_it_first(place: Place) -> None:
    where = place("claude", "project")
    write_entry(where, ["/old/kernel-harness", "serve"])
    first, second = registration.register_commands(where, COMMAND)
    assert first == ["claude", "mcp", "remove", "--scope", "project", "kernel-harness"]
    assert second[2] == "add-json"


def test_removal_is_the_clients_own_and_only_of_what_is_there(place: Place) -> None:
    where = place("codex", "user")
    assert registration.unregister_commands(where) == []
    write_entry(where, COMMAND)
    assert registration.unregister_commands(where) == [["codex", "mcp", "remove", "kernel-harness"]]


@pytest.mark.parametrize(("client", "scope"), PLACES)
def test_without_a_client_the_entry_to_paste_is_given_with_its_file(
    place: Place,
    client: registration.Client,
    scope: registration.Scope,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    where = place(client, scope)
    assert not registration.has_command(where)
    words, text = registration.by_hand(where, COMMAND).split("\n\n", 1)
    assert str(where.config) in words
    where.config.parent.mkdir(parents=True, exist_ok=True)
    where.config.write_text(text)
    assert registration.registered_entry(where) == registration.entry(client, COMMAND)
    assert registration.missing_lines(where) == ""


def test_codex_registers_for_the_user_only(
    place: Place, said_to_clients: Callable[[], list[str]]
) -> None:
    assert registration.has_command(place("codex", "user"))
    assert not registration.has_command(place("codex", "project"))
    assert registration.has_command(place("claude", "project"))


def test_a_client_that_refuses_is_quoted(
    place: Place, said_to_clients: Callable[[], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "bin" / "codex").write_text("#!/bin/sh\necho 'Error: read-only' >&2\nexit 3\n")
    where = place("codex", "user")
    with pytest.raises(InfrastructureError, match="read-only") as refused:
        registration.run(where, registration.register_commands(where, COMMAND))
    assert refused.value.where == shlex.join(
        ["codex", "mcp", "add", "kernel-harness", "--", *COMMAND]
    )


@pytest.mark.parametrize(("client", "text"), [("claude", "{broken"), ("codex", "= broken")])
def test_a_configuration_that_cannot_be_read_is_named(
    place: Place, client: registration.Client, text: str
) -> None:
    where = place(client, "user")
    where.config.parent.mkdir(parents=True, exist_ok=True)
    where.config.write_text(text)
    with pytest.raises(RequestError, match="nothing was changed") as refused:
        registration.register_commands(where, COMMAND)
    assert refused.value.where == str(where.config)


def test_the_clients_own_variables_move_their_folders(tmp_path: Path) -> None:
    own = tmp_path / "own"
    claude = registration.target("claude", "user", tmp_path, tmp_path / "home", own)
    assert claude.config == own / ".claude.json" and claude.skills == own / "skills"
    codex = registration.target("codex", "user", tmp_path, tmp_path / "home", own)
    assert codex.config == own / "config.toml"
    assert registration.target("claude", "project", tmp_path, tmp_path, own).config == (
        tmp_path / ".mcp.json"
    )


def test_the_command_starts_this_installation() -> None:
    words = registration.server_command(["--device", "cpu"])
    assert words[-3:] == ["serve", "--device", "cpu"]


@pytest.mark.parametrize(("client", "scope"), [p for p in PLACES if p != ("codex", "project")])
def test_the_real_client_registers_and_removes(
    place: Place, client: registration.Client, scope: registration.Scope
) -> None:
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    where = place(client, scope)
    registration.run(where, registration.register_commands(where, COMMAND))
    assert registration.is_registered(where, COMMAND)
    if client == "codex":
        known = subprocess.run(
            ["codex", "mcp", "get", "kernel-harness", "--json"], capture_output=True, check=True
        )
        assert json.loads(known.stdout)["transport"]["command"] == COMMAND[0]
    registration.run(where, registration.register_commands(where, ["/another", "serve"]))
    assert registration.is_registered(where, ["/another", "serve"])
    registration.run(where, registration.unregister_commands(where))
    assert registration.registered_entry(where) is None


def test_a_client_is_told_a_name_only_where_it_finds_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed from an activated environment, a server was registered that other shells lack."""
    programs, links = tmp_path / "venv" / "bin", tmp_path / "links"
    for folder in (programs, links):
        folder.mkdir(parents=True)
    script = programs / "kernel-harness"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (links / script.name).symlink_to(script)  # as pipx and uv do
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "base"))
    for folder, command in ((programs, str(script)), (links, "kernel-harness")):
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        assert registration.server_command() == [command, "serve"]
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)  # no virtual environment
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    assert registration.server_command() == ["kernel-harness", "serve"]
