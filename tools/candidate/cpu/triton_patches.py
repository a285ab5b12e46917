"""Replaces operations that Triton's interpreter computes otherwise than a device does.

It keeps bfloat16 and the float8 types as raw integers, and adds, multiplies, compares, reduces and
converts those integers. Every such operation is computed here in float32 instead and rounded to
nearest even, as GPUs do; values beyond the range of float8 saturate, as Triton's conversions do. A
sum, running ones too, rounds after each addition, of float16 too: NumPy adds in float32 and would
be more exact. Matrix products of float32 see the bits of TF32, where they are asked for or nothing
is said. Programs of a grid run in an order drawn at random, since on a device they have none; those
that may wait for each other run one after another.

Triton has no public means for this: methods of the interpreter are replaced, in the process that
interprets only. Seen in Triton 3.6 and 3.9; a version without these methods is left as it is.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .device_signs import note

QUIET_NAN = np.uint16(0x7FC0)
FLOAT8 = {"fp8e4nv": torch.float8_e4m3fn, "fp8e5": torch.float8_e5m2}
"""Triton's names of the float8 types to torch's."""
TF32_BITS = np.uint32(0xFFFFE000)
"""What of a float32 the units for TF32 read."""
_WAITS = re.compile(r"\bwhile\b")
_SHARES = re.compile(r"\batomic_\w+|\bvolatile\b|\basm\b")
IN_ORDER = "launches programs that may wait for others, and ran in the order of their numbers"


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as float32 values."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def rounded(values: np.ndarray) -> np.ndarray:
    """float32 values as bfloat16 bits, rounded to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    carried = (bits.astype(np.uint64) + np.uint64(0x7FFF) + odd) >> np.uint64(16)
    return np.where(np.isnan(values), QUIET_NAN, carried.astype(np.uint16)).reshape(values.shape)


def as_tf32(values: np.ndarray) -> np.ndarray:
    """float32 values as the units for TF32 read them: their last 13 bits cut off."""
    return (np.ascontiguousarray(values).view(np.uint32) & TF32_BITS).view(np.float32)


def order_of(count: int, draw: random.Random) -> Callable[[int], int]:
    """An order of so many programs, in which the first is never the first, where there are two."""
    steps = [step for step in range(1, min(count, 64)) if math.gcd(step, count) == 1]
    step, first = draw.choice(steps or [1]), draw.randrange(1, max(count, 2))
    return lambda number: (first + number * step) % count


def may_wait(function: Any) -> bool:
    """Whether programs of a kernel may wait for others: it, or what it calls, loops for memory."""
    text = "".join(_sources(function, {}).values())
    return bool(_WAITS.search(text) and _SHARES.search(text))


def _sources(function: Any, found: dict[int, str]) -> dict[int, str]:
    """The text of a kernel and of those that it names."""
    plain = getattr(function, "fn", function)
    if not inspect.isfunction(plain) or id(plain) in found:
        return found
    try:
        found[id(plain)] = inspect.getsource(plain)
    except (OSError, TypeError):
        found[id(plain)] = "while volatile"  # nothing is known of it
    for name in plain.__code__.co_names:
        called = plain.__globals__.get(name)
        if hasattr(called, "rewriter"):
            _sources(called, found)
    return found


@functools.cache
def _float8_values(dtype: torch.dtype) -> np.ndarray:
    return torch.arange(256, dtype=torch.uint8).view(dtype).float().numpy()


def is_small(dtype: Any) -> bool:
    """Whether the interpreter keeps values of a scalar type as raw integers."""
    return dtype.name == "bf16" or dtype.name in FLOAT8


def decoded(data: np.ndarray, dtype: Any) -> np.ndarray:
    """The values of the interpreter's array, as float32."""
    if data.dtype == np.bool_ or data.dtype.kind == "f":
        return data.astype(np.float32)
    return widened(data) if dtype.name == "bf16" else _float8_values(FLOAT8[dtype.name])[data]


def encoded(values: np.ndarray, dtype: Any) -> np.ndarray:
    """The interpreter's array of a small type for float32 values."""
    values = np.asarray(values, dtype=np.float32)
    if dtype.name == "bf16":
        return rounded(values)
    float8 = FLOAT8[dtype.name]
    most = torch.finfo(float8).max
    clipped = torch.from_numpy(np.ascontiguousarray(np.clip(values, -most, most)))
    return clipped.to(float8).view(torch.uint8).numpy().reshape(values.shape)


