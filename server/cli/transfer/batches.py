"""Command batch: evaluations on a machine without a connection, packed here and merged here."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..commands import CommandResult, SettingsOf, SettingsOptions, command_factory, run_async

if TYPE_CHECKING:
    from ....tools.batches.merging import Merged
    from ....tools.harness import Harness
    from ....tools.progress import OnProgress
    from ....tools.schema.evaluation import Evaluation
    from ....tools.settings import Settings

EXIT_REFUSED = 1
EXIT_UNDECIDED = 3
SCOPES = ("static", "smoke", "sample", "full", "official")
HELP = "evaluate on a machine without a connection: pack here, run there, merge here"


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command and its three steps to a parser."""
    parser = commands.add_parser("batch", help=HELP, description=HELP)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    step = command_factory(steps, settings_options, settings_of)
    pack = step("pack", "write a file of what is to be evaluated", _pack)
    pack.add_argument("--workspaces", nargs="+", default=[], help="names or paths")
    pack.add_argument(
        "--folders",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="each a solution's folder, or a folder of such: a sweep",
    )
    pack.add_argument("--candidates", nargs="+", default=[], help="of the archive, or trials")
    pack.add_argument("--scope", choices=SCOPES, default="sample", help="how much is checked")
    pack.add_argument("--compare-to", help="as of evaluate; the operator's baseline if absent")
    pack.add_argument("--input-family", metavar="FAMILY", help="of the inputs that are timed")
    pack.add_argument("--profile", action="store_true", help="also profile what passes")
    pack.add_argument("--calibrate", action="store_true", help="first measure the device")
    pack.add_argument("--out", type=Path, required=True, metavar="FILE", help="the job's file")
    run = command_factory(steps, settings_options, _with_operators(settings_of))
    run = run("run", "carry a job out here; again goes on where it was", _run)
    run.add_argument("job", type=Path, help="the file that pack wrote; its operators' code is run")
    run.add_argument("--out", type=Path, required=True, metavar="FILE", help="the results' file")
    run.add_argument("--seconds", type=float, help="longest it may take; results so far count")
    merge = step("merge", "bring results in, as if they had been judged here", _merge)
    merge.add_argument("results", type=Path, nargs="+", help="files that run wrote")


def _with_operators(settings_of: SettingsOf) -> SettingsOf:
    """The settings, with the operators that a job brings among the datasets."""

    def settings(arguments: argparse.Namespace, taken: Collection[str] = ()) -> Settings:
        from ....tools.batches.job import unpacked

        found = settings_of(arguments, taken)
        arguments.unpacked = brought = unpacked(arguments.job, found.archive_dir / "batches")
        if brought.operators is None:
            return found
        return found.model_copy(update={"dataset": (*found.dataset, brought.operators)})

    return settings


def _pack(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.batches.packing import BatchContents, pack

    packing = BatchContents(
        arguments.workspaces,
        arguments.folders,
        arguments.candidates,
        arguments.scope,
        arguments.compare_to,
        arguments.profile,
        arguments.calibrate,
        arguments.input_family,
    )
    job = pack(harness, packing, arguments.out)
    names = ", ".join(entry.name for entry in job.entries[:6])
    more = f" and {len(job.entries) - 6} more" if len(job.entries) > 6 else ""
    count = len(job.entries)
    return (
        f"Wrote {arguments.out}: {count} to evaluate, scope {job.scope}: {names}{more}.\n"
        f"There: kernel-harness batch run {arguments.out.name} --out results.tar\n"
        "Here again: kernel-harness batch merge results.tar"
    )


def _run(harness: Harness, arguments: argparse.Namespace) -> Any:
    import asyncio

    from ....tools.batches.running import carry_out, write_results
    from ....tools.batches.tar_file import require_place
    from ....tools.errors import RequestError

    require_place(arguments.out)
    if arguments.out.resolve() == arguments.job.resolve():
        raise RequestError(
            "The results would take the job's place",
            where=str(arguments.out),
            remedy="Name another file for them.",
        )
    job = arguments.unpacked.job

    stop = asyncio.Event()

    async def work(progress: OnProgress) -> Any:
        done = await carry_out(harness, job, progress, arguments.seconds, stop)
        # Before signals end the process again: a scheduler may send one more meanwhile.
        write_results(harness, job, done, arguments.out)
        return done

    carried = run_async(harness, work, stop)
    said = [_line(evaluation) for evaluation in carried.evaluations]
    said += [f"not judged: {name}: {why}" for name, why in carried.not_run.items()]
    said += carried.notes
    key = harness.keys.public()
    said.append(f"Wrote {arguments.out}, signed by {key}.")
    return CommandResult("\n".join(said), EXIT_UNDECIDED if carried.not_run else 0)


def _line(evaluation: Evaluation) -> str:
    totals = evaluation.totals
    mean = totals.estimated_full_mean_us or totals.mean_latency_us
    ratio = totals.geometric_mean_ratio
    figures = f" {mean:.2f} us" if mean is not None else ""
    figures += f", {ratio:.3f} times the baseline's speed" if ratio is not None else ""
    name = evaluation.solution_name
    return f"{evaluation.evaluation_id} {evaluation.status.value} {name}{figures}"


def _merge(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.batches.merging import merge
    from ....tools.errors import HarnessError

    said: list[str] = []
    refused = False
    for file in arguments.results:
        try:
            merged = merge(harness, file)
        except HarnessError as error:
            if len(arguments.results) == 1:
                raise
            # What came in of others is told all the same.
            said.append(f"refused: {error}")
            refused = True
            continue
        said += _said(file, merged)
        refused = refused or bool(merged.refused)
    return CommandResult("\n".join(said), EXIT_REFUSED if refused else 0)


def _said(file: Path, merged: Merged) -> list[str]:
    said = [_line(evaluation) for evaluation in merged.evaluations]
    said += [f"refused: {name}: {why}" for name, why in merged.refused.items()]
    said += [f"not judged there: {name}: {why}" for name, why in merged.results.not_run.items()]
    said += merged.notes
    came = f"{len(merged.evaluations)} new records, {merged.trials} trials"
    came += f", {merged.profiles} profiles" if merged.profiles else ""
    came += f", calibrations {', '.join(merged.calibrations)}" if merged.calibrations else ""
    known = f"; {len(merged.known)} were here" if merged.known else ""
    return [*said, f"{file}: {came}{known}."]
