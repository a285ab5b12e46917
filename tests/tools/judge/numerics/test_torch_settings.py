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
    "the device that is the default": lambda: torch.set_default_device("cpu"),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "gradients": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "precision in two ways": lambda: setattr(MATMUL, "fp32_precision", "tf32"),
    "precision everywhere": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "TF32": lambda: setattr(MATMUL, "allow_tf32", True),
    "TF32 of convolutions": lambda: setattr(CUDNN, "allow_tf32", True),
    "determinism": lambda: torch.use_deterministic_algorithms(True),
    "flash attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "cuDNN's attention": lambda: torch.backends.cuda.enable_cudnn_sdp(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "autocast on a GPU": lambda: torch.set_autocast_enabled("cuda", True),
    "sums of halves": lambda: setattr(MATMUL, "allow_fp16_accumulation", True),
    "the smallest numbers": lambda: torch.set_flush_denormal(True),
    "oneDNN": lambda: setattr(torch.backends.mkldnn, "enabled", False),
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
    """What is set, and what follows from it, read by other ways than those that set it back."""
    values = torch.full((4, 4), 1 / 3)
    return [
        *(setting.read() for setting in SETTINGS),
        torch.get_default_device(),
        torch.overrides.has_torch_function((values,)),
        (values @ values).dtype,
        (torch.full((), 1e-39) * 1).item(),
        torch.is_autocast_enabled("cuda"),
        torch.backends.cuda.cudnn_sdp_enabled(),
        MATMUL.allow_fp16_accumulation,
        torch.backends.mkldnn.enabled,  # pyright: ignore[reportAttributeAccessIssue]
    ]


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
