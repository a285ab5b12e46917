"""A model's program is ranked through a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from kernel_harness.tools.model_level.extraction.operator_extraction import ranked_row

from ..calls import good, refused

PROGRAM = """
import sys
import torch
from torch import nn


class Norm(nn.Module):
    def forward(self, x):
        # Few steps that take long: a first product of matrices is no quick one either.
        return x * torch.full((1_000_000,), 2.0).square().mean().rsqrt()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.down = Norm(), nn.Linear(8, 8)

    def forward(self, x):
        return self.down(self.norm(x))


assert sys.stdin.read() == ""
model = Model()
with torch.no_grad():
    for _ in range(int(sys.argv[1])):
        model(torch.randn(64, 8))
"""
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.process,
    # What a program's run gives is the same in each era, and takes seconds.
    pytest.mark.parametrize("connect", ["auto"], indirect=True),
]


@pytest.fixture
def program(harness: Any, tmp_path: Path, warm_python: str) -> list[str]:
    """A program of 12 steps, whose device is free."""
    (tmp_path / "bench.py").write_text(PROGRAM, "utf-8")

    @asynccontextmanager
    async def reserved(device: str, progress: Any) -> AsyncIterator[None]:
        yield

    harness.pool = SimpleNamespace(reserved=reserved)
    harness.device = "cpu"
    return [warm_python, "bench.py", "12"]


async def test_a_program_is_ranked_without_the_servers_input(
    connect: Any, program: list[str], tmp_path: Path
) -> None:
    async with connect() as client:
        found = await good(client, "rank_model", program=program, folder=str(tmp_path))
        again = await good(client, "rank_model", program=program, folder=str(tmp_path), steps=2)
    assert found["status"] == "DONE" and found["step"]["us"] > 0
    assert found["operators"][0]["name"] == "__main__.Norm.forward"
    assert 0 < found["operators"][0]["share"] <= 1 and "launch_bound" not in found["step"]
    row = ranked_row(Path(found["ranking_path"]), 1)
    assert row.name == "__main__.Norm.forward"
    assert f"extract-operator --ranking {found['ranking_path']} --row ROW" in found["summary"]
    assert found["summary"].endswith("bench.py 12")
    assert (
        json.loads(await anyio.Path(again["ranking_path"]).read_bytes())["observed"][
            "profiled_steps"
        ]
        == 2
    )


async def test_what_cannot_be_ranked_is_refused_with_the_programs_last_words(
    connect: Any, program: list[str], tmp_path: Path
) -> None:
    async with connect() as client:
        few = await refused(client, "rank_model", program=[*program[:2], "3"], folder=str(tmp_path))
        fails = await refused(
            client, "rank_model", program=[*program[:2], "three"], folder=str(tmp_path)
        )
        none = await refused(client, "rank_model", program=["sh", "-c"])
        nowhere = await refused(client, "rank_model", program=program, folder=str(tmp_path / "no"))
    assert "3 steps" in few
    assert "ended with status 1" in fails and "invalid literal for int" in fails
    assert "No program of Python's" in none
    assert f"{tmp_path / 'no'} cannot be used" in nowhere


async def test_a_slow_program_answers_running_and_is_waited_for_by_the_same_call(
    connect: Any, program: list[str], tmp_path: Path
) -> None:
    asked = {"program": program, "folder": str(tmp_path)}
    async with connect() as client:
        first = await good(client, "rank_model", **asked, wait_s=0)
        assert first["status"] == "RUNNING" and "same call" in first["summary"]
        assert (await good(client, "rank_model", **asked))["status"] == "DONE"
