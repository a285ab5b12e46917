"""The commands install, uninstall and doctor."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tools.settings import home_of

if TYPE_CHECKING:
    from ...tools.settings import Settings
    from ..client_setup.registration import Target
    from ..client_setup.skill_files import CopyPlan, Receipts

CLIENTS = ("claude", "codex")
SHELLS = ("bash", "zsh", "tcsh")


def add_commands(
    commands: Any,
    settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Adds install, uninstall and doctor to a parser."""
    for name, help_text, act in (
        ("install", "register the server with a client and copy its skills there", _install),
        ("uninstall", "remove exactly what install added", _uninstall),
    ):
        parser = commands.add_parser(name, help=help_text, description=help_text)
        parser.add_argument("client", choices=CLIENTS, help="the MCP client")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument(
            "--user", dest="scope", action="store_const", const="user", help="everywhere (default)"
        )
        scope.add_argument(
            "--project", dest="scope", action="store_const", const="project", help="this folder"
        )
        parser.add_argument("--directory", type=Path, default=Path(), help="the project's folder")
        parser.add_argument("--json", action="store_true", help="print what is said as JSON")
        parser.add_argument("--dry-run", action="store_true", help="only show commands and files")
        settings_options(parser)
        parser.set_defaults(
            run=lambda arguments, act=act: _as_asked(act, arguments, settings_of(arguments))
        )
    doctor = commands.add_parser("doctor", help="say what is missing and which command provides it")
    doctor.add_argument("--directory", type=Path, default=Path(), help="the project's folder")
    doctor.add_argument("--json", action="store_true", help="print what is said as JSON")
    settings_options(doctor)
    doctor.set_defaults(run=lambda arguments: _as_asked(_doctor, arguments, settings_of(arguments)))
    help_text = "print a script that has a shell complete commands and options"
    completion = commands.add_parser("completion", help=help_text, description=help_text)
    completion.add_argument(
        "shell",
        choices=SHELLS,
        help="for which shell: in bash source <(kernel-harness completion bash), in zsh write it "
        "as _kernel-harness into a folder of $fpath",
    )
    completion.set_defaults(run=_completion)


def _as_asked(
    act: Callable[[argparse.Namespace, Settings], int],
    arguments: argparse.Namespace,
    settings: Settings,
) -> int:
    """Runs a command; with --json what it says is printed as one object."""
    if not arguments.json:
        return act(arguments, settings)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = act(arguments, settings)
    _say(json.dumps({"exit_status": status, "answer": said.getvalue().splitlines()}, indent=1))
    return status


def _completion(arguments: argparse.Namespace) -> int:
    from ...tools.devices.environment import install_command
    from ...tools.errors import CapabilityError
    from .main import build_parser

    try:
        import shtab  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CapabilityError(
            "Completion needs the package shtab",
            remedy=install_command("shtab"),
        ) from error
    _say(shtab.complete(build_parser(whole=True), shell=arguments.shell))
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")


def _where(arguments: argparse.Namespace, client: Any, scope: Any) -> Target:
    from ..client_setup import registration

    project = arguments.directory.resolve()
    client_home = home_of("CODEX_HOME" if client == "codex" else "CLAUDE_CONFIG_DIR")
    return registration.target(client, scope, project, Path.home(), client_home)


def _receipts(settings: Settings) -> Receipts:
    from ..client_setup.skill_files import Receipts

    return Receipts(settings.data_dir / "installations.json")


def _server_arguments(arguments: argparse.Namespace) -> list[str]:
    """Returns the settings given to `install`, for the server to start with."""
    options: list[str] = []
    for name in ("data_dir", "dataset", "device", "log_level"):
        value = getattr(arguments, name)
        if value is not None:
            is_path = name in ("data_dir", "dataset")
            options += [
                f"--{name.replace('_', '-')}",
                str(Path(value).resolve()) if is_path else value,
            ]
    return options


