"""Puts the server and its skills into Claude Code or Codex, and takes out exactly what it put in.

Planned first, as a list of changed files that can be shown; then written, each file by an atomic
rename. What was written is noted in a receipt in the data folder, so that `uninstall` removes no
more than that: an entry or a skill that someone has edited since is kept and named.

It knows where the clients keep things, as of Claude Code 2.1 and Codex 0.169; it starts neither.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from ...tools.errors import InfrastructureError, RequestError
from ..resources.prompts import ROLES, roles_folder
from ..resources.skills import SkillRegistry
from . import json_edit as json_text

NAME = "kernel-harness"
CALL_SECONDS = 1800
START_SECONDS = 60
PASSED_ON = (
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "FIB_DATASET_PATH",
    "KERNEL_HARNESS_DATASET",
    "KERNEL_HARNESS_DATA_DIR",
    "KERNEL_HARNESS_DEVICE",
    "LD_LIBRARY_PATH",
)
"""What Codex, which passes almost no environment, is asked to pass to the server."""

Client = Literal["claude", "codex"]
Scope = Literal["project", "user"]


@dataclass(frozen=True)
class Target:
    """Where one client keeps its configuration and skills."""

    client: Client
    scope: Scope
    config: Path
    skills: Path
    agents: Path | None = None

    @property
    def keys(self) -> tuple[str, str]:
        """Where in the configuration the server's entry is."""
        return ("mcpServers" if self.client == "claude" else "mcp_servers", NAME)


def target(
    client: Client, scope: Scope, project: Path, home: Path, codex_home: Path | None = None
) -> Target:
    """The places of a client.

    Args:
        client: 'claude' or 'codex'.
        scope: 'project' writes beside the code, for everyone; 'user' for this user everywhere.
        project: the project's folder.
        home: the user's.
        codex_home: Codex's own folder; ~/.codex when None.
    """
    if client == "claude":
        base = project if scope == "project" else home
        config = project / ".mcp.json" if scope == "project" else home / ".claude.json"
        claude = base / ".claude"
        return Target(client, scope, config, claude / "skills", claude / "agents")
    codex = project / ".codex" if scope == "project" else codex_home or home / ".codex"
    agents = (project if scope == "project" else home) / ".agents"
    return Target(client, scope, codex / "config.toml", agents / "skills")


def server_command(arguments: Sequence[str] = ()) -> list[str]:
    """The words that start this very installation's server.

    Args:
        arguments: settings to pass on, e.g. ['--device', 'cpu'].
    """
    script = Path(sys.executable).with_name(NAME)
    on_path = shutil.which(NAME)
    if on_path and script.exists() and os.path.samefile(on_path, script):
        words = [NAME]
    elif script.exists():
        words = [str(script)]
    else:
        words = [sys.executable, "-m", "kernel_harness.server"]
    return [*words, "serve", *arguments]


def entry(client: Client, command: Sequence[str]) -> dict[str, Any]:
    """The server's entry in a client's configuration, with time for long GPU work."""
    plain = {"command": command[0], "args": list(command[1:])}
    if client == "claude":
        return {"type": "stdio", **plain, "timeout": CALL_SECONDS * 1000}
    return {
        **plain,
        "env_vars": list(PASSED_ON),
        "startup_timeout_sec": START_SECONDS,
        "tool_timeout_sec": CALL_SECONDS,
    }


@dataclass(frozen=True)
class Change:
    """One file before and after; None where there is no file."""

    path: Path
    before: str | None
    after: str | None


@dataclass
class Receipt:
    """What one installation wrote.

    Attributes:
        entry: the server's entry.
        appended: the very text put at the end of a TOML file.
        fresh_file, fresh_parent: the configuration, or the table of servers, was not there before.
        files: each file written, to the digest of its content.
    """

    entry: dict[str, Any] = field(default_factory=dict)
    appended: str = ""
    fresh_file: bool = False
    fresh_parent: bool = False
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Plan:
    """What will be changed, what is kept as it is, and what will be noted."""

    changes: list[Change]
    kept: list[str]
    receipt: Receipt