def patch_interpreter() -> bool:
    """Replaces the methods; False where this Triton has none to replace."""
    try:
        interpreter: Any = importlib.import_module("triton.runtime.interpreter")
        language: Any = importlib.import_module("triton.language")
        builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
        _patch_operators(builder, handle, language)
        _patch_conversions(builder, handle, language)
        _patch_reductions(interpreter.ReduceOps, ("min_max",), handle, language)
        _patch_sums(interpreter.ReduceOps)
        _patch_scans(interpreter.ScanOps)
        _patch_atomics(builder, handle, language)
        _patch_order(builder, interpreter.GridExecutor)
    except (ImportError, AttributeError):
        return False
    return True


def _patch_operators(builder: Any, handle: Any, language: Any) -> None:
    wide = language.float32

    def in_float32(method: Callable[..., Any], operands: int) -> Callable[..., Any]:
        def call(self: Any, *arguments: Any) -> Any:
            tensors, rest = arguments[:operands], arguments[operands:]
            dtype = tensors[-1].dtype.scalar
            small = is_small(dtype)
            if small:
                tensors = [handle(decoded(t.data, t.dtype.scalar), wide) for t in tensors]
            result = method(self, *tensors, *rest)
            if result.data.dtype == np.bool_:  # Triton keeps the type of what was compared
                return handle(result.data, language.int1)
            return handle(encoded(result.data, dtype), dtype) if small else result

        return call

    def create_dot(self: Any, a: Any, b: Any, d: Any, *rest: Any, **options: Any) -> Any:
        factors = [
            handle(decoded(t.data, t.dtype.scalar), wide) if is_small(t.dtype.scalar) else t
            for t in (a, b)
        ]
        precision = options.get("input_precision", rest[0] if rest else None)
        if str(precision).endswith("TF32") and all(t.data.dtype == np.float32 for t in (a, b)):
            factors = [handle(as_tf32(t.data), wide) for t in factors]
        return dot(self, *factors, d, *rest, **options)

    dot = builder.create_dot
    builder.create_dot = create_dot
    for name, operands in (
        ("binary_op", 2),
        ("unary_op", 1),
        ("create_fma", 3),
        ("create_clampf", 3),
        ("create_rsqrt", 1),
        ("create_erf", 1),
    ):
        setattr(builder, name, in_float32(getattr(builder, name), operands))


def _patch_conversions(builder: Any, handle: Any, language: Any) -> None:
    cast, convert = builder.cast_impl, builder.create_fp_to_fp

    def cast_impl(self: Any, src: Any, dst_type: Any) -> Any:
        source, target = src.dtype.scalar, dst_type.scalar
        if is_small(source) and src.data.dtype != np.bool_:
            wide = handle(decoded(src.data, source), language.float32)
            return wide if target == language.float32 else cast_impl(self, wide, dst_type)
        if is_small(target):
            return handle(encoded(src.data, target), target)
        return cast(self, src, dst_type)

    def create_fp_to_fp(self: Any, src: Any, dst_type: Any, rounding_mode: Any) -> Any:
        source, target = src.dtype.scalar, dst_type.scalar
        nearest = rounding_mode is None or str(rounding_mode).endswith("RTNE")
        if not nearest or not (is_small(source) or is_small(target)):
            return convert(self, src, dst_type, rounding_mode)
        return cast_impl(self, src, dst_type)

    builder.cast_impl, builder.create_fp_to_fp = cast_impl, create_fp_to_fp


def _patch_reductions(reductions: Any, names: tuple[str, ...], handle: Any, language: Any) -> None:
    def typed_as(tensor: Any, dtype: Any, data: np.ndarray) -> Any:
        block = tensor.type.is_block()
        wide = language.block_type(dtype, list(tensor.type.shape)) if block else dtype
        return language.core.tensor(handle(data, dtype), wide)

    def in_float32(method: Callable[..., Any]) -> Callable[..., Any]:
        def narrowed(result: Any, dtype: Any) -> Any:
            if isinstance(result, list | tuple):
                return type(result)(narrowed(one, dtype) for one in result)
            if result.dtype.scalar != language.float32:
                return result
            return typed_as(result, dtype, encoded(result.handle.data, dtype))

        def call(self: Any, tensor: Any, *rest: Any, **options: Any) -> Any:
            tensor = tensor[0] if isinstance(tensor, tuple) else tensor
            dtype = tensor.dtype.scalar
            if not is_small(dtype):
                return method(self, tensor, *rest, **options)
            wide = typed_as(tensor, language.float32, decoded(tensor.handle.data, dtype))
            return narrowed(method(self, wide, *rest, **options), dtype)

        return call

    for name in names:
        setattr(reductions, name, in_float32(getattr(reductions, name)))


