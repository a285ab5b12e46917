"""Torch's settings of the whole process, kept as they are whatever an operator's code sets.

One judge serves all operators, one after another: that a file makes float64 the default dtype, or
lets products be rounded to TF32, is for itself alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

CPU = torch.device("cpu")
UNREADABLE = object()
"""Where two ways of setting one thing contradict one another, torch refuses to say what is set."""


class _Setting(NamedTuple):
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _attribute(owner: Any, name: str) -> _Setting:
    return _Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _autocast(device: str) -> _Setting:
    return _Setting(
        lambda: torch.is_autocast_enabled(device),
        lambda value: torch.set_autocast_enabled(device, value),
    )


def _flushes_denormals() -> bool:
    """Whether operations of this thread on the CPU take the smallest numbers for zero."""
    return not torch.full((), 1e-39, dtype=torch.float32, device="cpu").mul(1).item()


_MATMUL, _CUDNN, _SDP = torch.backends.cuda.matmul, torch.backends.cudnn, torch.backends.cuda
SETTINGS: Sequence[_Setting] = (
    _Setting(torch.get_default_dtype, torch.set_default_dtype),
    # The newer ways first: what they contradict is right again once the older are set as they were.
    _attribute(torch.backends, "fp32_precision"),
    _attribute(_CUDNN, "fp32_precision"),
    _attribute(getattr(_CUDNN, "conv", None), "fp32_precision"),
    _attribute(getattr(_CUDNN, "rnn", None), "fp32_precision"),
    _attribute(_MATMUL, "fp32_precision"),
    _Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _attribute(_MATMUL, "allow_tf32"),
    _attribute(_CUDNN, "allow_tf32"),
    _attribute(_MATMUL, "allow_fp16_reduced_precision_reduction"),
    _attribute(_MATMUL, "allow_bf16_reduced_precision_reduction"),
    _attribute(_MATMUL, "allow_fp16_accumulation"),
    _attribute(_CUDNN, "enabled"),
    _attribute(_CUDNN, "benchmark"),
    _attribute(_CUDNN, "deterministic"),
    _Setting(_SDP.flash_sdp_enabled, _SDP.enable_flash_sdp),
    _Setting(_SDP.mem_efficient_sdp_enabled, _SDP.enable_mem_efficient_sdp),
    _Setting(_SDP.math_sdp_enabled, _SDP.enable_math_sdp),
    _Setting(_SDP.cudnn_sdp_enabled, _SDP.enable_cudnn_sdp),
    _Setting(_SDP.fp16_bf16_reduction_math_sdp_allowed, _SDP.allow_fp16_bf16_reduction_math_sdp),
    _autocast("cuda"),
    _autocast("cpu"),
    _attribute(torch.backends.mkldnn, "enabled"),
    _Setting(_flushes_denormals, torch.set_flush_denormal),
    _attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    _Setting(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    _Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting(torch.get_num_threads, torch.set_num_threads),
)


@contextlib.contextmanager
def settings_kept(dtype: torch.dtype | None = None) -> Iterator[None]:
    """Runs what is inside, and sets everything of `SETTINGS` and the default device as before.

    Args:
        dtype: the default one inside, where another is meant.
    """
    # What is made without a device tells the default one sooner than torch's own function does.
    before, device = [_read(setting) for setting in SETTINGS], torch.empty(0).device
    try:
        if dtype is not None:
            torch.set_default_dtype(dtype)
        yield
    finally:
        if [_read(setting) for setting in SETTINGS] != before:
            for setting, value in zip(SETTINGS, before, strict=True):
                if value is not UNREADABLE and _read(setting) != value:
                    setting.write(value)
        # A device that is set, the CPU too, is a mode through which every later call of torch goes.
        torch.set_default_device(None if device == CPU else device)


def _read(setting: _Setting) -> Any:
    try:
        return setting.read()
    except (RuntimeError, AttributeError):
        return UNREADABLE
