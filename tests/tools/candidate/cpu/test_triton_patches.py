"""The interpreter computes in small types as hardware does, once patched."""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.cpu.triton_patches import (
    as_tf32,
    decoded,
    encoded,
    order_of,
    rounded,
    scan_of,
    sum_of,
    widened,
)

PROGRAM = Path(__file__).with_name("interpreted_operations.py")
TOLERANCES = {"float32": 1e-5, "float16": 0.02, "bfloat16": 0.04}
"""By dtype, the error that roundings in another order may make; other types are exact."""


@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_rounding_is_torchs(values):
    array = np.array(values, dtype=np.float32)
    ours = torch.from_numpy(rounded(array).view(np.int16).copy())
    theirs = torch.from_numpy(array).to(torch.bfloat16)
    same = (ours == theirs.view(torch.int16)) | theirs.isnan()
    assert bool(same.all())
    assert np.isnan(widened(rounded(array))).tolist() == np.isnan(array).tolist()


@pytest.fixture(scope="module")
def errors() -> dict[str, float | str]:
    found = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "operation",
    "add sub mul div neg abs maximum minimum where relu fma clamp less greater_equal equal "
    "both one exp log sqrt rsqrt exp2 sum max min argmax argmin cumsum backwards cumprod cast dot "
    "atomic".split(),
)
def test_an_operation_gives_what_torch_gives_in_every_dtype(errors, operation):
    tried = {name: error for name, error in errors.items() if name.split()[0] == operation}
    assert tried
    if operation != "div":
        assert any(name.endswith(" bfloat16") for name in tried)
    if operation in ("cast", "dot"):
        assert any(name.endswith(" float8_e4m3fn") for name in tried)
        assert any(name.endswith(" float8_e5m2") for name in tried)
    wrong = {
        name: error
        for name, error in tried.items()
        if isinstance(error, str) or error > TOLERANCES.get(name.split()[-1], 0.0)
    }
    assert not wrong


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_sum_rounds_after_each_addition_as_a_device_does(kind):
    """256 + 1 is 256 in bfloat16, and 2048 + 1 is 2048 in float16: a sum in float32 sees each 1."""
    least = 256.0 if kind is torch.bfloat16 else 2048.0
    values = torch.tensor([least, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]).to(kind)
    apart = torch.tensor([least, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]).to(kind)
    dtype = SimpleNamespace(name="bf16" if kind is torch.bfloat16 else "fp16")

    def total(of: torch.Tensor) -> float:
        bits = of.view(torch.int16).numpy().astype(np.int16)
        data = bits.view(np.float16 if kind is torch.float16 else np.uint16)
        return float(torch.from_numpy(sum_of(data, dtype).reshape(1).view(np.int16)).view(kind)[0])

    assert total(apart) == least
    assert total(values) == least + 2.0
    tree = values[:4] + values[4:]
    assert total(values) == float(tree[0] + tree[2] + (tree[1] + tree[3]))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_running_sum_rounds_after_each_addition_as_a_device_does(kind):
    least = 256.0 if kind is torch.bfloat16 else 2048.0
    values = torch.tensor([least, 1.0, 1.0, 1.0, 2.0]).to(kind)
    dtype = SimpleNamespace(name="bf16" if kind is torch.bfloat16 else "fp16")
    data = values.view(torch.int16).numpy().view(np.float16 if dtype.name == "fp16" else np.uint16)
    found = scan_of(data[:, None], dtype, np.add)[:, 0]
    due = [least, least, least + 2, least + 2, least + 4]
    assert torch.from_numpy(found.view(np.int16)).view(kind).tolist() == due
    assert data.tobytes() == values.view(torch.int16).numpy().tobytes()


@pytest.mark.parametrize("name", ["fp8e4nv", "fp8e5"])
def test_float8_saturates_and_keeps_what_is_no_number(name):
    dtype = SimpleNamespace(name=name)
    most = {"fp8e4nv": 448.0, "fp8e5": 57344.0}[name]
    values = np.array([1e9, -1e9, np.nan, 0.0, most], dtype=np.float32)
    back = decoded(encoded(values, dtype), dtype)
    assert back.tolist()[:2] == [most, -most] and np.isnan(back[2])
    assert back.tolist()[3:] == [0.0, most]


