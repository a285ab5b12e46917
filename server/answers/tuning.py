"""Many variants in one table: how far each came, who is the fastest where, and what to do next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field

from ...tools.documents import evaluation_uri
from ...tools.schema.evaluation import Status
from ...tools.schema.measurement import Decision
from ...tools.text import counted, one_line
from .result import Answer, Result
from .text import fitted, lines, number, showing, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...tools.tuning.results import Tuned, VariantResult

ROWS = 40
ID_CHARACTERS = 8
"""Of an id's end, which get_evaluation understands."""
WORDS = 90
WORDS_IN_FULL = 400
"""Of the first failure that the table cuts."""
_ORDER = ("fastest", "tied", "slower", "passed", "compiled", "undecided", "pruned", "failed")


class WinnerPart(Result):
    """The fastest variant of a regime, by the race, and its own judged record."""

    regime: str
    variant: str
    race_us: float
    runner_up_us: float | None = None
    evaluation_id: str
    status: str
    evaluation_uri: str


class VariantsAnswer(Answer):
    """What became of each variant; the table is in `summary`."""

    status: str = Field(description="'DONE' or 'RUNNING'.")
    definition: str
    counts: dict[str, int] = Field(default_factory=dict, description="Variants by state.")
    winners: list[WinnerPart] = Field(default_factory=list)
    start_from: str | None = Field(
        default=None, description="For open_workspace: the child that chooses by size."
    )
    seconds: dict[str, float] = Field(default_factory=dict)
    states: dict[str, str] = Field(
        default_factory=dict, description="Of `workspaces`: how far each came."
    )
    times: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Of `workspaces`, by regime: µs in the race."
    )


def variants_answer(definition: str, count: int, tuned: Tuned | None) -> VariantsAnswer:
    """Words the variants; `tuned` is None while they are under way."""
    if tuned is None:
        return VariantsAnswer(
            summary=f"RUNNING: {counted(count, 'variant')} of {definition} under way. Next: the "
            "same call again waits for their end.",
            status="RUNNING",
            definition=definition,
        )
    return fitted(lambda rows: _answer(tuned, rows), ROWS)


def _answer(tuned: Tuned, rows: int) -> VariantsAnswer:
    shown = sorted(tuned.results, key=_rank)
    counts = {state: n for state in _ORDER if (n := sum(r.state == state for r in shown))}
    winners = [_winner(tuned, regime, name) for regime, name in tuned.winners.items()]
    start, words = _dispatch(tuned)
    left = showing(min(rows, len(shown)), len(shown), "name fewer values to see the others.")
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    best = "; ".join(
        f"{w.regime}: {w.variant}, {number(w.race_us)} µs" + _lead_words(tuned, w.regime)
        for w in winners
    )
    summary = lines(
        f"{counted(len(shown), 'variant')} of {tuned.definition}: {said}.",
        f"Fastest in the race, by regime: {best}." if best else None,
        words,
        _table(tuned, shown[:rows]),
        left,
        _failure_in_full(shown[:rows]),
        *tuned.notes,
        f"Next: {_next(tuned, winners, start)}",
    )
    return VariantsAnswer(
        summary=summary,
        status="DONE",
        definition=tuned.definition,
        counts=counts,
        winners=winners,
        start_from=start,
        seconds=dict(tuned.seconds),
        states=_states_of_programs(shown[:rows]),
        times=_times_of_programs(shown[:rows]),
    )


def _states_of_programs(results: Sequence[VariantResult]) -> dict[str, str]:
    """How far programs came that were named as they are."""
    return {r.variant.name: str(r.state) for r in results if not r.variant.values}


def _times_of_programs(results: Sequence[VariantResult]) -> dict[str, dict[str, float]]:
    """The race's times of programs that were named as they are: a program reads them.

    Those of constants stand in the table alone.
    """
    return {
        result.variant.name: {name: timed.us for name, timed in result.times.items()}
        for result in results
        if result.times and not result.variant.values
    }


def _rank(result: VariantResult) -> tuple[int, float]:
    times = [timed.us for timed in result.times.values()]
    return _ORDER.index(result.state), sum(times) / len(times) if times else 0.0


def _winner(tuned: Tuned, regime: str, name: str) -> WinnerPart:
    result = next(r for r in tuned.results if r.variant.name == name)
    near = {lead.second for lead in tuned.leads.get(regime, ())}
    right = [r for r in tuned.results if r is not result and r.state != "failed"]
    timed = [r for r in right if regime in r.times]
    # Times of others are of other runs, which differ by more than what finalists differ by.
    others = [r.times[regime].us for r in timed if not near or r.variant.name in near]
    assert result.judged is not None
    return WinnerPart(
        regime=regime,
        variant=name,
        race_us=result.times[regime].us,
        runner_up_us=min(others, default=None),
        evaluation_id=result.judged.evaluation_id,
        status=str(result.judged.status),
        evaluation_uri=evaluation_uri(result.judged.evaluation_id),
    )


