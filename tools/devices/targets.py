"""Targets by the names that people use: devices ('B200', 'NVIDIA H200') and architectures.

Architectures are named without their feature suffix: 'sm_100' stands for 'sm_100a', '100a' and
'10.0'. Pure but for the table of devices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import unknown_name
from .hardware import Hardware, architecture_of, architectures, load_hardware, shipped_hardware


def targets_named(names: Sequence[str], path: Path) -> tuple[str, ...]:
    """The names of devices as the table writes them, and of architectures as 'sm_100'.

    Args:
        names: in any case; the table is not read when there are none.

    Raises:
        RequestError: for what is neither, naming what there is.
    """
    known = load_hardware(path) if names else {}
    found = [_device(name, known) or _architecture(name) for name in names]
    for name, target in zip(names, found, strict=True):
        if target is None:
            raise unknown_name("target", name, [*known, *architectures()])
    return tuple(target for target in found if target is not None)


def devices_of(targets: Sequence[str], path: Path) -> list[str]:
    """The devices among targets, and for an architecture every device of it."""
    known = load_hardware(path) if targets else {}
    found: dict[str, None] = {}
    for target in targets:
        of_it = [name for name, one in known.items() if _architecture(one.arch) == target]
        found |= dict.fromkeys([target] if target in known else of_it)
    return list(found)


def meant(name: str, among: Iterable[str]) -> str | None:
    """The first of some devices that a name of a device or an architecture means; None: none."""
    known = shipped_hardware()
    for one in among:
        arch = known[one].arch if one in known else ""
        if _plain(one) == _plain(name) or (arch and _architecture(arch) == _architecture(name)):
            return one
    return None


def architectures_of(names: Iterable[str]) -> list[str]:
    """The architectures that names of devices and architectures mean; what is neither is left out.

    A name may be that of a family, as 'H100'; 'cuda' and other general words mean none.
    """
    known = shipped_hardware()
    found: dict[str, None] = {}
    for name in names:
        device = _device(name, known) or _family(name, known)
        architecture = _architecture(known[device].arch if device else name)
        if architecture is not None:
            found[architecture] = None
    return list(found)


def compiled_targets(
    asked: Sequence[str], hardware: Sequence[str], default: Sequence[str]
) -> list[str]:
    """The architectures to compile a candidate for.

    Args:
        asked: devices and architectures that the caller named; empty: `default`.
        hardware: what the candidate says that it is for; what it names is all that counts.
    """
    due = architectures_of(asked or default) or list(default)
    own = architectures_of(hardware)
    if not own:
        return due
    return [target for target in due if target in own] or own


def suits(hardware: Iterable[str], device: str | None) -> bool:
    """Whether a program for some hardware is for a device, too; yes where neither is told.

    Args:
        hardware: what the program says that it was written for.
        device: its name or its compute capability, as 'NVIDIA H200' or '9.0'.
    """
    due, here = architectures_of(hardware), architectures_of([device or ""])
    return not due or not here or here[0] in due


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", name.strip().casefold()).removeprefix("nvidia-")


def _device(name: str, known: Mapping[str, Hardware]) -> str | None:
    return next((written for written in known if _plain(written) == _plain(name)), None)


def _family(name: str, known: Mapping[str, Hardware]) -> str | None:
    return next((one for one in known if _plain(one).partition("-")[0] == _plain(name)), None)


def _architecture(name: str) -> str | None:
    found = architecture_of(re.sub(r"^sm[-_ ]?", "sm_", name.strip().casefold()))
    return found.name if found else None
