"""The latencies that were measured last: what a sample is drawn and workloads are chosen by."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from ...schema.evaluation import Evaluation, Status
from ..plan import WHOLE_SETS
from .record_store import replace_file


class LastLatencies:
    """Latencies that were measured last, by operator.

    Args:
        folder: of the files, made when something is noted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._noting = threading.Lock()

    def get(self, definition: str) -> dict[str, float]:
        """Workload uuid to the last measured cold latency in microseconds, of any program each."""
        return self._read(f"{definition}.json")

    def of_one_program(self, definition: str) -> dict[str, float]:
        """Those of the last evaluation that timed every workload; empty before there is one.

        A sample is drawn and weighted by these: those of several programs would draw other
        workloads after every evaluation, with weights that compare a slow program's time on one
        with a fast one's on another.
        """
        return self._read(f"{definition}.whole.json")

    def note(self, evaluation: Evaluation) -> None:
        """Merges a passed evaluation, timed on the inputs that rank."""
        measured = {
            w.uuid: w.latency_us
            for w in evaluation.workloads
            if w.status is Status.PASSED and w.latency_us is not None
        }
        if evaluation.status is not Status.PASSED or not measured or evaluation.input_family:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = evaluation.definition
        with self._noting:
            self._write(f"{name}.json", self.get(name) | measured)
        if evaluation.scope in WHOLE_SETS and len(measured) == len(evaluation.workloads):
            self._write(f"{name}.whole.json", measured)

    def _read(self, name: str) -> dict[str, float]:
        try:
            return {k: float(v) for k, v in json.loads((self._folder / name).read_text()).items()}
        except (OSError, ValueError):
            return {}

    def _write(self, name: str, latencies: dict[str, float]) -> None:
        replace_file(self._folder / name, json.dumps(latencies))
