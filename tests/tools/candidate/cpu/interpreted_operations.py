"""Runs every operation of the differential test in Triton's interpreter; prints what disagrees.

Started by `test_triton_patches.py` in a process of its own, since the interpreter is chosen when
Triton is imported. The output is one JSON object: by operation and dtype, the largest error.
"""

import json
import math
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"  # noqa: TID251 - read by triton as it is imported

import torch
import triton
import triton.language as tl

from kernel_harness.tools.candidate.cpu.triton_patches import patch_interpreter

assert patch_interpreter()

N: tl.constexpr = tl.constexpr(16)
FLOATS = [torch.float32, torch.float16, torch.bfloat16]
FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2]
CHOICES = ("less", "greater_equal", "equal", "where", "relu", "both", "one", "clamp")
INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64]


@triton.jit
def binary(x, y, z, OP: tl.constexpr):
    i = tl.arange(0, 256)
    a, b = tl.load(x + i), tl.load(y + i)
    if OP == "add":
        c = a + b
    elif OP == "sub":
        c = a - b
    elif OP == "mul":
        c = a * b
    elif OP == "div":
        c = a / b
    elif OP == "maximum":
        c = tl.maximum(a, b)
    elif OP == "minimum":
        c = tl.minimum(a, b)
    elif OP == "neg":
        c = -a
    elif OP == "abs":
        c = tl.abs(a)
    else:
        c = tl.fma(a, b, a)
    tl.store(z + i, c)


@triton.jit
def choice(x, y, z, OP: tl.constexpr):
    i = tl.arange(0, 256)
    a, b = tl.load(x + i), tl.load(y + i)
    if OP == "less":
        c = a < b
    elif OP == "greater_equal":
        c = a >= b
    elif OP == "equal":
        c = a == b
    elif OP == "where":
        c = tl.where(a > b, a, b)
    elif OP == "relu":
        c = tl.where(a > 0, a, 0.0)
    elif OP == "both":
        c = (a > b) & (b > 0)
    elif OP == "one":  # of one value, which is spread over the others then
        c = tl.load(x + i, mask=(i < 128) & (tl.load(y) <= tl.load(y)), other=0.0)
    else:
        c = tl.clamp(a, -0.5, 0.5)
    tl.store(z + i, c)


@triton.jit
def unary_in_float32(x, z, OP: tl.constexpr):
    i = tl.arange(0, 256)
    a = tl.abs(tl.load(x + i).to(tl.float32)) + 0.1
    if OP == "exp":
        c = tl.exp(a)
    elif OP == "log":
        c = tl.log(a)
    elif OP == "sqrt":
        c = tl.sqrt(a)
    elif OP == "rsqrt":
        c = tl.rsqrt(a)
    else:
        c = tl.exp2(a)
    tl.store(z + i, c.to(z.dtype.element_ty))


@triton.jit
def reduction(x, z, OP: tl.constexpr):
    i = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
    a = tl.load(x + i)
    if OP == "sum":
        c = tl.sum(a, 1)
    elif OP == "max":
        c = tl.max(a, 1)
    elif OP == "min":
        c = tl.min(a, 1)
    elif OP == "argmax":
        c = tl.argmax(a, 1)
    else:
        c = tl.argmin(a, 1)
    tl.store(z + tl.arange(0, 16), c)


@triton.jit
def scan(x, z, OP: tl.constexpr):
    i = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
    a = tl.load(x + i)
    if OP == "cumsum":
        c = tl.cumsum(a, 1)
    elif OP == "backwards":
        c = tl.cumsum(a, 1, reverse=True)
    else:
        c = tl.cumprod(a, 1)
    tl.store(z + i, c)


@triton.jit
def cast(x, z):
    i = tl.arange(0, 256)
    tl.store(z + i, tl.load(x + i).to(z.dtype.element_ty))


@triton.jit
def dot(x, y, z):
    i = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
    tl.store(z + i, tl.dot(tl.load(x + i), tl.load(y + i), input_precision="ieee"))


@triton.jit
def atomic(x, z, OP: tl.constexpr):
    i = tl.arange(0, 256)
    a = tl.load(x + i)
    if OP == "add":
        tl.atomic_add(z + i % 16, a)
    else:
        tl.atomic_max(z + i % 16, a)


found: dict[str, float | str] = {}