def _install(arguments: argparse.Namespace, settings: Settings) -> int:
    from ..client_setup import registration, skill_files
    from ..resources.skills import SkillRegistry

    where = _where(arguments, arguments.client, arguments.scope or "user")
    receipts = _receipts(settings)
    command = registration.server_command(_server_arguments(arguments))
    can_register = registration.has_command(where)
    commands = registration.register_commands(where, command) if can_register else []
    plan = skill_files.plan_install(
        where, SkillRegistry(*settings.skills_dirs), receipts.get(where) or {}
    )
    if not can_register and not registration.is_registered(where, command):
        _say(registration.by_hand(where, command))
    _show(commands, plan, arguments.dry_run)
    if not arguments.dry_run:
        registration.run(where, commands)
        skill_files.apply(plan)
        receipts.note(where, plan.digests)
    lines = registration.missing_lines(where) if can_register else ""
    if lines:
        _say(
            "\n`codex mcp add` sets neither time-outs nor environment: calls end after 300 s, and\n"
            "the server does not see CUDA_VISIBLE_DEVICES. To change that, add by hand to\n"
            f"{where.config}, under [{where.table}.{registration.NAME}]:\n\n{lines}\n"
        )
    if registration.is_registered(where, command):
        _say(f"{where.client} starts the server as kernel-harness; start {where.client} anew.")
    return 0


def _uninstall(arguments: argparse.Namespace, settings: Settings) -> int:
    from ...tools.errors import RequestError
    from ..client_setup import registration, skill_files

    where = _where(arguments, arguments.client, arguments.scope or "user")
    receipts = _receipts(settings)
    written = receipts.get(where)
    commands = registration.unregister_commands(where)
    if written is None:
        raise RequestError(
            f"Nothing was installed for {where.client} ({where.scope})",
            where=str(where.config),
            remedy=f"The entry there is not by install; to remove it: {shlex.join(commands[0])}"
            if commands
            else "",
        )
    plan = skill_files.plan_uninstall(written)
    if commands and not registration.has_command(where):
        _say(f"Remove the entry kernel-harness from {where.config} by hand.")
        commands = []
    _show(commands, plan, arguments.dry_run)
    if not arguments.dry_run:
        registration.run(where, commands)
        skill_files.apply(plan)
        receipts.note(where, None)
    return 0


def _show(commands: Sequence[Sequence[str]], plan: CopyPlan, dry_run: bool) -> None:
    """Prints the commands to run and the files to change, these only counted unless `dry_run`."""
    for command in commands:
        _say(f"run {shlex.join(command)}")
    if dry_run:
        for change in plan.changes:
            _say(str(change))
    elif plan.changes:
        verb = "removed" if plan.changes[0].content is None else "written"
        _say(f"{len(plan.changes)} files of skills and sub-agents are {verb}.")
    for reason in plan.kept:
        _say(reason)
    if not (commands or plan.changes):
        _say("Nothing else to change." if plan.kept else "Nothing to change.")


def _doctor(arguments: argparse.Namespace, settings: Settings) -> int:
    from ...tools.harness import Harness
    from ..client_setup import doctor
    from ..resources.skills import SkillRegistry

    harness = Harness.open(settings)
    report = harness.check_environment()
    names = [skill.name for skill in SkillRegistry(*settings.skills_dirs).skills()]
    states = [
        doctor.client_state(_where(arguments, client, scope), names)
        for client in CLIENTS
        for scope in ("project", "user")
    ]
    own = SkillRegistry(*settings.skills_dirs[1:]).skills()
    problems = [
        *doctor.machine_problems(report),
        *doctor.skill_problems(settings.skills_dir, own),
        *doctor.client_problems(states),
    ]
    for part in doctor.working_parts(report, states):
        _say(f"✓ {part}")
    for note in report.notes:
        _say(f"  {note}")
    later = report.needed_with_a_gpu()
    if later:
        _say(f"  On a machine with a GPU also wanted: {', '.join(later)}.")
    if problems:
        _say(doctor.as_text(problems))
    _say(doctor.conclusion(problems))
    return 1 if any(problem.blocks for problem in problems) else 0
