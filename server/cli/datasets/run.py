"""Command run: evaluate every solution of a folder, and add the results to it as traces."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..commands import CommandResult, SettingsOf, SettingsOptions, command_factory, run_async
from .folder import TakeNames, add_local, of_folders

if TYPE_CHECKING:
    from ....tools.datasets.evaluation_config import EvaluationChoices
    from ....tools.datasets.run import JobResult, RunOptions
    from ....tools.datasets.trace_writer import TraceWriter
    from ....tools.harness import Harness
    from ....tools.progress import OnProgress
    from ....tools.workloads.dataset import Dataset

EXIT_FAILED = 1
EXIT_UNDECIDED = 3
SCOPES = ("smoke", "sample", "full", "official")


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    command = command_factory(commands, settings_options, of_folders(settings_of, several=True))
    run = command("run", "evaluate all solutions of a folder; add the results as traces", _run)
    run.add_argument(
        "folder",
        type=Path,
        nargs="*",
        help="a FlashInfer-Trace dataset; or operators with their solutions, peers and candidates",
    )
    add_local(run)
    for name, what in (
        ("definitions", "definitions"),
        ("solutions", "solutions"),
        ("authors", "solutions of these authors"),
        ("op-types", "definitions of these types"),
    ):
        run.add_argument(
            f"--{name}", nargs="+", action=TakeNames, default=[], help=f"run only these {what}"
        )
    run.add_argument("--scope", choices=SCOPES, default="full", help="how much is checked; full")
    run.add_argument(
        "--devices",
        nargs="+",
        action=TakeNames,
        default=[],
        help="run on these at once: cuda:0 cuda:1, or all; the setting device if absent",
    )
    run.add_argument(
        "--resume", action="store_true", help="leave out what the folder's traces cover"
    )
    run.add_argument("--force", action="store_true", help="judge again what was judged before")
    run.add_argument(
        "--save-results",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add traces to a FlashInfer-Trace dataset; done unless --no-save-results is given",
    )
    _add_choices(run)


def _add_choices(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--config", type=Path, help="a YAML file of the following, by op_type and definition"
    )
    run.add_argument("--atol", type=float, help="absolute tolerance")
    run.add_argument("--rtol", type=float, help="relative tolerance")
    run.add_argument(
        "--required-matched-ratio", type=float, help="share of elements that must be within"
    )
    run.add_argument(
        "--published-only",
        action="store_true",
        help="let the tolerance decide alone, without the strict criterion",
    )
    run.add_argument("--num-trials", type=int, help="input sets checked on each workload")
    run.add_argument("--warmup-runs", type=int, help="calls before those that are timed")
    run.add_argument("--iterations", type=int, help="timed calls on each workload")
    run.add_argument("--timeout", type=float, help="seconds for one solution, without its build")
    run.add_argument(
        "--profile-baseline",
        action=argparse.BooleanOptionalAction,
        help="time the definition's own code; done unless --no-profile-baseline is given",
    )

    run.add_argument(
        "--use-isolated-runner",
        action="store_true",
        help="changes nothing: every solution has a process of its own here",
    )


def _run(harness: Harness, arguments: argparse.Namespace) -> Any:
    from ....tools.datasets.jobs import Chosen, jobs_by_folder
    from ....tools.datasets.run import DatasetRun

    chosen = Chosen(
        arguments.definitions, arguments.solutions, arguments.authors, arguments.op_types
    )
    folders: list[Path] = arguments.folder
    jobs = jobs_by_folder(_datasets(harness, folders), chosen)
    options = _options(arguments)
    devices = {name: harness.evaluations_on(name) for name in _devices(harness, arguments.devices)}
    at_once = not sys.stderr.isatty() and not arguments.json
    on_result = _tell if at_once else lambda result: None
    writers = {folder: _writer(folder, keep=arguments.save_results) for folder in jobs}
    runs = {f: DatasetRun(devices, writers[f], options, on_result) for f in jobs}

    async def all_runs(progress: OnProgress) -> list[JobResult]:
        return [r for folder in jobs for r in await runs[folder].run(jobs[folder], progress)]

    results = run_async(harness, all_runs)
    status = _exit_status(results)
    if arguments.json:
        return CommandResult(json.dumps([asdict(r) for r in results], indent=1), status)
    said = [] if at_once else [result_line(result) for result in results]
    left_out = sum((run.left_out for run in runs.values()), Counter[str]())
    totals = _totals(results, left_out, written=any(writers.values()))
    return CommandResult("\n".join([*said, *totals]), status)


def _datasets(harness: Harness, folders: list[Path]) -> dict[Path, Dataset]:
    """By folder its dataset: of several, each by itself, for they may hold one definition twice."""
    if len(folders) == 1:
        return {folders[0]: harness.dataset}
    from ....tools.workloads.dataset import Dataset

    settings = harness.settings
    others = [place for place in settings.dataset if place not in folders]
    return {f: Dataset.load(settings.kernels_dir, [*others, f]) for f in folders}


def _writer(folder: Path, *, keep: bool) -> TraceWriter | None:
    from ....tools.datasets.trace_writer import TraceWriter

    return TraceWriter(folder) if keep and (folder / "definitions").is_dir() else None


def _devices(harness: Harness, named: list[str]) -> list[str]:
    from ....tools.devices.gpus import chosen_devices, every_device
    from ....tools.settings import load_settings

    if not named:
        return list(harness.devices)
    if named == ["all"]:
        return every_device()
    chosen = [chosen_devices(load_settings({"device": name})) for name in named]
    return list(dict.fromkeys(device for devices in chosen for device in devices))


def _options(arguments: argparse.Namespace) -> RunOptions:
    from ....tools.datasets.evaluation_config import EvaluationConfig, read_config
    from ....tools.datasets.run import RunOptions
    from ....tools.schema.evaluation import Scope

    return RunOptions(
        scope=Scope(arguments.scope),
        config=read_config(arguments.config) if arguments.config else EvaluationConfig(),
        said=_choices(arguments),
        resume=arguments.resume,
        force=arguments.force,
    )


def _choices(arguments: argparse.Namespace) -> EvaluationChoices:
    from ....tools.datasets.evaluation_config import choices_of

    said = {
        "criterion": "published" if arguments.published_only else None,
        "timeout_seconds": arguments.timeout,
        **{
            name: getattr(arguments, name)
            for name in ("atol", "rtol", "required_matched_ratio", "num_trials", "warmup_runs")
        },
        "iterations": arguments.iterations,
        "profile_baseline": arguments.profile_baseline,
    }
    return choices_of({name: value for name, value in said.items() if value is not None})


def _tell(result: JobResult) -> None:
    sys.stdout.write(f"{result_line(result)}\n")
    sys.stdout.flush()


def result_line(result: JobResult) -> str:
    """One result in words."""
    from ....tools.text import one_line

    said = [str(result.status) if result.status else "left out" if result.earlier else "not judged"]
    said.append(f"{one_line(result.solution, 80)} on {result.definition}")
    if result.mean_latency_us is not None:
        said.append(f"{result.mean_latency_us:.4g} us")
    if result.speedup is not None:
        said.append(f"{result.speedup:.3g}x the reference")
    if result.evaluation_id:
        said.append(result.evaluation_id + (" (judged before)" if result.earlier else ""))
    reason = f": {one_line(result.reason, 160)}" if result.reason else ""
    return "  ".join(said) + reason


def _totals(results: list[JobResult], left_out: Counter[str], *, written: bool) -> list[str]:
    counts = Counter(str(r.status) if r.status else "not judged" for r in results)
    said = [f"{len(results)} run: {', '.join(f'{n} {s}' for s, n in sorted(counts.items()))}."]
    if written:
        said.append(f"Traces added: {sum(r.traces for r in results)}.")
    said += [f"No trace for {reason}: {count}." for reason, count in left_out.items() if count]
    return said


def _exit_status(results: list[JobResult]) -> int:
    if any(result.failed for result in results):
        return EXIT_FAILED
    done = all(result.earlier if result.status is None else result.passed for result in results)
    return 0 if done else EXIT_UNDECIDED
