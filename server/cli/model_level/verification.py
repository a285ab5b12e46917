"""Command verify-model: what deployed kernels do to a whole program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...answers.text import table_lines, time_words
from ..commands import SettingsOf, SettingsOptions, write_found
from .program_arguments import add_program, add_step_options, program_of

if TYPE_CHECKING:
    from ....tools.model_level.verification.gains import ModelComparison
    from ....tools.model_level.verification.predictions import PredictedGain
    from ....tools.model_level.verification.verified_runs import OutputDrift

WORDS = {
    "FASTER": "The program is faster, and its outputs are what they were.",
    "EQUAL": "The program is neither faster nor slower.",
    "SLOWER": "The program is slower.",
    "INCONCLUSIVE": "Whether the program is faster cannot be said: more --pairs or --steps would.",
    "DRIFTED": "The outputs are further from what they were than rounding explains.",
    "NOT_REPEATABLE": "The program gives other outputs each time, or none: nothing can be said.",
    "NOT_APPLIED": "No call of the targets was made in the steps that were timed.",
}
AGREE = {
    True: "the two agree",
    False: "the two do not agree",
    None: "whether the two agree cannot be told",
}
GOOD, BAD = ("FASTER", "EQUAL"), ("SLOWER", "DRIFTED")
FAILED, UNDECIDED = 1, 3


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    help_text = "run a program with deployed kernels and without, and compare time and outputs"
    parser = commands.add_parser("verify-model", help=help_text, description=help_text)
    parser.add_argument("--kernels", type=Path, required=True, help="the folder that deploy wrote")
    parser.add_argument(
        "--operator",
        type=Path,
        action="append",
        default=[],
        help="an operator's folder that extract-operator wrote; may be repeated",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="FUNCTION[=DEFINITION]",
        help="a function whose parameters are an operator's inputs, and which; may be repeated",
    )
    add_step_options(parser, 10, "steps of each run that are timed")
    parser.add_argument("--pairs", type=int, default=4, help="runs without and with kernels; 4")
    parser.add_argument(
        "--tolerance", type=float, help="relative drift that is allowed; by the type if left out"
    )
    parser.add_argument("--json", action="store_true", help="print all that was seen as JSON")
    add_program(parser)
    parser.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    from ....tools.model_level.verification.program_verification import verify_program
    from ....tools.model_level.verification.target_files import read_target, target_named

    targets = [read_target(folder) for folder in arguments.operator]
    found = verify_program(
        program_of(arguments),
        arguments.kernels,
        [*targets, *map(target_named, arguments.target)],
        step=arguments.step,
        warmup=arguments.warmup,
        steps=arguments.steps,
        pairs=arguments.pairs,
        tolerance=arguments.tolerance,
    )
    write_found(found, comparison_text, as_json=arguments.json)
    return 0 if found.verdict in GOOD else FAILED if found.verdict in BAD else UNDECIDED


def comparison_text(found: ModelComparison) -> str:
    """A comparison as a screen of text."""
    lines = [f"{found.verdict}: {WORDS[found.verdict]}"]
    if found.to_blame:
        what = "gives something else" if found.verdict == "DRIFTED" else "is slower by itself"
        lines.append(f"The kernel of {' and of '.join(found.to_blame)} {what}.")
    place = found.runs.device or "the CPU"
    said = f"A step takes {time_words(found.before_us)} without and {time_words(found.after_us)} "
    lines.append(f"{said}with the kernels, on {place}.")
    foretold = found.predicted
    predicted = f"predicted by their calls {_times(foretold.gain)} ({_times(*foretold.interval)})"
    if found.gain is None or found.interval is None:
        lines.append(f"Too few pairs of steps to measure the gain; {predicted}.")
    else:
        lines.append(
            f"Measured {_times(found.gain)} ({_times(*found.interval)}, {found.pairs} pairs of "
            f"steps), {predicted}: {AGREE[found.agree]}."
        )
    lines.append(_way_words(foretold))
    lines.append(f"Outputs: {_drift_words(found.runs.drift)}; {found.tolerance:g} is allowed.")
    rows = [("target", "calls", "original", "kernel", "saves a step", "missed")]
    rows += [
        (
            one.applied.target,
            f"{sum(call.calls for call in one.applied.calls):.0f}",
            time_words(one.predicted.original_us),
            time_words(one.predicted.kernel_us),
            time_words(one.predicted.saved_us.median),
            ", ".join(f"{n} {why}" for why, n in one.applied.missed.items()) or "none",
        )
        for one in found.targets
    ]
    return "\n".join([*lines, "", *table_lines(rows, 0)])


def _way_words(foretold: PredictedGain) -> str:
    """How calls were timed that predict a gain."""
    if not foretold.whole:
        return (
            "Calls within code that torch compiles are not in the prediction: the original has no "
            "time of its own there."
        )
    if not foretold.turns:
        clock = "host's" if foretold.host_bound else "device's"
        return (
            "Calls were repeated by themselves, for steps are too few to time them in their places;"
            f" their times are the {clock}."
        )
    from ....tools.model_level.verification.predictions import MOST_GAIN

    alone = f"predict {_times(foretold.repeated)}"
    if foretold.repeated >= MOST_GAIN:
        alone = "save more than a step takes, which predicts nothing"
    return (
        f"Calls were timed in their places in {foretold.turns} steps with each; repeated by "
        f"themselves they {alone}."
    )


def _times(*gains: float) -> str:
    """How many times as fast, from the least to the greatest, to four digits."""
    return " to ".join(f"{gain:.4g}x" for gain in gains)


def _drift_words(drift: OutputDrift) -> str:
    if drift.relative is None:
        return "another shape, or not finite where they were"
    agreement = ""
    if drift.argmax_agreement is not None:
        agreement = f", {drift.argmax_agreement:.2%} of the largest elements are at their places"
    return f"{drift.relative:.2g} off relatively, {drift.largest:.2g} at most{agreement}"
