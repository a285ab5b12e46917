"""A search in lines: how far it is, what it found and used, and what each agent does now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....tools.text import counted

if TYPE_CHECKING:
    from ....tools.agents.records.events import RoundEnded
    from ....tools.agents.records.spending import Spending
    from ....tools.agents.records.state import SearchState

NEWEST = 8
"""Rounds that are shown one by one."""


def search_lines(
    state: SearchState,
    now: float,
    activity: Mapping[int, str] | None = None,
    *,
    running: bool = True,
) -> list[str]:
    """The search in lines.

    Args:
        activity: what each round under way does, where the search's own process asks.
        running: whether a process runs it; without one nothing that has not ended is under way.
    """
    began, options = state.began, state.options
    lines = [
        f"{began.search_id}  {options.definition}",
        f"{began.agent}, policy {options.policy}, roles {','.join(options.roles)}: {_asked(state)}",
        _progress(state, now, running=running),
        _best(state),
        _used(state.spent),
        _rates(state),
    ]
    lines += [f"  {line}" for line in map(round_line, state.finished[-NEWEST:])]
    if state.start is None and not state.ended and running:
        lines.append("  judging the program that it begins with")
    for round_ in state.under_way:
        number = round_.began.number
        if not running:
            lines.append(f"  round {number}: cut off, from {_parent(round_.began)}")
            continue
        does = (activity or {}).get(number, "under way")
        minutes = (now - round_.began.at) / 60
        lines.append(f"  round {number}: {does}, {minutes:.1f} min, from {_parent(round_.began)}")
    if state.ended is not None:
        lines.append(f"Ended: {state.ended.reason}.")
    return [line for line in lines if line]


def search_line(state: SearchState) -> str:
    """The search in a line."""
    began, best = state.began, state.best
    said = f"{began.search_id}  {state.options.definition}  {began.agent}"
    said += f": {counted(len(state.finished), 'round')}"
    if best is not None and best.best_us is not None:
        said += f", best {best.best_us:.4g} us"
    return f"{said}, ended" if state.ended else f"{said}, not ended"


def search_data(state: SearchState) -> dict[str, Any]:
    """The search as plain data: what it was asked for, its rounds, the best, what it used.

    What a script asks for first is at the top: the best and the start with their times, and what
    was used, beside the parts that these are from.
    """
    best, start, spent = state.best, state.start, state.spent
    return {
        "search_id": state.began.search_id,
        "definition": state.options.definition,
        "agent": state.began.agent,
        "options": state.options.model_dump(mode="json", exclude_none=True),
        "active_seconds": state.active_seconds,
        "start": start.model_dump(mode="json") if start else None,
        "start_candidate": (start.candidate or None) if start else None,
        "start_us": start.start_us if start else None,
        "best": best.best if best else None,
        "best_us": best.best_us if best else None,
        "best_speedup": best.best_speedup if best else None,
        "best_floor_percent": best.best_floor_percent if best else None,
        "best_round": best.number if best else None,
        "rounds_ended": len(state.finished),
        "evaluations": spent.count,
        "device_seconds": spent.device_seconds,
        "cost_usd": state.cost_usd,
        "spent": spent.model_dump(mode="json"),
        "rounds": [ended.model_dump(mode="json") for ended in state.finished],
        "under_way": [round_.began.number for round_ in state.under_way],
        "lessons": state.lessons,
        "ended": state.ended.reason if state.ended else None,
    }


def round_line(ended: RoundEnded) -> str:
    """A round that ended, in a line."""
    counts = Counter(ended.outcomes)
    kept = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
    said = f"round {ended.number}: {ended.end}"
    if kept:
        said += f" ({kept})"
    said += f"; {counted(ended.spent.count, 'evaluation')}"
    said += f", {ended.spent.device_seconds:.0f} s of the device"
    if ended.best_us is not None:
        said += f"; best {ended.best_us:.4g} us"
    return f"{said}; {ended.words}" if ended.words else said


def _asked(state: SearchState) -> str:
    options = state.options
    limits = [
        counted(options.rounds, "round") if options.rounds else "",
        f"{options.hours:g} h" if options.hours else "",
        f"{options.device_seconds:g} s of the device" if options.device_seconds else "",
        f"${options.cost_usd:g}" if options.cost_usd else "",
        f"until {options.goal}" if options.goal else "",
        f"{options.parallel} at a time" if options.parallel > 1 else "",
    ]
    return ", ".join(filter(None, limits))


def _progress(state: SearchState, now: float, *, running: bool) -> str:
    done, of = len(state.finished), state.options.rounds
    seconds = state.active_seconds if state.ended else state.seconds_at(now)
    said = f"Rounds: {done}" + (f" of {of}" if of else "") + f" in {seconds / 60:.1f} min"
    begun, word = len(state.under_way), "under way" if running else "cut off"
    return said + (f", {begun} {word}" if begun else "") + "."


def _best(state: SearchState) -> str:
    best, start = state.best, state.start
    if best is None or best.best_us is None:
        return "Best: nothing was timed yet."
    said = f"Best: {best.best}, {best.best_us:.4g} us, first in round {best.number}"
    if best.best_speedup and start and start.start_us:
        said += f"; {best.best_speedup:.3g}x the start ({start.start_us:.4g} us)"
    if best.best_floor_percent:
        said += f"; {best.best_floor_percent:.0f} % of the floor"
    return f"{said}."


def _used(spent: Spending) -> str:
    scopes = ", ".join(f"{n} {scope}" for scope, n in spent.evaluations.items()) or "none"
    usage = spent.usage
    said = [
        f"evaluations: {scopes}",
        f"{spent.device_seconds:.0f} s of the device, {spent.build_seconds:.0f} of them building",
        f"{spent.agent_seconds:.0f} s of agents",
    ]
    if usage.tokens_in is not None or usage.tokens_out is not None:
        said.append(f"{usage.tokens_in or 0} tokens in, {usage.tokens_out or 0} out")
    if usage.cost_usd is not None:
        said.append(f"${usage.cost_usd:.2f}")
    return f"Used: {'; '.join(said)}."


def _rates(state: SearchState) -> str:
    finished = state.finished
    if not finished:
        return ""
    outcomes = Counter(outcome for ended in finished for outcome in ended.outcomes)
    kept = sum(outcomes.values())
    faults = Counter(str(ended.end) for ended in finished if ended.end != "kept")
    right, faster = kept - outcomes["failed"], outcomes["faster"]
    said = f"{counted(kept, 'candidate')}: {right} right, {faster} faster."
    if faults:
        said += " Rounds without one: " + ", ".join(f"{n} {end}" for end, n in faults.items()) + "."
    return said


def _parent(began: object) -> str:
    return getattr(began, "parent", "") or "the start"
