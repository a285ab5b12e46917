"""What compiling for targets showed, without a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ....tools.devices.hardware import shipped_hardware
from ....tools.devices.targets import meant
from ....tools.schema.evaluation import StaticCheck, StaticKernel
from ....tools.text import counted, shorten
from ..text import axes_words, lines, showing
from .limits import MOST_KERNELS
from .models import StaticPart

SUMMARY_ROWS = 6
CONFIG_CHARACTERS = 200
LAUNCHES_SHOWN = 4
EMPTY = 16
"""Instructions of a kernel that only returns: what is padded to a cache line."""
Axes = Mapping[str, int]
_DIGITS = re.compile(r"\d+")
_TENSOR = {"tensor_mma": "mma.sync", "tensor_wgmma": "wgmma", "tensor_tcgen05": "tcgen05"}


def static_parts(
    check: StaticCheck | None,
    rows: int = MOST_KERNELS,
    axes: Mapping[str, Axes] | None = None,
    *,
    whole: bool = False,
) -> list[StaticPart]:
    """The rows that fit, each a kernel with what it takes of one target.

    Args:
        axes: of each workload, by uuid.
        whole: whether a row repeats what the one before it says of constants, grids and notes.
    """
    kernels = _chosen(check.kernels, rows) if check else []
    parts = [
        StaticPart.of(
            kernel,
            kernel=kernel.name,
            config=config_words(kernel.config) or None,
            mix=mix_words(kernel.instructions) or None,
            launched=launched_words(kernel, axes or {}),
        )
        for kernel in kernels
    ]
    if whole:
        return parts
    first: dict[str, Mapping[str, Any]] = {}
    stated: set[tuple[str, str]] = set()
    shown: list[StaticPart] = []
    for before, part, kernel in zip([None, *parts], parts, kernels, strict=False):
        lean = _unlike(before, part, stated)
        known = first.setdefault(kernel.name, kernel.config)
        changed = {k: v for k, v in kernel.config.items() if known.get(k, ...) != v}
        if lean.config and changed and known.keys() == kernel.config.keys():
            lean = lean.model_copy(update={"config": config_words(changed)})
        shown.append(lean)
    return shown


def _chosen(kernels: Sequence[StaticKernel], rows: int) -> list[StaticKernel]:
    """So many of the kernels, in their own order: of the first target those that lack most."""
    targets = [*dict.fromkeys(kernel.target for kernel in kernels)]

    def weight(place: int) -> tuple[float, ...]:
        kernel = kernels[place]
        spilled, full = kernel.spill_bytes or 0, kernel.occupancy
        return targets.index(kernel.target), -spilled, 1.0 if full is None else full

    places = sorted(range(len(kernels)), key=weight)
    return [kernels[place] for place in sorted(places[:rows])]


def _unlike(
    before: StaticPart | None, part: StaticPart, stated: set[tuple[str, str]]
) -> StaticPart:
    """The row without what an earlier one says, nor memory of no bytes.

    Args:
        before: the row above it.
        stated: notes of the rows above, each with its target, where numbers make no difference: a
            row's own fields have them. Those of this row are added.
    """
    changes: dict[str, Any] = {"threads": None}
    for name in ("shared_bytes", "stack_bytes", "spill_bytes"):
        changes[name] = getattr(part, name) or None
    changes["kernel"] = short_name(part.kernel or "") or None
    if before is not None and part.kernel == before.kernel:
        changes["kernel"] = None
    for name in ("config", "launched", "mix"):
        if before is not None and getattr(part, name) == getattr(before, name):
            changes[name] = None
    kinds = {note: (part.target, _DIGITS.sub("", note)) for note in part.notes}
    changes["notes"] = [note for note in part.notes if kinds[note] not in stated]
    stated.update(kinds.values())
    return part.model_copy(update=changes)


def short_name(kernel: str) -> str:
    """A kernel's name without C++'s types of its result and parameters."""
    return kernel.partition("(")[0].removeprefix("void ")


def launched_words(kernel: StaticKernel, axes: Mapping[str, Axes]) -> str | None:
    """A kernel's grids by workload, e.g. '8x4 on n=64; 16x4 on n=128'; None where none is known."""
    parts = []
    for uuid, grids in kernel.grids.items():
        words = " and ".join("x".join(map(str, _trimmed(grid))) for grid in grids)
        parts.append(f"{words} on {axes_words(axes[uuid]) if uuid in axes else uuid}")
    left = len(parts) - LAUNCHES_SHOWN
    shown = "; ".join(parts[:LAUNCHES_SHOWN]) + (f"; {left} more" if left > 0 else "")
    return shown or None


