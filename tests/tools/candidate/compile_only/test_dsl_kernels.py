"""What CuTe's language and TileLang compile is found as files, and calls of it launch nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kernel_harness.tools.candidate.compile_only import dsl_kernels
from kernel_harness.tools.candidate.compile_only.dsl_kernels import DslKernels
from kernel_harness.tools.messages import candidate as wire

from .test_targets import compiled, compiler, compiling

__all__ = ["compiler", "compiling"]
SYMBOL = "kernel_cutlass__rows_tensorptrf32gmemalign4o1_0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where CuTe keeps what it makes for sm_90."""
    for name, value in dsl_kernels.environment("90a", tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "CuTe"


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_each_kernel_is_read_once_by_its_own_name(folder):
    source = folder / "k.cu"
    text = f'extern "C" __global__ void {SYMBOL}(float* y) {{ y[threadIdx.x] *= 2.0f; }}'
    source.write_text(text)
    command = ["nvcc", "-cubin", "-arch=sm_90a", str(source), "-o"]
    subprocess.run([*command, str(folder / "a.sm_90a.cubin")], check=True)
    kernels = DslKernels()
    (one,) = kernels.collected("sm_90")
    kernel = one.kernel
    assert (kernel.name, kernel.target, one.symbol) == ("_rows", "sm_90", SYMBOL)
    assert kernel.registers and kernel.spill_bytes == 0 and kernel.opcodes["STG.E"] == 1
    assert (one.language, one.file.parent) == ("CuTe", folder)
    kept = folder.with_name("TileLang") / "binaries"
    kept.mkdir()
    (kept / "kernel.cubin").write_bytes(one.file.read_bytes())
    assert [other.language for other in kernels.collected("sm_90")] == ["TileLang"]
    assert kernels.collected("sm_90") == []


def test_the_target_is_told_by_the_languages_own_variables(folder, tmp_path):
    said = dsl_kernels.environment("100a", tmp_path)
    assert said["CUTE_DSL_ARCH"] == "sm_100a" and Path(said["CUTE_DSL_DUMP_DIR"]).is_dir()
    target = {"kind": "cuda", "arch": "sm_100a"}
    assert json.loads(said["TILELANG_DEFAULT_TARGET"]) == target
    assert DslKernels().collected("sm_100") == []


def test_a_compiled_function_does_nothing_when_it_is_called(monkeypatch):
    seen: list[object] = []

    class Compile:
        def __getitem__(self, options: object) -> Compile:
            seen.append(options)
            return self

        def __call__(self, *arguments: object, **options: object) -> object:
            seen.append(arguments)
            return lambda *given: seen.append("launched")

    module = ModuleType("cutlass.cute")
    vars(module)["compile"] = Compile()
    monkeypatch.setitem(sys.modules, "cutlass.cute", module)
    kernels = DslKernels()
    kernels.prepare()
    kernels.prepare()
    assert module.compile["fast"]("f", 1)(2) is None
    assert seen == ["fast", ("f", 1)]
    monkeypatch.delitem(sys.modules, "cutlass.cute")
    tilelang = ModuleType("tilelang")

    class Kernel:
        def __call__(self, *given: object) -> None:
            seen.append("launched")

    vars(tilelang)["JITKernel"] = Kernel
    monkeypatch.setitem(sys.modules, "tilelang", tilelang)
    DslKernels().prepare()
    assert Kernel()(2) is None and "launched" not in seen


ROWS = """\
import cutlass
import cutlass.cute as cute
from cutlass.cute.runtime import from_dlpack

@cute.kernel
def _double(x: cute.Tensor, y: cute.Tensor):
    lane, _, _ = cute.arch.thread_idx()
    block, _, _ = cute.arch.block_idx()
    at = block * 100 + lane
    y[at] = x[at] * 2.0

@cute.jit
def _launch(x: cute.Tensor, y: cute.Tensor):
    _double(x, y).launch(grid=[cute.size(x) // 100, 1, 1], block=[100, 1, 1])

_compiled = {}

def run(x, out):
    given = [from_dlpack(x), from_dlpack(out)]
    if x.shape not in _compiled:
        _compiled[x.shape] = cute.compile(_launch, *given)
    _compiled[x.shape](*given)
    _compiled[x.shape](*given)
"""


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_candidate_in_cutes_language_is_compiled_without_a_device(compiler):
    pytest.importorskip("cutlass.cute", reason="nvidia-cutlass-dsl is not installed")
    answer = compiled(compiler, {"kernel.py": ROWS}, ["sm_90"])
    assert isinstance(answer, wire.Compiled)
    assert answer.fault is None and answer.failures == {}
    (kernel,) = answer.kernels
    assert (kernel.name, kernel.target) == ("_double", "sm_90") and kernel.registers
    assert any("What CuTe compiles" in note for note in answer.notes)


DOUBLE = """\
import tilelang
import tilelang.language as T

@tilelang.jit
def _double(n, block):
    @T.prim_func
    def double(x: T.Tensor((n,), "float32"), y: T.Tensor((n,), "float32")):
        with T.Kernel(T.ceildiv(n, block), threads=block) as at:
            for i in T.Parallel(block):
                y[at * block + i] = x[at * block + i] * 2.0
    return double

def run(x, out):
    _double(x.numel(), 100)(x, out)
    _double(x.numel(), 50)(x, out)
"""


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_candidate_in_tilelang_is_compiled_without_a_device(compiler):
    pytest.importorskip("tilelang", reason="tilelang is not installed")
    answer = compiled(compiler, {"kernel.py": DOUBLE}, ["sm_90"], language="tilelang")
    assert isinstance(answer, wire.Compiled)
    assert answer.fault is None and answer.failures == {}
    assert [kernel.name for kernel in answer.kernels] == ["double_kernel"] * 2
    assert any("What TileLang compiles" in note for note in answer.notes)
