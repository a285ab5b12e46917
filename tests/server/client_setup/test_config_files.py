"""Putting the server into a client and taking it out again, byte for byte."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from kernel_harness.server.client_setup import config_files as install
from kernel_harness.server.resources.skills import SkillRegistry
from kernel_harness.tools.errors import RequestError

COMMAND = ["/opt/kh/bin/kernel-harness", "serve"]
CLAUDE = (
    '{\n    "numStartups": 3,\n    "mcpServers": {\n        "other": {"command": "o"}\n    }\n}\n'
)
CODEX = """\
# my settings
model = "m"  # the good one

[mcp_servers.other]
command = "o"

# the end
"""


@pytest.fixture
def shelf(tmp_path: Path) -> SkillRegistry:
    folder = tmp_path / "shipped" / "tune"
    (folder / "references").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: tune\ndescription: d\n---\nbody\n")
    (folder / "references" / "more.md").write_text("more\n")
    return SkillRegistry(folder.parent)


def place(tmp_path: Path, client: install.Client, scope: install.Scope) -> install.Target:
    return install.target(client, scope, tmp_path / "project", tmp_path / "home")


def put_in(where: install.Target, shelf: SkillRegistry, notes: install.Receipts) -> install.Plan:
    plan = install.plan_install(where, COMMAND, shelf, notes.get(where))
    install.apply(plan)
    notes.note(where, plan.receipt)
    return plan


def take_out(where: install.Target, notes: install.Receipts) -> install.Plan:
    plan = install.plan_uninstall(where, notes.get(where))
    install.apply(plan)
    notes.note(where, None)
    return plan


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


PLACES = [("claude", "project"), ("claude", "user"), ("codex", "project"), ("codex", "user")]


@pytest.mark.parametrize(("client", "scope"), PLACES)
@pytest.mark.parametrize("present", [True, False])
def test_installing_and_uninstalling_leaves_no_trace(
    tmp_path: Path,
    shelf: SkillRegistry,
    client: install.Client,
    scope: install.Scope,
    present: bool,
) -> None:
    where, notes = place(tmp_path, client, scope), install.Receipts(tmp_path / "notes.json")
    if present:
        where.config.parent.mkdir(parents=True)
        where.config.write_text(CLAUDE if client == "claude" else CODEX)
    before = everything(tmp_path / "project") | everything(tmp_path / "home")
    put_in(where, shelf, notes)
    assert (where.skills / "tune" / "references" / "more.md").read_text() == "more\n"
    take_out(where, notes)
    assert everything(tmp_path / "project") | everything(tmp_path / "home") == before


@pytest.mark.parametrize(("client", "scope"), PLACES)
def test_installing_twice_changes_nothing_the_second_time(
    tmp_path: Path, shelf: SkillRegistry, client: install.Client, scope: install.Scope
) -> None:
    where, notes = place(tmp_path, client, scope), install.Receipts(tmp_path / "notes.json")
    assert put_in(where, shelf, notes).changes
    assert not put_in(where, shelf, notes).changes
    take_out(where, notes)
    assert not where.config.exists()


def test_claude_gets_an_entry_with_time_for_long_calls(
    tmp_path: Path, shelf: SkillRegistry
) -> None:
    where = place(tmp_path, "claude", "project")
    put_in(where, shelf, install.Receipts(tmp_path / "notes.json"))
    entry = json.loads(where.config.read_text())["mcpServers"]["kernel-harness"]
    assert entry == {
        "type": "stdio",
        "command": COMMAND[0],
        "args": ["serve"],
        "timeout": 1_800_000,
    }
    assert where.agents is not None
    assert (
        (where.agents / "kernel-planner.md").read_text().startswith("---\nname: kernel-planner\n")
    )


def test_codex_keeps_its_comments_and_gets_its_environment(
    tmp_path: Path, shelf: SkillRegistry
) -> None:
    where = place(tmp_path, "codex", "user")
    where.config.parent.mkdir(parents=True)
    where.config.write_text(CODEX)
    put_in(where, shelf, install.Receipts(tmp_path / "notes.json"))
    text = where.config.read_text()
    entry = tomllib.loads(text)["mcp_servers"]["kernel-harness"]
    assert "CUDA_VISIBLE_DEVICES" in entry["env_vars"] and entry["tool_timeout_sec"] == 1800
    assert "# my settings" in text and "# the good one" in text
    assert tomllib.loads(text)["mcp_servers"]["other"] == {"command": "o"}


def test_an_upgrade_replaces_what_we_wrote_and_keeps_what_was_edited(
    tmp_path: Path, shelf: SkillRegistry
) -> None:
    where, notes = place(tmp_path, "claude", "user"), install.Receipts(tmp_path / "notes.json")
    put_in(where, shelf, notes)
    (where.skills / "tune" / "references" / "more.md").write_text("mine\n")
    source = shelf.skills()[0].folder
    (source / "SKILL.md").write_text("---\nname: tune\ndescription: new\n---\n")
    (source / "references" / "more.md").write_text("newer\n")
    plan = put_in(where, shelf, notes)
    assert "description: new" in (where.skills / "tune" / "SKILL.md").read_text()
    assert (where.skills / "tune" / "references" / "more.md").read_text() == "mine\n"
    assert any("more.md" in line for line in plan.kept)


def test_uninstalling_keeps_what_was_edited_since(tmp_path: Path, shelf: SkillRegistry) -> None:
    where, notes = place(tmp_path, "claude", "user"), install.Receipts(tmp_path / "notes.json")
    put_in(where, shelf, notes)
    (where.skills / "tune" / "SKILL.md").write_text("mine")
    text = where.config.read_text().replace("1800000", "1")
    where.config.write_text(text)
    plan = take_out(where, notes)
    assert where.config.read_text() == text
    assert (where.skills / "tune" / "SKILL.md").read_text() == "mine"
    assert len(plan.kept) == 2


def test_a_skill_of_the_same_name_by_others_is_left_alone(
    tmp_path: Path, shelf: SkillRegistry
) -> None:
    where, notes = place(tmp_path, "codex", "project"), install.Receipts(tmp_path / "notes.json")
    theirs = where.skills / "tune" / "SKILL.md"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    put_in(where, shelf, notes)
    take_out(where, notes)
    assert theirs.read_text() == "theirs"


def test_a_dry_run_shows_the_change(tmp_path: Path, shelf: SkillRegistry) -> None:
    where = place(tmp_path, "codex", "user")
    shown = install.as_diff(install.plan_install(where, COMMAND, shelf, None))
    assert "+[mcp_servers.kernel-harness]" in shown and "new file" in shown
    assert not where.config.exists()


def test_a_configuration_that_cannot_be_read_is_left_alone(
    tmp_path: Path, shelf: SkillRegistry
) -> None:
    broken: dict[install.Client, str] = {"claude": "{broken", "codex": "= broken"}
    for client, text in broken.items():
        where = place(tmp_path, client, "user")
        where.config.parent.mkdir(parents=True, exist_ok=True)
        where.config.write_text(text)
        with pytest.raises(RequestError, match="nothing was changed"):
            install.plan_install(where, COMMAND, shelf, None)


def test_uninstalling_what_was_never_installed_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Nothing was installed"):
        install.plan_uninstall(place(tmp_path, "claude", "user"), None)


@pytest.mark.parametrize("text", ["", "a = 1", "mcp_servers = { other = { command = 'o' } }\n"])
def test_every_form_of_a_toml_file_is_understood(
    tmp_path: Path, shelf: SkillRegistry, text: str
) -> None:
    where, notes = place(tmp_path, "codex", "user"), install.Receipts(tmp_path / "notes.json")
    where.config.parent.mkdir(parents=True)
    where.config.write_text(text)
    put_in(where, shelf, notes)
    assert tomllib.loads(where.config.read_text())["mcp_servers"]["kernel-harness"]["args"]
    take_out(where, notes)
    assert tomllib.loads(where.config.read_text()) == tomllib.loads(text)


def test_a_configuration_that_is_a_link_stays_one(tmp_path: Path, shelf: SkillRegistry) -> None:
    where = place(tmp_path, "claude", "user")
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text("{}\n")
    where.config.parent.mkdir()
    where.config.symlink_to(real)
    put_in(where, shelf, install.Receipts(tmp_path / "notes.json"))
    assert where.config.is_symlink() and "kernel-harness" in real.read_text()


def test_the_command_starts_this_installation() -> None:
    words = install.server_command(["--device", "cpu"])
    assert words[-3:] == ["serve", "--device", "cpu"]
