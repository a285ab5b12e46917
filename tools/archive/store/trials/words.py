"""Trials in words, for people: a list, and what a tidying up did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....text import one_line
from ..entry import number
from .table import ARCHIVED, OPEN, UNVERIFIED, TrialRow
from .tidying import Tidied

if TYPE_CHECKING:
    from ..archive import Archive

_REFS_SHOWN = 20


def trial_list(archive: Archive, definition: str | None = None, limit: int = 200) -> str:
    """The newest trials, the oldest first, each with what it was derived from."""
    where, values = ("definition = ?", [definition]) if definition else ("1", [])
    found = archive.trials.table.rows(where, values, f"ORDER BY at DESC, name DESC LIMIT {limit}")
    if not found:
        return "No trial is kept."
    return "\n".join(f"{trial.name} {_said(trial)}" for trial in reversed(found))


def _said(trial: TrialRow) -> str:
    parts = [trial.definition, trial.status, trial.scope]
    if trial.latency_us is not None:
        parts.append(f"{number(trial.latency_us)} us")
    if trial.started_from:
        parts.append(f"from {trial.started_from}")
    if trial.state != OPEN:
        parts.append(f"({trial.state})")
    return " ".join(part for part in parts if part)


def tidied(found: Tidied, *, dry_run: bool = False) -> str:
    """What trials weighed and what went, in a few lines."""
    total = sum(found.counts.values())
    if not total and not found.damaged:
        return "No trial is kept: there is nothing to tidy up."
    states = {
        OPEN: "not archived",
        ARCHIVED: "of bytes that are archived",
        UNVERIFIED: "that no key which counts signed, left alone",
    }
    counted = [f"{n:,} {said}" for state, said in states.items() if (n := found.counts[state])]
    heading = f"{total:,} {'trial' if total == 1 else 'trials'}"
    if found.weight is not None:
        heading += f" {'weighs' if total == 1 else 'weigh'} {_bytes(found.weight)}"
    lines = [f"{heading} beside the candidates: {', '.join(counted)}."]
    verb = "would go" if dry_run else "went"
    lines += [f"{len(names):,} {verb}: {reason}." for reason, names in found.dropped.items()]
    if not found.dropped:
        lines.append("None goes by the rules (settings trial_days and trial_megabytes).")
    if not dry_run and not found.damaged:
        packed = "Refs and objects are packed." if found.packed else "Another process packs."
        lines.append(packed)
    if found.weight_after is not None and found.dropped:
        lines.append(
            f"They weigh {_bytes(found.weight_after)} now; what nothing names any more leaves the "
            "disk two days after it was written."
        )
    return "\n".join([*lines, *_said_of_damage(found.damaged)])


def _said_of_damage(refs: Sequence[str]) -> list[str]:
    if not refs:
        return []
    shown = [f"  {one_line(ref, 200)}" for ref in refs[:_REFS_SHOWN]]
    left = len(refs) - len(shown)
    return [
        "Git has lost objects that these refs lead to:",
        *shown,
        *([f"  … and {left} more"] if left else []),
        "So nothing was packed or removed from the disk, and no trial goes because a candidate has "
        "its bytes. Fetch from who has them, or give a ref up: git update-ref -d REF.",
    ]


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
