"""Commands that carry what is known to others: deploy, export, pack, extract, trajectories."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....tools.errors import HarnessError
from ....tools.text import counted
from ..commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ....tools.archive.export.dataset import ExportedDataset
    from ....tools.harness import Harness
    from ....tools.schema.flashinfer_trace import Solution

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
    pack = command("pack", "pack candidates as a contest's submission, or one as a file", _pack)
    pack.add_argument(
        "candidate",
        nargs="+",
        help="a candidate's id, a workspace, a folder with candidate.toml, a solution of a "
        "dataset, or an operator for its best",
    )
    pack.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a new folder; or, of one candidate, a new file that ends in .json: the Solution",
    )
    pack.add_argument("--name", help="of the solution; its own when left out")
    pack.add_argument("--author", help="of the solutions, as a team's name")
    extract = command("extract", "write a Solution's sources into a folder", _extract)
    extract.add_argument("candidate", help="a Solution in a JSON file, or what pack takes")
    extract.add_argument("--out", type=Path, required=True, help="a new folder")
    help_text = "write promoted kernels into a folder that programs apply"
    deploy = command("deploy", help_text, _deploy, ("device",))
    deploy.add_argument("definition", nargs="+", help="definitions, or unique parts of their names")
    deploy.add_argument(
        "--device",
        dest="promoted_on",
        metavar="DEVICE",
        required=True,
        help="where they are promoted, as `best` names it: H200; cpu for what was verified there",
    )
    deploy.add_argument("--out", type=Path, required=True, help="a new folder")
    steps = command(
        "trajectories", "write state, action and outcome of every trial as JSON lines", _steps
    )
    steps.add_argument("definition", nargs="*", help=WHICH)
    steps.add_argument("--out", type=Path, required=True, help="a new file")


def _export(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.archive.export.dataset import export_dataset

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
    said += [f"Left out: {reason}: {count}." for reason, count in exported.left_out.items()]
    return [*said, f"{exported.folder / 'README.md'} says what speed-ups are over."]


def _pack(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.archive.export.submission import pack_submission
    from ....tools.datasets.solution_files import pack_solution

    solutions = [_solution(harness, name) for name in arguments.candidate]
    names = {"name": arguments.name, "author": arguments.author}
    if arguments.out.suffix == ".json" and len(solutions) == 1:
        written = pack_solution(solutions[0], arguments.out, **names)
        return f"Packed {written.name} for {written.definition} into {arguments.out}."
    packed = pack_submission(solutions, arguments.out, name=arguments.name, author=arguments.author)
    return "\n".join(
        f"Packed {p.solution.name} for {p.solution.definition} into {p.folder}." for p in packed
    )


def _extract(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.datasets.solution_files import extract_solution, read_solution_file

    path = Path(arguments.candidate)
    named = path.suffix == ".json" and path.is_file()
    solution = read_solution_file(path) if named else _solution(harness, arguments.candidate)
    folder = extract_solution(solution, arguments.out)
    return (
        f"Wrote {folder}: {counted(len(solution.sources), 'source')} of {solution.name}, "
        f"{solution.spec.entry_point}, for {solution.definition}."
    )


def _deploy(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.archive.export.deployment import deploy

    done = deploy(
        harness.archive, harness.dataset, arguments.definition, arguments.promoted_on, arguments.out
    )
    said = [
        f"{kernel.definition}: candidate {kernel.candidate} in {kernel.language}, proven on "
        f"{len(kernel.judged)} sizes and between them."
        for kernel in done.index.kernels
    ]
    return "\n".join([f"Wrote {done.folder} for {done.index.device}.", *said, done.index.digest])


def _solution(harness: Harness, name: str) -> Solution:
    """The solution of a workspace or folder, of an archived candidate, or of an operator's best."""
    from ....tools.workloads.solution_folder import read_solution

    for place in (Path(name), harness.settings.workspaces_dir / name):
        if (place / "candidate.toml").is_file():
            return read_solution(place)
    for operator in harness.dataset.operators.values():
        for solution in operator.dataset_solutions:
            if solution.name == name:
                return solution
    with contextlib.suppress(HarnessError):
        operator = harness.dataset.operator(name).name
        if best := harness.archive.best(operator):
            return harness.archive.read(best).solution()
    return harness.lookup.candidate(candidate=name).solution


def _steps(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.archive.export.trajectories import export_trajectories

    count = export_trajectories(
        harness.archive, harness.dataset, arguments.out, arguments.definition
    )
    return f"Wrote {arguments.out}: {count} steps, oldest first within each operator."
