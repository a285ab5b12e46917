"""What is missing, in plain words, with the command that mends it.

Pure: it reads an environment report and what is known of the clients, and starts nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...tools.errors import RequestError
from . import config_files as install

if TYPE_CHECKING:
    from ...tools.devices.environment import EnvironmentReport


@dataclass(frozen=True)
class Complaint:
    """One thing that is not as it could be.

    Attributes:
        words: what is missing.
        costs: what cannot be done without it.
        command: what mends it; may be prose where no command can.
        grave: nothing works without it.
    """

    words: str
    costs: str
    command: str
    grave: bool = False


@dataclass(frozen=True)
class ClientState:
    """What is known of one client's configuration."""

    where: install.Target
    entry: dict[str, object] | None
    skills_missing: tuple[str, ...]
    unreadable: str = ""


def client_state(where: install.Target, names: Sequence[str]) -> ClientState:
    """Reads one client's configuration.

    Args:
        where: the client's places.
        names: the skills that should be there.
    """
    try:
        entry = install.present_entry(where)
    except RequestError as error:
        return ClientState(where, None, (), str(error))
    missing = tuple(name for name in names if not (where.skills / name / "SKILL.md").is_file())
    return ClientState(where, entry, missing)


def complaints_of_machine(report: EnvironmentReport) -> list[Complaint]:
    """What the machine and the data lack."""
    found = [
        Complaint(f"{tool.name} was not found", tool.costs or "", tool.remedy or "")
        for tool in report.missing()
    ]
    found += [
        Complaint(f"A dataset file cannot be read: {problem}", "its workloads are missing", "")
        for problem in report.dataset_problems
    ]
    if shutil.which("git") is None:
        found.append(
            Complaint("git was not found", "nothing can be archived", "Install git.", True)
        )
    return found


def complaints_of_clients(states: Sequence[ClientState]) -> list[Complaint]:
    """What the clients' configurations lack; silent about a client that is set up in one place."""
    found = [
        Complaint(state.unreadable, f"{state.where.client} cannot start with it", "", grave=True)
        for state in states
        if state.unreadable
    ]
    for client in dict.fromkeys(state.where.client for state in states):
        ours = [state for state in states if state.where.client == client and state.entry]
        if not ours:
            found.append(
                Complaint(
                    f"{client} does not know the server",
                    f"{client} cannot call its tools",
                    f"kernel-harness install {client}",
                )
            )
        for state in ours:
            found += _complaints_of_entry(state)
    return found


def _complaints_of_entry(state: ClientState) -> list[Complaint]:
    found = []
    where = state.where
    command = str((state.entry or {}).get("command", ""))
    again = f"kernel-harness install {where.client} --{where.scope}"
    if not (Path(command).is_file() or shutil.which(command)):
        found.append(
            Complaint(
                f"{where.config} starts {command!r}, which is not there",
                f"{where.client} cannot start the server",
                again,
                grave=True,
            )
        )
    if state.skills_missing:
        names = ", ".join(state.skills_missing)
        found.append(Complaint(f"{where.client} has not all skills: {names}", "", again))
    return found


def what_is_well(report: EnvironmentReport, states: Sequence[ClientState]) -> list[str]:
    """What needs no mending: the machine, its libraries, the clients that know the server."""
    versions = ", ".join(
        f"{name} {report.libraries[name]}"
        for name in ("torch", "triton", "mcp")
        if name in report.libraries
    )
    names = ", ".join(device.name for device in report.devices)
    runs = "candidates are judged and timed" if report.executor == "cuda" else "judged, not timed"
    found = [tool.name for tool in report.toolchain if tool.found]
    well = [
        f"Device {report.device} ({names}): {runs}",
        f"Python {report.python}, {versions}; found {', '.join(found)}",
        f"Workspaces in {report.workspaces_path}, archive in {report.archive_path}",
    ]
    well += [
        f"{state.where.client} knows the server: {state.where.config}"
        for state in states
        if state.entry and not _complaints_of_entry(state)
    ]
    return well


def verdict(complaints: Sequence[Complaint]) -> str:
    """The one line that says whether to go on."""
    if any(complaint.grave for complaint in complaints):
        return "Not ready: mend what is marked ✗ first."
    if complaints:
        return "Ready. What is marked ! makes results better or reaches more."
    return "Ready: nothing is missing."


def in_words(complaints: Sequence[Complaint]) -> str:
    """The complaints for a terminal, grave ones first; empty when there are none."""
    parts = []
    for complaint in sorted(complaints, key=lambda c: not c.grave):
        mark = "✗" if complaint.grave else "!"
        costs = f": {complaint.costs}" if complaint.costs else ""
        parts.append(f"{mark} {complaint.words}{costs}")
        if complaint.command:
            parts.append(f"    → {complaint.command}")
    return "\n".join(parts)
