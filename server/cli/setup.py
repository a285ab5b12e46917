"""The commands that put the server into a client, take it out, and say what is missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tools.settings import home_of

if TYPE_CHECKING:
    from ...tools.settings import Settings
    from ..client_setup.config_files import Receipts, Target

CLIENTS = ("claude", "codex")


def add_commands(
    commands: Any,
    settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Adds install, uninstall and doctor to a parser.

    Args:
        commands: what `add_subparsers` gave.
        settings_options: adds the options that choose settings.
        settings_of: makes the settings of parsed arguments.
    """
    for name, words, act in (
        ("install", "put the server and its skills into a client", _install),
        ("uninstall", "take out exactly what install put in", _uninstall),
    ):
        parser = commands.add_parser(name, help=words, description=words)
        parser.add_argument("client", choices=CLIENTS, help="whose configuration")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument(
            "--user", dest="scope", action="store_const", const="user", help="everywhere (default)"
        )
        scope.add_argument(
            "--project", dest="scope", action="store_const", const="project", help="this folder"
        )
        parser.add_argument("--directory", type=Path, default=Path(), help="the project's folder")
        parser.add_argument("--dry-run", action="store_true", help="show the change, make none")
        settings_options(parser)
        parser.set_defaults(run=lambda arguments, act=act: act(arguments, settings_of(arguments)))
    doctor = commands.add_parser("doctor", help="say what is missing and what mends it")
    doctor.add_argument("--directory", type=Path, default=Path(), help="the project's folder")
    settings_options(doctor)
    doctor.set_defaults(run=lambda arguments: _doctor(arguments, settings_of(arguments)))


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")


def _where(arguments: argparse.Namespace, client: Any, scope: Any) -> Target:
    from ..client_setup import config_files as install

    project = arguments.directory.resolve()
    return install.target(client, scope, project, Path.home(), home_of("CODEX_HOME"))


def _receipts(settings: Settings) -> Receipts:
    from ..client_setup.config_files import Receipts

    return Receipts(settings.data_dir / "installations.json")


def _passed_on(arguments: argparse.Namespace) -> list[str]:
    """The settings given to `install`, for the server to start with."""
    words: list[str] = []
    for name in ("data_dir", "dataset", "device", "log_level"):
        value = getattr(arguments, name)
        if value is not None:
            is_path = name in ("data_dir", "dataset")
            words += [
                f"--{name.replace('_', '-')}",
                str(Path(value).resolve()) if is_path else value,
            ]
    return words


def _install(arguments: argparse.Namespace, settings: Settings) -> int:
    from ..client_setup import config_files as install
    from ..resources.skills import SkillRegistry

    where = _where(arguments, arguments.client, arguments.scope or "user")
    notes = _receipts(settings)
    command = install.server_command(_passed_on(arguments))
    plan = install.plan_install(where, command, SkillRegistry.shipped(), notes.get(where))
    if arguments.dry_run:
        return _shown(plan)
    install.apply(plan)
    notes.note(where, plan.receipt)
    for words in plan.kept:
        _say(words)
    done = f"{len(plan.changes)} files written" if plan.changes else "It was there already"
    _say(f"{done}: {where.config}, skills in {where.skills}.")
    _say(f"Start {arguments.client} anew; the server is called kernel-harness.")
    return 0


def _uninstall(arguments: argparse.Namespace, settings: Settings) -> int:
    from ..client_setup import config_files as install

    where = _where(arguments, arguments.client, arguments.scope or "user")
    notes = _receipts(settings)
    plan = install.plan_uninstall(where, notes.get(where))
    if arguments.dry_run:
        return _shown(plan)
    install.apply(plan)
    notes.note(where, None)
    for words in plan.kept:
        _say(words)
    _say(f"{len(plan.changes)} files were removed or restored.")
    return 0


def _shown(plan: Any) -> int:
    from ..client_setup import config_files as install

    _say(install.as_diff(plan) or "Nothing would change.")
    for words in plan.kept:
        _say(words)
    return 0


def _doctor(arguments: argparse.Namespace, settings: Settings) -> int:
    from ...tools.harness import Harness
    from ..client_setup import doctor
    from ..resources.skills import SkillRegistry

    harness = Harness.open(settings)
    report = harness.check_environment()
    names = [skill.name for skill in SkillRegistry.shipped().skills()]
    states = [
        doctor.client_state(_where(arguments, client, scope), names)
        for client in CLIENTS
        for scope in ("project", "user")
    ]
    complaints: Sequence[doctor.Complaint] = [
        *doctor.complaints_of_machine(report),
        *doctor.complaints_of_clients(states),
    ]
    for words in doctor.what_is_well(report, states):
        _say(f"✓ {words}")
    for words in report.notes:
        _say(f"  {words}")
    later = report.wanted_with_a_gpu()
    if later:
        _say(f"  On a machine with a GPU also wanted: {', '.join(later)}.")
    if complaints:
        _say(doctor.in_words(complaints))
    _say(doctor.verdict(complaints))
    return 1 if any(complaint.grave for complaint in complaints) else 0