def plan_install(
    where: Target, command: Sequence[str], shelf: SkillRegistry, before: Receipt | None
) -> Plan:
    """Plans an installation; nothing to change when it is there already.

    Args:
        where: the client's places.
        command: what starts the server.
        shelf: the skills to place.
        before: what an earlier installation noted.
    """
    text = _read(where.config)
    wanted = entry(where.client, command)
    receipt = Receipt(
        entry=wanted,
        fresh_file=before.fresh_file if before else text is None,
        fresh_parent=before.fresh_parent if before else _value(where, text, 1) is None,
        files=dict(before.files) if before else {},
    )
    changes, kept = [], []
    if _value(where, text, 2) != wanted:
        after = _with_entry(where, text, wanted)
        receipt.appended = after.removeprefix(text or "") if after.startswith(text or "") else ""
        changes.append(Change(where.config, text, after))
    elif before:
        receipt.appended = before.appended
    for path, content in _placed(where, shelf):
        present = _read(path)
        ours = receipt.files.get(str(path)) == _digest(present)
        if present == content:
            continue
        if present is not None and not ours:
            kept.append(f"{path} differs from ours and was not written by us; it is left alone")
            continue
        changes.append(Change(path, present, content))
        receipt.files[str(path)] = _digest(content)
    return Plan(changes, kept, receipt)


def plan_uninstall(where: Target, before: Receipt | None) -> Plan:
    """Plans the removal of what an installation wrote, and of nothing else.

    Raises:
        RequestError: when nothing was installed there.
    """
    if before is None:
        raise RequestError(
            f"Nothing was installed for {where.client} ({where.scope})",
            where=str(where.config),
            remedy="If an entry is there, it was written by hand: remove it by hand.",
        )
    changes, kept = [], []
    text = _read(where.config)
    present = _value(where, text, 2)
    if present is not None and present != before.entry:
        kept.append(f"The entry {NAME!r} in {where.config} was edited; remove it by hand")
    elif text is not None and present is not None:
        after: str | None = _without_entry(where, text, before)
        if before.fresh_file and not _loaded(where, after or ""):
            after = None
        changes.append(Change(where.config, text, after))
    for name, digest in before.files.items():
        content = _read(Path(name))
        if content is not None and _digest(content) != digest:
            kept.append(f"{name} was edited since; it is left alone")
        elif content is not None:
            changes.append(Change(Path(name), content, None))
    return Plan(changes, kept, Receipt())


def present_entry(where: Target) -> dict[str, Any] | None:
    """The server's entry as a client's configuration has it now; None when there is none.

    Raises:
        RequestError: when the configuration cannot be read.
    """
    return _value(where, _read(where.config), 2)


def _placed(where: Target, shelf: SkillRegistry) -> Iterable[tuple[Path, str]]:
    for skill, path in shelf.files():
        text = (skill.folder / path).read_text(encoding="utf-8")
        yield where.skills / skill.name / path, text
    if where.agents is not None:
        for role in ROLES:
            text = (roles_folder() / f"{role}.md").read_text(encoding="utf-8")
            yield where.agents / f"kernel-{role}.md", text


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8") if path.is_file() else None
    except UnicodeDecodeError as error:
        raise RequestError("The file is not UTF-8 text", where=str(path)) from error


def _digest(text: str | None) -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()


def _loaded(where: Target, text: str) -> dict[str, Any]:
    try:
        if where.client == "claude":
            return json.loads(text) if text.strip() else {}
        return tomlkit.parse(text).unwrap()
    except (ValueError, TOMLKitError) as error:
        raise RequestError(
            f"The configuration cannot be read: {error}",
            where=str(where.config),
            remedy="Mend it by hand first; nothing was changed.",
        ) from error


