"""The last known latency of each workload, per operator: what regimes and listings go by.

Derived from records, one small file per operator, merged at each timed trial; deleting it loses
nothing that evaluating again does not bring back.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from ..schema.evaluation import Evaluation, Status


class LastLatencies:
    """Reads and merges last latencies.

    Args:
        folder: created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, definition: str) -> dict[str, float]:
        """Workload uuid to the last measured cold latency in microseconds."""
        path = self._folder / f"{definition}.json"
        try:
            return {str(k): float(v) for k, v in json.loads(path.read_text()).items()}
        except (OSError, ValueError):
            return {}

    def note(self, evaluation: Evaluation) -> None:
        """Merges a passed, timed evaluation."""
        measured = {
            w.uuid: w.latency_us
            for w in evaluation.workloads
            if w.status is Status.PASSED and w.latency_us is not None
        }
        if evaluation.status is not Status.PASSED or not measured:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{evaluation.definition}.json"
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.part")
        temporary.write_text(json.dumps(self.get(evaluation.definition) | measured))
        os.replace(temporary, path)
