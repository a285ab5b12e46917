"""The kernels of the microbenchmarks compile to the instructions that they are named after."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compile_only.dumps import dump
from kernel_harness.tools.judge.microbenchmarks import barriers, memory
from kernel_harness.tools.judge.microbenchmarks.matrix_kernels import MMA, WgmmaShape

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
FOLDER = Path(memory.__file__).parent


def sass(source: str, architecture: str, folder: Path) -> str:
    """What a source is compiled to; its names and opcodes."""
    (folder / "kernel.cu").write_text(source)
    command = ["nvcc", "-cubin", f"-arch={architecture}", "kernel.cu", "-o", "kernel.cubin"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert "serializ" not in made.stderr + made.stdout
    ((_, text),) = dump([folder / "kernel.cubin"])
    return text


@needs_nvcc
@pytest.mark.parametrize(
    "architecture",
    ["sm_90a", *(pytest.param(name, marks=pytest.mark.long) for name in ("sm_80", "sm_100a"))],
)
def test_every_kernel_that_is_asked_for_is_there(architecture, tmp_path):
    text = sass((FOLDER / "memory.cu").read_text(), architecture, tmp_path)
    asked = {*memory.COPIES.values(), "read_words", "write_words"}
    asked |= {"chase_global", "chase_shared", "chase_atomics"}
    hopper = {"copy_bulk", "chase_neighbour"} if architecture != "sm_80" else set[str]()
    assert set(re.findall(r"Function : (\w+)", text)) == asked | hopper
    assert ("UBLKCP" in text) == bool(hopper)
    text = sass(
        f"#define CLUSTER 4\n{(FOLDER / 'barriers.cu').read_text()}", architecture, tmp_path
    )
    assert ("UCGABAR_WAIT" in text) == bool(hopper)
    assert barriers.CLUSTERS == (2, 4, 8)


@needs_nvcc
@pytest.mark.parametrize(
    ("shape", "opcode"),
    [
        pytest.param(
            WgmmaShape("bf16", 8, 1),
            "HGMMA.64x8x16.F32.BF16 R24, gdesc",
            marks=pytest.mark.long,
        ),
        (WgmmaShape("bf16", 64, 2, registers=True), "HGMMA.64x64x16.F32.BF16 R24, R56, gdesc"),
        pytest.param(
            WgmmaShape("fp8", 64, 2),
            "QGMMA.64x64x32.F32.E4M3.E4M3 R24, gdesc",
            marks=pytest.mark.long,
        ),
    ],
    ids=str,
)
def test_a_shapes_kernel_is_that_instruction_over_and_over(shape, opcode, tmp_path):
    text = sass(shape.source(), "sm_90a", tmp_path)
    assert text.count("GMMA") == 16 and text.count(opcode) == 16


@needs_nvcc
def test_mma_sync_is_there_on_blackwell_too(tmp_path):
    assert sass(MMA, "sm_100a", tmp_path).count("HMMA.16816.F32.BF16") >= 8
