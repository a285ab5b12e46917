"""README's transcript beside what the demo prints: its words are the same, whatever the figures."""

from __future__ import annotations

import importlib.util
import io
import re
from functools import partial
from pathlib import Path
from typing import Any

from mcp import Client
from rich.console import Console

from .fences import ROOT, blocks

DEMO = ROOT / "scripts" / "demo.py"
QUICK = "torch_vectorised"
"""A program that is judged in no time without a GPU; the demo's own are of Triton."""


def require_transcript(printed: str) -> None:
    """Fails the test where the README shows what was not printed."""
    words = _words(printed)
    shown = next(b.body for b in blocks(ROOT / "README.md") if "→ evaluate_kernel" in b.body)
    for line in shown.splitlines():
        for part in line.split("…"):
            assert _words(part) in words, part


async def printed_by_trials(client: Client, data_dir: Path) -> str:
    """What the demo prints of its three trials, of quick programs and its own mistake."""
    demo = _demo()
    printed = io.StringIO()
    demo.console = Console(file=printed, width=9999)

    class Tour(demo.Tour):
        async def trial(self, name: str, start_from: str, hypothesis: str, **more: Any) -> str:
            if start_from == QUICK:
                more["edit"] = partial(_renamed, name)
            return await super().trial(name, start_from, hypothesis, **more)

    await demo.trials(Tour(client, "smoke"), QUICK, QUICK)
    demo.show_history(data_dir)
    return printed.getvalue()


def _renamed(name: str, workspace: Path) -> None:
    """Makes another program of the quick one."""
    file = workspace / "kernel.py"
    file.write_text(f"{file.read_text('utf-8')}\nNAME = {name!r}\n", "utf-8")


def _demo() -> Any:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec and spec.loader
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    return demo


def _words(text: str) -> str:
    """The words alone: numbers, ids, line breaks and which output is worst differ by run."""
    number = r"[-\d.]*\d[-\d.]*(?:e-?\d+)?"
    varying = rf"\b[0-9a-f]{{7,12}}\b|{number}|\bsmoke\b|\bsample\b|\b(?:output|new_state)\b"
    text = re.sub(r"\[#(, #)*\]", "[#]", re.sub(varying, "#", text))
    return " ".join(text.split())
