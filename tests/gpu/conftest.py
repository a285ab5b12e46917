"""Without an NVIDIA GPU nothing here runs; what is skipped says so by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    """Needed by every test of this folder."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU that torch can use")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Where the evaluations of a module run, all in one: its judge belongs to it."""
    made = asyncio.new_event_loop()
    yield made
    made.close()
