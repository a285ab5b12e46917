"""Torch's settings are after an operator's code as they were before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.numerics.torch_settings import SETTINGS, settings_kept

MATMUL: Any = torch.backends.cuda.matmul
CUDNN: Any = torch.backends.cudnn
CHANGES = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "gradients": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "precision in two ways": lambda: setattr(MATMUL, "fp32_precision", "tf32"),
    "precision everywhere": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "TF32": lambda: setattr(MATMUL, "allow_tf32", True),
    "TF32 of convolutions": lambda: setattr(CUDNN, "allow_tf32", True),
    "determinism": lambda: torch.use_deterministic_algorithms(True),
    "flash attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
}


@pytest.fixture(autouse=True)
def as_in_the_judge() -> Iterator[None]:
    before = MATMUL.allow_tf32, CUDNN.allow_tf32
    for backend in (MATMUL, CUDNN):
        backend.allow_tf32 = False
    yield
    for backend, value in zip((MATMUL, CUDNN), before, strict=True):
        backend.allow_tf32 = value


def now() -> list[object]:
    return [setting.read() for setting in SETTINGS]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_set_inside_is_set_back(change) -> None:
    before = now()
    with settings_kept():
        change()
    assert now() == before


def test_what_raises_inside_is_set_back_too() -> None:
    before = now()
    with pytest.raises(ValueError), settings_kept(torch.float64):
        assert torch.tensor(1.0).dtype is torch.float64
        raise ValueError
    assert now() == before
