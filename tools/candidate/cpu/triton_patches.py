"""Two mends of Triton's interpreter, without which honest bfloat16 kernels fail on a laptop.

It keeps bfloat16 as raw 16-bit integers. Its matrix product multiplies those integers, and its cast
to bfloat16 truncates where every GPU rounds to nearest even. Both are replaced, in the interpreting
zygote only, by what the hardware does. Seen in Triton 3.6 and 3.9; a version that no longer has the
functions patched here is left as it is.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

QUIET_NAN = np.uint16(0x7FC0)


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as float32 values."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def rounded(values: np.ndarray) -> np.ndarray:
    """float32 values as bfloat16 bits, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    carried = (bits.astype(np.uint64) + np.uint64(0x7FFF) + odd) >> np.uint64(16)
    return np.where(np.isnan(values), QUIET_NAN, carried.astype(np.uint16))


def mend_interpreter() -> bool:
    """Replaces the two functions; False where this Triton has none to replace."""
    try:
        interpreter: Any = importlib.import_module("triton.runtime.interpreter")
        language: Any = importlib.import_module("triton.language")
        builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
        dot, cast = builder.create_dot, builder.cast_impl
    except (ImportError, AttributeError):
        return False
    bfloat16, float32 = language.bfloat16, language.float32

    def as_float32(tensor: Any) -> Any:
        if tensor.dtype.scalar != bfloat16:
            return tensor
        return handle(widened(tensor.data), float32)

    def create_dot(self: Any, a: Any, b: Any, d: Any, *rest: Any, **options: Any) -> Any:
        return dot(self, as_float32(a), as_float32(b), d, *rest, **options)

    def cast_impl(self: Any, src: Any, dst_type: Any) -> Any:
        source, target = src.dtype.scalar, dst_type.scalar
        if source == bfloat16 and target == float32:
            return handle(widened(src.data), float32)
        if source == float32 and target == bfloat16:
            return handle(rounded(src.data), bfloat16)
        return cast(self, src, dst_type)

    builder.create_dot, builder.cast_impl = create_dot, cast_impl
    return True
