"""Commands export, pack and trajectories: what the archive knows, in other people's forms."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tools.errors import HarnessError
from .commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ...tools.archive.export.dataset import ExportedDataset
    from ...tools.harness import Harness
    from ...tools.schema.flashinfer_trace import Solution

WHICH = "definitions, or unique parts of their names; all without any"


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the commands to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    export = command("export", "write a FlashInfer-Trace dataset of all that was judged", _export)
    export.add_argument("definition", nargs="*", help=WHICH)
    export.add_argument("--out", type=Path, required=True, help="a new folder")
    export.add_argument("--gpu", help="the device of its traces, as `best` names it: H200")
    export.add_argument(
        "--claimed", action="store_true", help="keep claimed times beside sealed ones"
    )
    export.add_argument(
        "--norm-errors",
        action="store_true",
        help="give relative errors in norm where those of elements were not measured",
    )
    pack = command("pack", "pack candidates as a contest's submission", _pack)
    pack.add_argument(
        "candidate", nargs="+", help="a candidate's id, a workspace, or an operator for its best"
    )
    pack.add_argument("--out", type=Path, required=True, help="a new folder")
    pack.add_argument("--name", help="of the solution; its own when left out")
    pack.add_argument("--author", help="of the solutions, as a team's name")
    steps = command(
        "trajectories", "write state, action and outcome of every trial as JSON lines", _steps
    )
    steps.add_argument("definition", nargs="*", help=WHICH)
    steps.add_argument("--out", type=Path, required=True, help="a new file")


def _export(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.export.dataset import export_dataset

    exported = export_dataset(
        harness.archive,
        harness.dataset,
        arguments.out,
        definitions=arguments.definition,
        gpu=arguments.gpu,
        claimed=arguments.claimed,
        norm_errors=arguments.norm_errors,
    )
    return "\n".join(_said(exported))


def _said(exported: ExportedDataset) -> list[str]:
    said = [f"Wrote {exported.folder}: {exported.count_words}."]
    if exported.gpu:
        said.append(f"All traces are of {exported.gpu}.")
    said += [f"Left out: {count} {reason}." for reason, count in exported.left_out.items()]
    return [*said, f"{exported.folder / 'README.md'} says what speed-ups are over."]


def _pack(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.export.submission import pack_submission

    solutions = [_solution(harness, name) for name in arguments.candidate]
    packed = pack_submission(solutions, arguments.out, name=arguments.name, author=arguments.author)
    return "\n".join(
        f"Packed {p.solution.name} for {p.solution.definition} into {p.folder}." for p in packed
    )


def _solution(harness: Harness, name: str) -> Solution:
    """The solution of a workspace, of an archived candidate, or of an operator's best."""
    for place in (Path(name), harness.settings.workspaces_dir / name):
        if (place / "candidate.toml").is_file():
            return harness.lookup.candidate(workspace=str(place.resolve())).solution
    with contextlib.suppress(HarnessError):
        operator = harness.dataset.operator(name).name
        if best := harness.archive.best(operator):
            return harness.archive.read(best).solution()
    return harness.lookup.candidate(candidate=name).solution


def _steps(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ...tools.archive.export.trajectories import export_trajectories

    count = export_trajectories(
        harness.archive, harness.dataset, arguments.out, arguments.definition
    )
    return f"Wrote {arguments.out}: {count} steps, oldest first within each operator."
