"""What is promoted becomes a folder that a program loads, with its libraries compiled."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.archive.export.deployment import deploy
from kernel_harness.tools.archive.promotion.events import promote, rollback
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.deployment.kernel_index import INDEX_NAME, read_index
from kernel_harness.tools.schema.measurement import TimeSource

SOURCE = "def run(x, y):\n    y.copy_(x * 2)\n"
CPP = """\
#include <torch/extension.h>
void run(torch::Tensor x, torch::Tensor y) {
    y.copy_(x);
    y.mul_(2.0);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
CUDA = """\
#include <torch/extension.h>
#include <cuda_bf16.h>
__global__ void twice(const __nv_bfloat16* x, float* y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2.0f * __bfloat162float(x[i]);
}
void run(torch::Tensor x, torch::Tensor y) {
    twice<<<(x.numel() + 255) / 256, 256>>>(
        (const __nv_bfloat16*)x.data_ptr(), y.data_ptr<float>(), x.numel());
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""


class Promotions:
    """Archives made-up candidates and promotes them on made-up verifications."""

    def __init__(self, bench: Any, trial: Any) -> None:
        self._bench, self._trial, self._count = bench, trial, 0
        self.archive = bench.archive

    def promote(self, source: str, gpu: str | None = "NVIDIA H200", **more: Any) -> Any:
        archived = self._bench.add(source, gpu=gpu, **more)
        node = self.archive.node(archived.candidate_id)
        records = []
        for _ in range(2):
            self._count += 1
            _, record = self._trial(
                f"verify{self._count}",
                ratio=1.2,
                latency_us=8.0,
                gpu=gpu,
                at="2026-02-01T00:00:00+00:00",
                clock=TimeSource.SEALED,
            )
            checks = ["held_out", "determinism", "launches_as_compiled"]
            changed = record.model_copy(
                update={
                    "signature": None,
                    "content_hash": node.content_hash,
                    "evidence": record.evidence.model_copy(
                        update={"seeds": {"w-1": [self._count], "w-64": [-self._count]}}
                    ),
                    "integrity": record.integrity.model_copy(update={"checks": checks}),
                }
            )
            records.append(self.archive.keys.signed(changed))
        decision = decide(
            node, records, None, expected_workloads=["w-1", "w-64"], sanitizer="clean"
        )
        assert decision.promoted, decision.words
        promote(self.archive, decision, records)
        return node


@pytest.fixture
def promotions(bench, trial) -> Promotions:
    return Promotions(bench, trial)


def test_what_is_promoted_is_written_with_the_sizes_that_were_judged(
    promotions, operators, tmp_path
):
    node = promotions.promote(SOURCE)
    done = deploy(promotions.archive, operators, ["scale"], "H200", tmp_path / "out")
    (kernel,) = done.index.kernels
    assert (kernel.definition, kernel.candidate) == ("scale_n64", node.candidate_id)
    assert kernel.judged == ({"m": 1}, {"m": 64}) and kernel.axes == {"m": None, "n": 64}
    assert (done.folder / kernel.folder / "kernel.py").read_text("utf-8") == SOURCE
    written = read_index((done.folder / INDEX_NAME).read_text("utf-8"))
    assert written == done.index and written.digest == done.index.digest
    files = {str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()}
    assert files == {INDEX_NAME, *written.files}


def test_only_what_is_promoted_there_and_not_rolled_back_is_deployed(
    promotions, operators, tmp_path
):
    archive = promotions.archive
    with pytest.raises(RequestError, match="Nothing of scale_n64 is promoted on H200"):
        deploy(archive, operators, ["scale"], "H200", tmp_path / "out")
    first = promotions.promote(SOURCE)
    with pytest.raises(RequestError, match="on B200.*those of: H200"):
        deploy(archive, operators, ["scale"], "B200", tmp_path / "out")
    rollback(archive, "scale_n64", "H200", "wrong on Mondays")
    with pytest.raises(RequestError, match="Nothing of scale_n64"):
        deploy(archive, operators, ["scale"], "H200", tmp_path / "out")
    assert first and not (tmp_path / "out").exists()


def test_another_version_of_the_definition_is_refused(promotions, operators, tmp_path):
    promotions.promote(SOURCE)
    operator = operators.operator("scale")
    file = operator.folder / "definition.json"
    file.write_text(file.read_text("utf-8").replace("x.float() * 2", "x.float() * 3"), "utf-8")
    changed = type(operators).load(operator.folder.parent)
    with pytest.raises(RequestError, match="another version of scale_n64"):
        deploy(promotions.archive, changed, ["scale"], "H200", tmp_path / "out")


def test_an_operator_whose_calls_change_an_input_is_refused(promotions, operators, tmp_path):
    promotions.promote(SOURCE)
    operator = operators.operator("scale")
    (operator.folder / "policy.toml").write_text('mutable_inputs = ["x"]\n', "utf-8")
    changed = type(operators).load(operator.folder.parent)
    with pytest.raises(RequestError, match="may write to its input x"):
        deploy(promotions.archive, changed, ["scale"], "H200", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(promotions, operators, tmp_path):
    promotions.promote(SOURCE)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    with pytest.raises(RequestError, match="in use"):
        deploy(promotions.archive, operators, ["scale"], "H200", tmp_path / "kept")


def test_a_deployed_kernel_is_called_by_a_program(promotions, operators, tmp_path):
    import torch

    from kernel_harness.tools.applying.routing import apply

    promotions.promote(SOURCE, gpu=None)
    deploy(promotions.archive, operators, ["scale"], "cpu", tmp_path / "out")
    applied = apply(lambda x: x.float() * 2, tmp_path / "out")
    for m in (1, 64, 65):
        x = torch.randn(m, 64).bfloat16()
        assert torch.equal(applied.function(x), x.float() * 2)
    assert [call.axes for call in applied.misses.all()] == [{"m": 65}]


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_a_library_is_compiled_beforehand_and_loaded_by_a_program(promotions, operators, tmp_path):
    import torch

    from kernel_harness.tools.applying.routing import apply

    promotions.promote(CPP, gpu=None, language="cpp", path="main.cpp")
    done = deploy(promotions.archive, operators, ["scale"], "cpu", tmp_path / "out")
    (kernel,) = done.index.kernels
    assert kernel.library in done.index.files
    applied = apply(lambda x: x.float() * 2, tmp_path / "out")
    x = torch.randn(8, 64).bfloat16()
    assert torch.equal(applied.function(x), x.float() * 2) and not applied.misses.all()


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("nvcc"), reason="needs nvcc")
def test_cuda_is_compiled_for_the_device(promotions, operators, tmp_path):
    promotions.promote(CUDA, language="cuda", path="main.cu")
    done = deploy(promotions.archive, operators, ["scale"], "H200", tmp_path / "out")
    library = done.folder / str(done.index.kernels[0].library)
    found = listed(library)
    assert "sm_90a" in found


def listed(library: Path) -> str:
    triton = pytest.importorskip("triton")
    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    command = [str(program), "--list-elf", str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_sources_that_do_not_compile_are_refused_with_the_compilers_words(
    promotions, operators, tmp_path
):
    source = "#error not for this compiler\n// PYBIND11_MODULE\n"
    promotions.promote(source, language="cpp", path="main.cpp")
    with pytest.raises(RequestError, match="could not be compiled(.|\n)*not for this compiler"):
        deploy(promotions.archive, operators, ["scale"], "H200", tmp_path / "out")
