"""Lists what machine, data and clients lack, each with the command that provides it.

Works on an environment report and the clients' configurations as read; starts nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...tools.errors import RequestError
from ..resources.skills import problems
from . import registration

if TYPE_CHECKING:
    from ...tools.devices.environment import EnvironmentReport
    from ..resources.skills import Skill


@dataclass(frozen=True)
class Problem:
    """Something that is missing or wrong.

    Attributes:
        what: a sentence without its full stop.
        costs: what cannot be done because of it.
        remedy: the command that solves it; prose where no command can.
        blocks: nothing works until it is solved.
    """

    what: str
    costs: str
    remedy: str
    blocks: bool = False


@dataclass(frozen=True)
class ClientState:
    """One client's configuration as read: the server's entry, skills that are not there."""

    where: registration.Target
    entry: dict[str, object] | None
    missing_skills: tuple[str, ...]
    unreadable: str = ""


def client_state(where: registration.Target, skills: Sequence[str]) -> ClientState:
    """Reads one client's configuration."""
    try:
        entry = registration.registered_entry(where)
    except RequestError as error:
        return ClientState(where, None, (), str(error))
    missing = tuple(name for name in skills if not (where.skills / name / "SKILL.md").is_file())
    return ClientState(where, entry, missing)


def machine_problems(report: EnvironmentReport) -> list[Problem]:
    """Returns what the machine and the datasets lack."""
    found = [
        Problem(f"{tool.name} was not found", tool.costs or "", tool.remedy or "")
        for tool in report.missing()
    ]
    found += [
        Problem(f"A dataset file cannot be read: {problem}", "its workloads are missing", "")
        for problem in report.dataset_problems
    ]
    if shutil.which("git") is None:
        found.append(
            Problem("git was not found", "nothing can be archived", "Install git.", blocks=True)
        )
    return found


def skill_problems(folder: Path | None, skills: Sequence[Skill]) -> list[Problem]:
    """Returns what is wrong with the user's own skills.

    Args:
        folder: that the settings name.
        skills: those in it.
    """
    if folder is not None and not skills:
        return [
            Problem(
                f"The setting skills_dir names {folder}, which holds no skill",
                "only the shipped ones are served",
                "Each skill is a folder in it, with a SKILL.md.",
            )
        ]
    return [
        Problem(f"Skill {said}", "agents may not find it", "")
        for skill in skills
        for said in problems(skill)
    ]


def client_problems(states: Sequence[ClientState]) -> list[Problem]:
    """Returns what the clients lack; a client registered in one scope needs no other."""
    found = [
        Problem(state.unreadable, f"{state.where.client} cannot start with it", "", blocks=True)
        for state in states
        if state.unreadable
    ]
    for client in dict.fromkeys(state.where.client for state in states):
        registered = [state for state in states if state.where.client == client and state.entry]
        if not registered:
            found.append(
                Problem(
                    f"{client} does not know the server",
                    f"{client} cannot call its tools",
                    f"kernel-harness install {client}",
                )
            )
        for state in registered:
            found += _entry_problems(state)
    return found


def _entry_problems(state: ClientState) -> list[Problem]:
    found = []
    where = state.where
    command = str((state.entry or {}).get("command", ""))
    again = f"kernel-harness install {where.client} --{where.scope}"
    base = where.project if where.scope == "project" else Path()
    if not ((base / command).is_file() or shutil.which(command)):
        found.append(
            Problem(
                f"{where.config} starts {command!r}, which is not there",
                f"{where.client} cannot start the server",
                again,
                blocks=True,
            )
        )
    lines = registration.missing_lines(where)
    if lines:
        found.append(
            Problem(
                f"{where.config} lacks time-outs and environment",
                "calls end after 300 s; CUDA_VISIBLE_DEVICES and the like are not passed on",
                f"add under [{where.table}.{registration.NAME}]:\n{lines}",
            )
        )
    if state.missing_skills:
        names = ", ".join(state.missing_skills)
        found.append(Problem(f"{where.client} has not all skills: {names}", "", again))
    return found


def working_parts(report: EnvironmentReport, states: Sequence[ClientState]) -> list[str]:
    """Returns what needs nothing: the machine, its libraries, clients that know the server."""
    versions = ", ".join(
        f"{name} {report.libraries[name]}"
        for name in ("torch", "triton", "mcp")
        if name in report.libraries
    )
    names = ", ".join(device.name for device in report.devices)
    runs = "candidates are judged and timed" if report.executor == "cuda" else "judged, not timed"
    found = [tool.name for tool in report.toolchain if tool.found]
    parts = [
        f"Device {report.device} ({names}): {runs}",
        f"Python {report.python}, {versions}; found {', '.join(found)}",
        f"Workspaces in {report.workspaces_path}, archive in {report.archive_path}",
    ]
    parts += [
        f"{state.where.client} knows the server: {state.where.config}"
        for state in states
        if state.entry and not _entry_problems(state)
    ]
    return parts


def conclusion(problems: Sequence[Problem]) -> str:
    """Returns the line that says whether the harness can be used."""
    if any(problem.blocks for problem in problems):
        return "Not ready: solve what is marked ✗ first."
    if problems:
        return "Ready. What is marked ! makes results better or reaches more."
    return "Ready: nothing is missing."


def as_text(problems: Sequence[Problem]) -> str:
    """Returns the problems for a terminal, those that block first; empty when there are none."""
    parts = []
    for problem in sorted(problems, key=lambda p: not p.blocks):
        mark = "✗" if problem.blocks else "!"
        costs = f": {problem.costs}" if problem.costs else ""
        parts.append(f"{mark} {problem.what}{costs}")
        if problem.remedy:
            parts.append("    → " + problem.remedy.replace("\n", "\n      "))
    return "\n".join(parts)