def made(dtype: torch.dtype, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if not dtype.is_floating_point:
        return torch.randint(-9, 10, (256,), generator=generator).to(dtype)
    return torch.randn(256, generator=generator).to(dtype)


def note(name: str, expected: torch.Tensor, kernel, out, *inputs, floor: float = 0.05, **options):
    """Records the largest error, relative to what is due and at least to `floor`."""
    name = f"{name} {str(inputs[0].dtype).removeprefix('torch.')}"
    try:
        kernel[(1,)](*inputs, out, **options)
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"[:300]
        return
    wide, due = out.double(), expected.to(out.dtype).double()
    alike = (wide == due) | (wide.isnan() & due.isnan())
    error = torch.where(alike, 0.0, (wide - due).abs() / due.abs().clamp_min(floor))
    found[name] = float(error.nan_to_num(math.inf).max())


def elementwise() -> None:
    for dtype in [*FLOATS, *INTEGERS]:
        x, y = made(dtype, 1), made(dtype, 2)
        y[:8] = x[:8]
        a, b = (x.float(), y.float()) if dtype.is_floating_point else (x, y)
        due = {"add": a + b, "sub": a - b, "mul": a * b, "neg": -a, "abs": a.abs()}
        due |= {"maximum": a.maximum(b), "minimum": a.minimum(b), "where": a.maximum(b)}
        due["one"] = torch.where(torch.arange(256) < 128, a, 0)
        due |= {"less": a < b, "greater_equal": a >= b, "equal": a == b, "both": (a > b) & (b > 0)}
        if dtype.is_floating_point:
            due |= {"relu": a.relu(), "fma": a * b + a, "clamp": a.clamp(-0.5, 0.5)}
        if dtype == torch.float32:
            due["div"] = a / b
        for name, expected in due.items():
            kind = torch.bool if expected.dtype == torch.bool else dtype
            kernel = choice if name in CHOICES else binary
            note(name, expected, kernel, torch.empty(256, dtype=kind), x, y, OP=name)


def functions() -> None:
    for dtype in FLOATS:
        x = made(dtype, 3)
        a = x.float().abs() + 0.1
        for name in ("exp", "log", "sqrt", "rsqrt", "exp2"):
            expected = getattr(torch, name)(a)
            note(name, expected, unary_in_float32, torch.empty_like(x), x, OP=name)


def reductions() -> None:
    for dtype in [*FLOATS, *INTEGERS]:
        x = made(dtype, 4).view(16, 16)
        wide = x.double() if dtype.is_floating_point else x.long()
        for name, expected in (("sum", wide.sum(1)), ("max", wide.amax(1)), ("min", wide.amin(1))):
            kind = torch.int32 if name == "sum" and dtype in INTEGERS[:2] else dtype
            floor = 4.0 if name == "sum" else 0.05
            out = torch.empty(16, dtype=kind)
            note(name, expected, reduction, out, x, OP=name, floor=floor)
        distinct = torch.stack([torch.randperm(16) - 8 for _ in range(16)]).to(dtype)
        for name in ("argmax", "argmin"):
            expected = getattr(distinct.double(), name)(1)
            note(name, expected, reduction, torch.empty(16, dtype=torch.int32), distinct, OP=name)
        if dtype.is_floating_point:
            running = {"cumsum": wide.cumsum(1), "cumprod": wide.cumprod(1)}
            running["backwards"] = wide.flip(1).cumsum(1).flip(1)
            for name, expected in running.items():
                note(name, expected, scan, torch.empty_like(x), x, OP=name, floor=4.0)


def casts() -> None:
    kinds = [*FLOATS, *FLOAT8]
    for source in [*kinds, torch.int32]:
        for target in [*kinds, torch.int32]:
            if source == target or (
                torch.int32 in (source, target) and {source, target} & {*FLOAT8}
            ):
                continue
            x = made(source, 5)
            if source == torch.float32:
                x[:4] = torch.tensor([1e-3, 2.0**-9, 300.0, 447.0])
            name = f"cast to {str(target).removeprefix('torch.')} from"
            note(name, x.float().to(target), cast, torch.empty(256, dtype=target), x)


def products() -> None:
    for dtype in [*FLOATS, *FLOAT8, torch.int8]:
        x, y = made(dtype, 6).view(16, 16), made(dtype, 7).view(16, 16)
        kind = torch.float32 if dtype.is_floating_point else torch.int32
        note("dot", x.double() @ y.double(), dot, torch.empty(16, 16, dtype=kind), x, y)


def atomics() -> None:
    for dtype in [*FLOATS, torch.int32]:
        x = made(dtype, 8)
        total = x.double().view(16, 16).sum(0)
        note("atomic add", total, atomic, torch.zeros(16, dtype=dtype), x, OP="add", floor=4.0)
    for dtype in (torch.float32, torch.int32):
        x = made(dtype, 8)
        most = x.view(16, 16).amax(0).clamp_min(0)
        note("atomic max", most, atomic, torch.zeros(16, dtype=dtype), x, OP="max")


for part in (elementwise, functions, reductions, casts, products, atomics):
    part()
sys.stdout.write(json.dumps(found))