def _trimmed(grid: Sequence[int]) -> Sequence[int]:
    """The grid without the axes at its end that have one program."""
    used = [axis for axis, programs in enumerate(grid) if programs != 1]
    return grid[: used[-1] + 1] if used else grid[:1]


def config_words(config: Mapping[str, Any]) -> str:
    """A kernel's constants and launch options, e.g. 'BLOCK=64, num_warps=4'."""
    words = ", ".join(f"{name}={value}" for name, value in config.items())
    return shorten(words, CONFIG_CHARACTERS)


def mix_words(instructions: Mapping[str, int]) -> str:
    """The instructions that decide speed: tensor cores, widths of global accesses, local memory."""
    if not instructions.get("total"):
        return ""
    tensor = [f"{instructions[k]} {word}" for k, word in _TENSOR.items() if instructions.get(k)]
    parts = tensor or ["no tensor cores"]
    for name, one, several in (
        ("load_global", "load", "loads"),
        ("async_copy", "async copy", "async copies"),
        ("store_global", "store", "stores"),
    ):
        if instructions.get(name):
            wide = instructions.get(f"{name}_128", 0) + instructions.get(f"{name}_256", 0)
            parts.append(f"{_number(instructions[name], one, several)} ({wide} of 16 B)")
    for name, one, several in (
        ("bulk_copy", "TMA copy", "TMA copies"),
        ("atomic", "atomic", "atomics"),
        ("local", "local access", "local accesses"),
    ):
        if instructions.get(name):
            parts.append(_number(instructions[name], one, several))
    parts.append(f"{instructions['total']} in all")
    return ", ".join(parts)