def _patch_sums(reductions: Any) -> None:
    plain = reductions.sum

    def sum_up(self: Any, tensor: Any) -> Any:
        dtype, data = tensor.dtype.scalar, tensor.handle.data
        if not is_small(dtype) and data.dtype != np.float16:
            return plain(self, tensor)
        axes = tuple(range(data.ndim)) if self.axis is None else (self.axis,)
        values = data if self.axis is not None else data.reshape(-1)
        total = sum_of(np.moveaxis(values, axes[0], 0), dtype)
        return self.to_tensor(np.expand_dims(total, axes) if self.keep_dims else total, dtype)

    reductions.sum = sum_up


def _patch_scans(scans: Any) -> None:
    def replaced(plain: Callable[..., Any], combine: np.ufunc) -> Callable[..., Any]:
        def scan(self: Any, tensor: Any) -> Any:
            dtype, data = tensor.dtype.scalar, tensor.handle.data
            if not is_small(dtype) and data.dtype != np.float16:
                return plain(self, tensor)
            found = scan_of(np.moveaxis(data, self.axis, 0), dtype, combine)
            return [self.to_tensor(np.moveaxis(found, 0, self.axis), tensor.dtype.scalar)]

        return scan

    scans.cumsum = replaced(scans.cumsum, np.add)
    scans.cumprod = replaced(scans.cumprod, np.multiply)


def _combined(combine: np.ufunc, a: np.ndarray, b: np.ndarray, dtype: Any) -> np.ndarray:
    if a.dtype == np.float16:
        return combine(a, b)
    return encoded(combine(decoded(a, dtype), decoded(b, dtype)), dtype)


def sum_of(data: np.ndarray, dtype: Any) -> np.ndarray:
    """The sum along the first axis, rounded after each addition.

    Halves are added to each other, as threads do by shuffles; a device may add in another order.
    """
    while len(data) > 1:
        half = len(data) // 2
        added = _combined(np.add, data[:half], data[half : 2 * half], dtype)
        data = np.concatenate([added, data[2 * half :]])
    return data[0]


def scan_of(data: np.ndarray, dtype: Any, combine: np.ufunc) -> np.ndarray:
    """All sums (or products) of first elements along the first axis, rounded at each step.

    By doubling distances, as threads do by shuffles; a device may combine in another order.
    """
    data, distance = data.copy(), 1
    while distance < len(data):
        data[distance:] = _combined(combine, data[:-distance], data[distance:], dtype)
        distance *= 2
    return data


def _patch_atomics(builder: Any, handle: Any, language: Any) -> None:
    atomic = builder.create_atomic_rmw

    def create_atomic_rmw(self: Any, op: Any, ptr: Any, val: Any, mask: Any, *rest: Any) -> Any:
        dtype = val.dtype.scalar
        combine = {"FADD": np.add, "MAX": np.fmax, "MIN": np.fmin}.get(str(op).rpartition(".")[2])
        if not is_small(dtype) or combine is None:
            return atomic(self, op, ptr, val, mask, *rest)
        # One element after another, since several may add to the same address.
        before = np.zeros(val.data.shape, dtype=val.data.dtype)
        for index in np.ndindex(val.data.shape):
            if not mask.data[index]:
                continue
            one = handle(ptr.data[index].reshape(1), ptr.dtype)
            old = self.create_load(one, None, True).data
            added = combine(decoded(old, dtype), decoded(val.data[index].reshape(1), dtype))
            self.create_store(one, handle(encoded(added, dtype), dtype), None)
            before[index] = old[0]
        return handle(before, dtype)

    builder.create_atomic_rmw = create_atomic_rmw


def _patch_order(builder: Any, executor: Any) -> None:
    place, size, execute = builder.set_grid_idx, builder.set_grid_dim, executor.__call__
    drawn: list[Callable[[int], int]] = []

    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        waits = may_wait(self.fn)
        if waits:
            note(IN_ORDER)
        drawn[:] = [lambda number: number] if waits else []
        return execute(self, *arguments, **options)

    def set_grid_dim(self: Any, *sizes: int) -> Any:
        if not drawn:
            drawn.append(order_of(math.prod(sizes), random.Random()))
        return size(self, *sizes)

    def set_grid_idx(self: Any, x: int, y: int, z: int) -> Any:
        _, rows, layers = self.grid_dim
        number = drawn[0]((x * rows + y) * layers + z)
        return place(self, number // (rows * layers), number // layers % rows, number % layers)

    executor.__call__, builder.set_grid_dim, builder.set_grid_idx = call, set_grid_dim, set_grid_idx
