"""Gives tensors of the host to a library as tensors of a CUDA device, by DLPack.

Only for host code that is called against a stub: nothing on a device may read them.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch

CUDA = 2
_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "bool": 6}
_SMALL_FLOATS = {
    torch.float8_e4m3fn: 10,
    torch.float8_e4m3fnuz: 11,
    torch.float8_e5m2: 12,
    torch.float8_e5m2fnuz: 13,
}
"""DLPack's codes of kinds of numbers."""


class _Managed(ctypes.Structure):
    """DLPack's `DLManagedTensor`; nobody has to give its memory back."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


class Lent:
    """A tensor as if it lay on a device; it must outlive whatever borrows it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        extents = ctypes.c_int64 * max(tensor.dim(), 1)
        code, bits = number_code(tensor.dtype)
        self._kept = tensor, extents(*tensor.shape), extents(*tensor.stride())
        self._managed = _Managed(
            data=tensor.data_ptr(),
            device_type=CUDA,
            device_id=0,
            ndim=tensor.dim(),
            code=code,
            bits=bits,
            lanes=1,
            shape=self._kept[1],
            strides=self._kept[2],
        )
        _LENT.append(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        """A CUDA device, the first."""
        return CUDA, 0

    def __dlpack__(self, **options: Any) -> Any:
        """The capsule that is borrowed."""
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return make(ctypes.addressof(self._managed), b"dltensor", None)


_LENT: list[Lent] = []
"""Never given back: the process that lends ends with its call."""


def number_code(dtype: torch.dtype) -> tuple[int, int]:
    """DLPack's code of a type and its bits.

    Raises:
        KeyError: when DLPack has none.
    """
    bits = 8 * dtype.itemsize
    if dtype in _SMALL_FLOATS:
        return _SMALL_FLOATS[dtype], bits
    return _CODES[str(dtype).removeprefix("torch.").rstrip("0123456789")], bits
