"""Tensors are lent as those of a device, and are otherwise what torch itself says of them."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import torch

from kernel_harness.tools.candidate.compile_only import device_tensors
from kernel_harness.tools.candidate.compile_only.device_tensors import Lent

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.int64]
DTYPES += [torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]


def read(capsule: Any) -> dict[str, Any]:
    """What a capsule says, its shape and strides as lists."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    managed = device_tensors._Managed.from_address(pointer(capsule, b"dltensor"))
    names = ("data", "device_id", "ndim", "code", "bits", "lanes", "byte_offset", "device_type")
    found = {name: getattr(managed, name) for name in names}
    return found | {n: getattr(managed, n)[: managed.ndim] for n in ("shape", "strides")}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_is_lent_is_what_torch_says_but_for_the_device(dtype):
    tensor = torch.zeros(6, 4, dtype=dtype)[1:, :3]
    own, lent = read(tensor.__dlpack__()), read(Lent(tensor).__dlpack__())
    assert (own.pop("device_type"), lent.pop("device_type")) == (1, 2)
    assert lent == own


def test_a_tensor_without_axes_can_be_lent():
    lent = read(Lent(torch.tensor(3.0)).__dlpack__())
    assert (lent["ndim"], lent["shape"]) == (0, [])