def _value(where: Target, text: str | None, depth: int) -> Any:
    value: Any = _loaded(where, text or "")
    for key in where.keys[:depth]:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _with_entry(where: Target, text: str | None, wanted: dict[str, Any]) -> str:
    if where.client == "claude":
        return json_text.set_member(text or "", where.keys, wanted)
    text = text or ""
    outer, inner = where.keys
    table = tomlkit.table()
    for name, value in wanted.items():
        table[name] = value
    if _value(where, text, 2) is None:
        joint = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        longer = f"{text}{joint}[{outer}.{inner}]\n{table.as_string()}"
        try:
            tomlkit.parse(longer)
            return longer
        except TOMLKitError:
            pass  # the servers are an inline table: edited in place below
    document = tomlkit.parse(text)
    servers: Any = document.setdefault(outer, tomlkit.table(is_super_table=True))
    inline = tomlkit.inline_table()
    inline.update(wanted)
    servers[inner] = inline if isinstance(servers, InlineTable) else table
    return tomlkit.dumps(document)


def _without_entry(where: Target, text: str, before: Receipt) -> str:
    outer, _ = where.keys
    if where.client == "claude":
        after = json_text.remove_member(text, where.keys)
        empty = json_text.member(after, [outer]) == {}
        return json_text.remove_member(after, [outer]) if before.fresh_parent and empty else after
    if before.appended and text.count(before.appended) == 1:
        return text.replace(before.appended, "")
    document = tomlkit.parse(text)
    servers: Any = document[outer]
    servers.remove(NAME)
    if not servers and before.fresh_parent:
        document.remove(outer)
    return tomlkit.dumps(document)


def as_diff(plan: Plan) -> str:
    """What the plan changes, as a unified diff; skills that are merely added by their names."""
    parts = []
    for change in plan.changes:
        if change.before is None and change.path.suffix == ".md":
            parts.append(f"new file {change.path}")
            continue
        parts += difflib.unified_diff(
            (change.before or "").splitlines(),
            (change.after or "").splitlines(),
            str(change.path) if change.before is not None else "/dev/null",
            str(change.path) if change.after is not None else "/dev/null",
            lineterm="",
        )
    return "\n".join(parts)


def apply(plan: Plan) -> None:
    """Carries a plan out.

    Raises:
        InfrastructureError: when a file cannot be written; those before it are.
    """
    for change in plan.changes:
        try:
            if change.after is None:
                change.path.unlink(missing_ok=True)
                _remove_empty(change.path.parent)
            else:
                _write(change.path, change.after)
        except OSError as error:
            raise InfrastructureError(
                f"The file cannot be written: {error.strerror}", where=str(change.path)
            ) from error


def _write(path: Path, text: str) -> None:
    path = path.resolve()  # a configuration that is a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    part = path.with_name(f"{path.name}.kernel-harness-part")
    part.write_bytes(text.encode())
    part.chmod(mode)
    part.replace(path)


def _remove_empty(folder: Path) -> None:
    """Removes folders that a removal left empty, up to the client's own."""
    for parent in (folder, *folder.parents[:3]):
        if parent.name in (".claude", ".agents", ".codex") or any(parent.iterdir()):
            return
        parent.rmdir()


class Receipts:
    """What installations noted, in one file of the data folder.

    Args:
        path: the file; made on the first installation.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, where: Target) -> Receipt | None:
        """What was noted for a target."""
        found = self._all().get(str(where.config))
        return Receipt(**found) if found else None

    def note(self, where: Target, receipt: Receipt | None) -> None:
        """Keeps, or forgets, what was written for a target."""
        known = self._all()
        if receipt is None:
            known.pop(str(where.config), None)
        else:
            known[str(where.config)] = vars(receipt)
        _write(self._path, json.dumps(known, indent=1) + "\n")

    def _all(self) -> dict[str, Any]:
        text = _read(self._path)
        return json.loads(text) if text else {}