KERNEL = """
import torch, triton, triton.language as tl
from triton.language.extra import libdevice

@triton.jit
def twice(a):
    return a + {inner}

@triton.jit
def kernel(x, n, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    for k in range(n):
        a = {statement}
    tl.store(x + i, a)

def run(x):
    kernel[(1,)](x, 2, B=16)
"""
DRIVER = """
import os, sys, pathlib
os.environ["TRITON_INTERPRET"] = "1"
import torch, triton
from kernel_harness.tools.candidate.faults import fault_of
for line in sys.stdin:
    if os.fork() == 0:
        folder = pathlib.Path(line.rstrip())
        sys.path.insert(0, str(folder))
        import kernel
        told = "{}"
        try:
            kernel.run(torch.zeros(16))
        except Exception as error:
            told = fault_of(error, folder).model_dump_json()
        print(told, flush=True)
        os._exit(0)
    os.wait()
os._exit(0)
"""
ASSIGNED = KERNEL.replace("a = {statement}", "b = {statement}\n        a = a + b")
FaultIn = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def driver() -> Iterator[subprocess.Popen[str]]:
    """A process where Triton interprets; it forks for each folder of a kernel that it is named."""
    command = [sys.executable, "-c", DRIVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def fault_in(driver: subprocess.Popen[str], tmp_path: Path) -> FaultIn:
    """What is told of a kernel with this statement, called in a process of its own."""

    def told(statement: str, inner: str = "a", kernel: str = KERNEL) -> dict[str, str]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / "kernel.py").write_text(kernel.format(statement=statement, inner=inner))
        assert driver.stdin and driver.stdout
        driver.stdin.write(f"{folder}\n")
        return json.loads(driver.stdout.readline())

    return told


def test_an_error_in_an_interpreted_kernel_shows_the_kernel_s_line(fault_in):
    statement = "a + tl.load(x + tl.arange(0, 2 * B))"
    fault = fault_in(statement)
    assert fault["kind"] == "exception" and "InterpreterError" not in fault["message"]
    assert f"(kernel.py:14: a = {statement})" in fault["message"]
    assert "kernel[(1,)]" in fault["excerpt"] and statement in fault["excerpt"]
    assert "interpreter.py" not in fault["excerpt"]


def test_an_error_in_a_function_of_a_kernel_shows_the_function_s_line(fault_in):
    fault = fault_in("twice(a)", inner="tl.arange(0, 3)")
    assert "(kernel.py:7: return a + tl.arange(0, 3))" in fault["message"]
    assert "a = twice(a)" in fault["excerpt"]


@pytest.mark.parametrize(
    "statement",
    [
        "a + k.to(tl.float32)",
        "a + libdevice.fma(a, 1.0, a)",
        'tl.inline_asm_elementwise("add.f32 $0, $1, $1;", "=f,f,f", [a, a], dtype=tl.float32, '
        "is_pure=True, pack=1)",
    ],
)
def test_what_only_the_interpreter_cannot_do_is_called_its_limit(fault_in, statement):
    fault = fault_in(statement)
    assert fault["kind"] == "interpreter_limit"
    assert "Triton's interpreter cannot run it" in fault["message"]
    assert "kernel.py:14" in fault["message"]


def test_a_function_of_libdevice_that_a_later_line_stumbles_over_is_called_its_limit(fault_in):
    fault = fault_in("libdevice.fma(a, 1.0, a)", kernel=ASSIGNED)
    assert fault["kind"] == "interpreter_limit" and "NoneType" in fault["message"]
    no_library = ASSIGNED.replace("from triton.language.extra import libdevice\n", "")
    assert fault_in("None", kernel=no_library)["kind"] == "exception"


def test_products_of_float32_see_the_bits_of_tf32():
    values = np.array([1.0 + 2**-10, 1.0 + 2**-11, -3.0], dtype=np.float32)
    assert as_tf32(values).tolist() == [1.0 + 2**-10, 1.0, -3.0]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64, 1000])
def test_every_program_runs_once_in_another_order(count):
    order = order_of(count, random.Random(3))
    ran = [order(number) for number in range(count)]
    assert sorted(ran) == list(range(count))
    assert count < 2 or ran[0] != 0
