"""What is known of a device: figures measured on it, or those of the table; measured where it is.

Figures are kept by device beside the archive, and measured again only where the driver or the
harness has changed; `calibrate` measures everything again. Without the device what is known is
told with its sources, and nothing is made up.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from ..devices.calibration import (
    calibration_file,
    calibration_folder,
    read_calibration,
    with_calibration,
)
from ..devices.gpus import nvidia_devices
from ..devices.hardware import Hardware, Rate, load_hardware
from ..devices.measurements import (
    MeasuredPart,
    Microbenchmark,
    made_with,
    parts_of,
    shipped_document,
    shipped_figures,
)
from ..devices.targets import devices_of, targets_named
from ..progress import OnProgress
from ..settings import Settings
from .service import ProfilingService

NO_DEVICE = "there is no GPU here to measure"
SHIPPED = "Measured on another machine's device; clocks were not locked."


@dataclass(frozen=True)
class KnownRate:
    """One figure that floors are computed from: the data sheet's, and the one that is known.

    Attributes:
        known: measured, fitted or estimated, as `source` says; None where only the data sheet is.
    """

    name: str
    unit: str
    nominal: float | None
    known: float | None
    source: str


@dataclass(frozen=True)
class DeviceFigures:
    """What is known of one device.

    Attributes:
        data_sheet: the source of what is nominal.
        parts: what was measured on it.
        measured_now: those of the parts that this call measured.
        unmeasured: why what was asked for has no figure, by microbenchmark.
        notes: what is doubtful of them.
    """

    device: str
    file: Path | None = None
    driver: str = ""
    harness: str = ""
    data_sheet: str = ""
    rates: list[KnownRate] = field(default_factory=list)
    parts: Mapping[Microbenchmark, MeasuredPart] = field(default_factory=dict)
    measured_now: list[Microbenchmark] = field(default_factory=list)
    unmeasured: Mapping[Microbenchmark, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class FiguresService:
    """Knows devices, and measures the one that is here.

    Args:
        profiling: holds the device while it is measured.
    """

    def __init__(self, settings: Settings, profiling: ProfilingService) -> None:
        self._settings = settings
        self._profiling = profiling

    async def figures(
        self,
        progress: OnProgress,
        *,
        what: Sequence[Microbenchmark] = (),
        gpu: str | None = None,
    ) -> list[DeviceFigures]:
        """What is known of a device, after measuring what is not known of the one that is here.

        Args:
            what: microbenchmarks; empty: all.
            gpu: a device of the table; None: the GPU that is here, else those of the setting
                `targets`.

        Raises:
            RequestError: when there is no such device in the table.
            InfrastructureError: when measuring failed.
        """
        asked = list(what) or list(Microbenchmark)
        here = self._here()
        names = self._names(gpu)
        entry = self._entry(here[0]) if here else None
        if here is None or (gpu is not None and (entry is None or entry.name not in names)):
            reason = NO_DEVICE if here is None else f"the GPU here is {here[0]}"
            return [await anyio.to_thread.run_sync(self._kept, n, asked, reason) for n in names]
        path = calibration_file(self._settings, here[0])
        before = await anyio.to_thread.run_sync(read_calibration, path)
        known = parts_of(before) if before and made_with(before) == here else {}
        due = [one for one in asked if one not in known]
        if due:
            path = await self._profiling.calibrate(progress, due)
        return [await anyio.to_thread.run_sync(self._of_file, path, asked, due, "")]

    def _here(self) -> tuple[str, str, str] | None:
        """Name, driver and version of the harness that a measurement now would be made with."""
        if self._profiling.device == "cpu":
            return None
        number = int(self._profiling.device.partition(":")[2] or 0)
        gpus = nvidia_devices()
        if number >= len(gpus):
            return None
        version = importlib.metadata.version("kernel-harness")
        return gpus[number].name, gpus[number].driver or "unknown", version

    def _table(self) -> Mapping[str, Hardware]:
        return load_hardware(self._settings.kernels_dir / "hardware.json")

    def _entry(self, name: str) -> Hardware | None:
        """The device of the table that a driver calls so."""
        plain = name.removeprefix("NVIDIA ").strip()
        return next((one for one in self._table().values() if plain in one.identity.names), None)

    def _names(self, gpu: str | None) -> list[str]:
        path = self._settings.kernels_dir / "hardware.json"
        asked = [gpu] if gpu is not None else list(self._settings.targets)
        return devices_of(targets_named(asked, path), path)

    def _kept(self, name: str, asked: Sequence[Microbenchmark], reason: str) -> DeviceFigures:
        """What is known of a device that is not here."""
        for path in sorted(calibration_folder(self._settings).glob("*.json")):
            document = read_calibration(path)
            entry = self._entry(made_with(document)[0]) if document is not None else None
            if entry is not None and entry.name == name:
                return self._of_file(path, asked, [], reason)
        known, document = self._table()[name], shipped_document(name)
        _, driver, harness = made_with(document)
        parts = {what: part for what, part in parts_of(document).items() if what in asked}
        return DeviceFigures(
            name,
            shipped_figures() if parts else None,
            driver if parts else "",
            harness if parts else "",
            data_sheet=known.memory_bytes_per_s.source,
            rates=_rates(known),
            parts=parts,
            unmeasured={what: reason for what in asked if what not in parts},
            notes=[SHIPPED] if parts else [],
        )

    def _of_file(
        self,
        path: Path,
        asked: Sequence[Microbenchmark],
        measured_now: Sequence[Microbenchmark],
        reason: str,
    ) -> DeviceFigures:
        document: dict[str, Any] = read_calibration(path) or {}
        name, driver, harness = made_with(document)
        entry = self._entry(name)
        parts = {what: part for what, part in parts_of(document).items() if what in asked}
        return DeviceFigures(
            device=entry.name if entry else name,
            file=path,
            driver=driver,
            harness=harness,
            data_sheet=entry.memory_bytes_per_s.source if entry else "",
            rates=_rates(with_calibration(entry, path.parent)) if entry else [],
            parts=parts,
            measured_now=list(measured_now),
            unmeasured={what: reason for what in asked if what not in parts and reason},
            notes=[str(note) for note in document.get("notes", [])],
        )


def _rates(device: Hardware) -> list[KnownRate]:
    """The figures of the table beside those that are known otherwise."""
    seen = device.calibrated
    rows: list[tuple[str, Rate | None, Rate | None, float, str]] = [
        ("memory", device.memory_bytes_per_s, seen.memory_bytes_per_s, 1e12, "TB/s"),
        ("L2 cache", device.l2_bytes, None, 1 << 20, "MiB"),
        ("launch", None, seen.launch_us, 1.0, "µs"),
        ("each further launch", None, seen.dependent_kernel_us, 1.0, "µs"),
        ("dependent load from memory", None, seen.memory_latency_us, 1.0, "µs"),
    ]
    rows += [
        (name, nominal, seen.flops.get(name), 1e12, "TFLOP/s")
        for name, nominal in device.flops.items()
    ]
    return [
        KnownRate(
            name,
            unit,
            nominal.value / scale if nominal else None,
            known.value / scale if known else None,
            (known or nominal or _NO_RATE).source,
        )
        for name, nominal, known, scale, unit in rows
        if nominal or known
    ]


_NO_RATE = Rate(value=1.0, source="unknown")
