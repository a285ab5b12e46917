"""An agent of its own process: judges, archives and amends through a client until it is killed.

    python -m tests.server.agent_session DATA_FOLDER KERNELS_FOLDER NAME

Everything is real but the judge's verdict. What was acknowledged is printed, a JSON line each.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from kernel_harness.server.app import build_app
from kernel_harness.tools.archive.git import packing
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset

from .calls import good
from .scripted import DEFINITION, ScriptedHarness, passed, wrong

packing.MOST_LOOSE_REFS, packing.LOOK_EVERY = 30, 5
"""So that packing is killed, too."""


def acknowledged(**said: Any) -> None:
    """Prints one thing that the server said it did."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def one_round(client: Client, name: str, start: str) -> str:
    """Opens a workspace, judges, perhaps archives and amends; returns what to begin from next."""
    opened = await good(
        client, "open_workspace", definition=DEFINITION, start_from=start, name=name
    )
    source = Path(opened["workspace"]) / opened["entry_point"].partition("::")[0]
    source.write_text(f"def run(x, weight, y):\n    y.copy_(x)  # {name}\n    v = '{name}'\n")
    verdict = await good(client, "evaluate_kernel", workspace=opened["workspace"], scope="smoke")
    trial = verdict["evaluation_id"]
    assert "In no commit" not in verdict["summary"], verdict["summary"]
    acknowledged(trial=trial, start=start)
    if random.random() < 0.3:
        return trial
    kept = await good(
        client,
        "archive_candidate",
        workspace=opened["workspace"],
        evaluation_id=trial,
        hypothesis=f"{name} is faster",
    )
    candidate = kept["candidate_id"]
    acknowledged(candidate=candidate, trial=trial, parents=kept.get("parents", []))
    await good(client, "amend_candidate", candidate_id=candidate, note=f"seen by {name}")
    acknowledged(note=f"seen by {name}", candidate=candidate)
    return candidate


async def session(data: str, kernels: str, name: str) -> None:
    """Rounds without end, each begun from the last, now and then from the template."""
    settings = Settings(
        data_dir=Path(data), kernels_dir=Path(kernels), device="cpu", warm_ahead=False
    )
    harness = ScriptedHarness(settings, Dataset.load(settings.kernels_dir, ()))
    harness.verdict = lambda asked: (passed if random.random() < 0.7 else wrong)(asked)
    start = "template"
    async with Client(build_app(harness=harness)) as client:
        acknowledged(ready=name)
        for number in itertools.count():
            start = await one_round(client, f"{name}-{number}", start)
            start = "template" if random.random() < 0.1 else start


if __name__ == "__main__":
    anyio.run(session, sys.argv[1], sys.argv[2], sys.argv[3])