def _lead_words(tuned: Tuned, regime: str) -> str:
    """What calls in turn said of a winner and those that came near it; a tie is said to be one."""
    said = []
    for lead in tuned.leads.get(regime, ()):
        less, shown, more = (f"{100 * (r - 1):.1f}" for r in (lead.low, lead.ratio, lead.high))
        percent = f"{shown} % ({less} to {more})"
        if not lead.tied:
            said.append(f", {percent} before {lead.second}")
        elif lead.decision is Decision.EQUAL:
            said.append(f", and {lead.second} does not differ: {percent}")
        else:
            said.append(f", and {lead.second} cannot be told from it: {percent}")
    return "".join(said)


def _table(tuned: Tuned, results: Sequence[VariantResult]) -> str:
    """A line for each variant; columns that would be empty are left out."""
    regimes = [r.name for r in tuned.regimes if any(r.name in v.times for v in results)]
    compiled = any(result.static and result.static.kernels for result in results)
    header = ["variant", "state", *(f"µs {name}" for name in regimes)]
    header += ["regs spill shared occ", "evaluation"] if compiled else ["evaluation"]
    rows = []
    for result in results:
        times = [number(result.times[r].us) if r in result.times else "–" for r in regimes]
        took = [_resources(result)] if compiled else []
        identity = result.evaluations[0][-ID_CHARACTERS:] if result.evaluations else "–"
        words = one_line(result.words, WORDS)
        rows.append([result.variant.name, str(result.state), *times, *took, identity, words])
    return table([*header, "why"], rows)


def _failure_in_full(results: Sequence[VariantResult]) -> str | None:
    """The first failure that the table cuts, with the values that its variant's name leaves out."""
    for result in results:
        words = one_line(result.words, WORDS_IN_FULL)
        if result.state in ("failed", "undecided") and len(words) > WORDS:
            name = result.variant.name
            untold = [
                f"{constant}={value!r}"
                for constant, value in result.variant.values.items()
                if f"{re.split('::|[.]', constant)[-1]}=" not in name
            ]
            return f"In full, {name}{_in_brackets(untold)}: {words}"
    return None


def _in_brackets(parts: Sequence[str]) -> str:
    return f" ({one_line(', '.join(parts), WORDS)})" if parts else ""


def _resources(result: VariantResult) -> str:
    """Of the kernel that takes the most registers, on the target that was compiled for first."""
    kernels = result.static.kernels if result.static else []
    first = [kernel for kernel in kernels if kernel.target == kernels[0].target]
    if not first:
        return "–"
    kernel = max(first, key=lambda k: (k.spill_bytes or 0, k.registers or 0))
    share = "–" if kernel.occupancy is None else f"{kernel.occupancy:.0%}"
    parts = [kernel.registers, kernel.spill_bytes, kernel.shared_bytes]
    return " ".join([*("–" if part is None else str(part) for part in parts), share])


def _dispatch(tuned: Tuned) -> tuple[str | None, str | None]:
    """What open_workspace can start from to choose by size, and what that would gain."""
    found = tuned.dispatch.found
    if tuned.dispatch.words:
        return None, f"No program that chooses by size: {tuned.dispatch.words}"
    if found is None:
        return None, None
    if len(found.holders) < 2:
        return None, f"{found.best.name} is the fastest everywhere, or as good as it."
    bands = ", ".join(f"{band.words}: {band.holder.name}" for band in found.bands)
    gain = f"{number(found.latency_us)} instead of {number(found.best_us)} µs"
    start = "dispatch:" + ",".join(node.candidate_id for node in found.holders)
    return start, f"Chosen by {found.axis} ({bands}): {gain}, if choosing cost nothing."


def _next(tuned: Tuned, winners: Sequence[WinnerPart], start: str | None) -> str:
    if start:
        return (
            f"open_workspace(definition='{tuned.definition}', start_from='{start}'), then "
            "evaluate_kernel: only its own verdict counts."
        )
    if winners:
        best = winners[0]
        passed = best.status == Status.PASSED
        way = "archive it, or a finer grid around it" if passed else "see why it did not pass"
        return f"get_evaluation(evaluation_id='{best.evaluation_id}'): {way}."
    if any(result.state in ("compiled", "passed") for result in tuned.results):
        return (
            "open_workspace(start_from=…) with the id of a variant's evaluation, or write its "
            "values into the source; then evaluate_kernel."
        )
    if all(result.state != "failed" for result in tuned.results):
        return (
            "get_evaluation with the id of one that is undecided says what is missing here; then "
            "the same call."
        )
    return "get_evaluation with the id of one that failed; correct the source that all share."
