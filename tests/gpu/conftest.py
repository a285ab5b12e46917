"""Without an NVIDIA GPU nothing here runs; what is skipped says so by name."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    """Needed by every test of this folder."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU that torch can use")