def _number(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def static_note(
    check: StaticCheck | None,
    rows: int = MOST_KERNELS,
    *,
    listed: bool = True,
    reason_characters: int = 4_000,
    said: str = "",
) -> str | None:
    """How the check ended, and what it could not show; nothing where all kernels were built.

    Args:
        rows: of kernels that are shown.
        listed: whether any kernels are shown.
        reason_characters: of what could not be shown.
        said: of the evaluation's failure; what a compiler said is not told again where it is there.
    """
    if check is None:
        return None
    reason = shorten(check.reason or "", reason_characters)
    alike: dict[str, list[str]] = {}
    for target, words in check.failures.items():
        if (first := _first_line(words)) not in said:
            alike.setdefault(first, []).append(target)
    failed = "; ".join(f"{' and '.join(targets)}: {words}" for words, targets in alike.items())
    left = showing(
        min(len(check.kernels), rows),
        len(check.kernels),
        "detail='detailed' shows more, read_report(uri=evaluation_uri, section='static') all.",
    )
    ended = f"Compile-only check {check.status}{f': {reason}' if reason else '.'}"
    if check.failures and not failed and not reason:
        ended = ""  # the failure says all of it
    if check.status == "built" and check.kernels:
        ended = reason  # what was built is listed
    return (
        lines(
            ended,
            f"Did not compile for {failed}" if failed else None,
            left if listed else None,
        )
        or None
    )


def _first_line(words: str) -> str:
    return shorten(words.strip().partition("\n")[0], 200)


def build_words(check: StaticCheck | None) -> str | None:
    """One line on the build for the first target, which need not be here; None where none is known.

    The kernel that takes the most registers stands for the others.
    """
    if check is None or check.status == "unavailable":
        return None
    if check.failures:
        target, words = next(iter(check.failures.items()))
        return f"It does not build for {target}: {_first_line(words)}"
    if not check.kernels:
        return None
    first = check.kernels[0].target
    kernels = [kernel for kernel in check.kernels if kernel.target == first]
    heaviest = max(kernels, key=lambda kernel: kernel.registers or 0)
    names = len({kernel.name for kernel in kernels})
    among = f", of {names} kernels the one with the most registers" if names > 1 else ""
    figures = ", ".join(_figures(heaviest))
    name = short_name(heaviest.name)[:60]
    words = f"Built for {_devices_of(first)}: {name}{among}: {figures}."
    return " ".join(filter(None, [words, empty_words(kernels)]))


def _devices_words(check: StaticCheck) -> str | None:
    """For which devices all was built, and which kernels hold no code; None where any was not."""
    if check.status != "built" or check.failures or not check.kernels:
        return None
    targets = dict.fromkeys(kernel.target for kernel in check.kernels)
    words = f"Built for {' and '.join(map(_devices_of, targets))}."
    return " ".join(filter(None, [words, empty_words(check.kernels)]))


def _devices_of(target: str) -> str:
    """The devices that run what was built for a target: whichever of them was asked for."""
    known = shipped_hardware()
    devices = [name for name in known if meant(target, (name,))]
    return f"{', '.join(devices)} ({target})" if devices else target


def empty_words(kernels: Sequence[StaticKernel]) -> str | None:
    """The kernels that hold no code: it was left out for their architecture."""
    empty = [k for k in kernels if 0 < k.instructions.get("total", 0) <= EMPTY]
    named = dict.fromkeys(f"{short_name(k.name).partition('<')[0]} ({k.target})" for k in empty)
    names = ", ".join([*named][:4])
    return (
        f"EMPTY (it writes nothing, or is left out by the preprocessor): {names}."
        if names
        else None
    )


def static_words(
    check: StaticCheck | None,
    axes: Mapping[str, Axes] | None = None,
    *,
    rows_too: bool = True,
    said: str = "",
) -> str | None:
    """The check as lines of a summary.

    Args:
        axes: of each workload that it was compiled as called on, by uuid.
        rows_too: whether each kernel of each target has its line; else fields beside it list them.
        said: of the evaluation's failure, which is not told again.
    """
    if check is None:
        return None
    if rows_too:
        alike = Counter((kernel.name, kernel.target) for kernel in check.kernels)
        rows = [
            _row(kernel, tuned=alike[kernel.name, kernel.target] > 1)
            for kernel in check.kernels[:SUMMARY_ROWS]
        ]
        more = len(check.kernels) - SUMMARY_ROWS
        rows += [empty] if (empty := empty_words(check.kernels)) else []
        rows += [f"… {more} more in static and in the record"] if more > 0 else []
    else:
        repeated = any(_first_line(words) in said for words in check.failures.values())
        built = None if repeated else _devices_words(check) or build_words(check)
        rows = [built] if built else []
    if rows and axes:
        called = {uuid for kernel in check.kernels for uuid in kernel.grids} or set(axes)
        shown = [axes_words(sizes) for uuid, sizes in axes.items() if uuid in called]
        words = ", ".join(shown[:LAUNCHES_SHOWN]) + (", …" if len(shown) > LAUNCHES_SHOWN else "")
        if not rows_too:
            words = counted(len(shown), "workload")
        rows.insert(0, f"Compiled as called on {words}; other shapes may differ.")
    if rows_too and check.status != "failed" and (check.reason or not rows):
        rows.append(f"Compiling: {check.status}. {check.reason or ''}".rstrip())
    return "\n".join(rows) or None


def _row(kernel: StaticKernel, *, tuned: bool) -> str:
    parts = [
        *([f"({config_words(kernel.config)})"] if tuned else []),
        *_figures(kernel),
        *filter(None, [mix_words(kernel.instructions)]),
    ]
    return f"{kernel.name[:60]} {kernel.target}: {', '.join(parts)}"


def _figures(kernel: StaticKernel) -> list[str]:
    """What a kernel takes, in words."""
    parts = [
        None if kernel.registers is None else f"{kernel.registers} registers",
        None if kernel.shared_bytes is None else f"{kernel.shared_bytes} B shared",
        f"{kernel.spill_bytes} B spilled" if kernel.spill_bytes else None,
        None
        if kernel.occupancy is None
        else f"occupancy {kernel.occupancy:.0%} ({kernel.occupancy_limit})",
    ]
    return [part for part in parts if part]
