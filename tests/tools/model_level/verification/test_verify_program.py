"""A program is run with a known faster kernel and with a wrong one, and both are told."""

from __future__ import annotations

import importlib.util
import json
import runpy
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.model_level.verification.gains import ModelVerdict
from kernel_harness.tools.model_level.verification.program_verification import verify_program
from kernel_harness.tools.model_level.verification.target_files import read_target, target_named
from kernel_harness.tools.model_level.verification.verified_runs import (
    KernelTarget,
    VerifiedRuns,
    VerifyRequest,
)

MODELS = Path(__file__).parents[4] / "benchmarks/models"
NETWORKS = [
    "decoder",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("experts", "resnet")),
    *(
        pytest.param(
            name,
            marks=[
                pytest.mark.long,
                pytest.mark.skipif(
                    importlib.util.find_spec(library) is None, reason=f"{library} is not installed"
                ),
            ],
        )
        for name, library in (
            ("llama", "transformers"),
            ("qwen3_next", "transformers"),
            ("torchvision", "torchvision"),
        )
    ),
]
CALLS = {
    "decoder": 5,
    "experts": 2,
    "resnet": 2,
    "llama": 5,
    "qwen3_next": 3,
    "torchvision": 17,
}
"""A step, of each network's planted function."""


@pytest.fixture
def known() -> dict[str, Any]:
    return runpy.run_path(str(MODELS / "known_kernels.py"))


def verified(
    known,
    folder: Path,
    network: str,
    python: str = sys.executable,
    *,
    wrong: bool = False,
    **changes: Any,
):
    kernel = known["known_kernel"](network, True)
    kernels = known["write_kernels"](kernel, folder, "cpu", "float32", wrong=wrong)
    words = [python, str(MODELS / "bench.py"), network, "--steps", "5"]
    target = replace(kernel.target, **changes)
    # A target that is named twice is one.
    return verify_program(words, kernels, [target, target], pairs=2, steps=3)


@pytest.mark.process
@pytest.mark.parametrize("network", NETWORKS)
def test_a_known_faster_kernel_keeps_the_outputs(known, tmp_path, network, capfd):
    found = verified(known, tmp_path / "kernels", network)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("run ")]
    assert [line.partition(" of ")[0] for line in said] == [f"run {n}" for n in range(1, 6)]
    (target,) = found.targets
    assert target.applied.missed == {}
    assert sum(call.calls for call in target.applied.calls) == CALLS[network]
    assert found.runs.drift.outputs == 3 and found.pairs == 6
    assert found.runs.drift.relative is not None and found.runs.drift.relative < 1e-4
    assert found.runs.repeated is not None and found.runs.repeated.relative == 0.0
    assert found.verdict not in ("DRIFTED", "NOT_APPLIED", "NOT_REPEATABLE")
    # The planted functions do many times the work: no load of the machine hides that.
    assert target.predicted.original_us > target.predicted.kernel_us


@pytest.mark.process
@pytest.mark.parametrize("network", NETWORKS)
def test_a_wrong_kernel_is_caught_by_drift_and_named(known, tmp_path, network, warm_python):
    found = verified(known, tmp_path / "kernels", network, warm_python, wrong=True)
    assert found.verdict is ModelVerdict.DRIFTED
    assert found.to_blame == (known["known_kernel"](network, True).target.target,)


@pytest.mark.process
def test_what_cannot_be_verified_is_said(known, tmp_path, warm_python):
    inputs = {"x": "y", "weight": "x"}
    with pytest.raises(RequestError, match="It came to nothing"):
        verified(known, tmp_path / "kernels", "decoder", warm_python, inputs=inputs)
    with pytest.raises(RequestError, match=r"Give --operator FOLDER, .* or --target"):
        verify_program(["python", "bench.py"], tmp_path, [])


def test_a_folder_without_kernels_is_refused_before_any_run(tmp_path, capfd):
    """The program was run to its end without kernels first."""
    with pytest.raises(RequestError, match="There are no deployed kernels"):
        verify_program(["python", "bench.py"], tmp_path / "misspelt", [KernelTarget("layers.f")])
    assert not capfd.readouterr().err


@pytest.mark.process
def test_a_program_that_leaves_by_itself_is_said_to(known, tmp_path, warm_python, capfd):
    kernel = known["known_kernel"]("decoder", True)
    kernels = known["write_kernels"](kernel, tmp_path / "kernels", "cpu", "float32")
    (tmp_path / "leaves.py").write_text("import os\nos._exit(0)\n", "utf-8")
    (tmp_path / "left.py").write_text("def norm(x, weight):\n    return x\n", "utf-8")
    words = [warm_python, str(tmp_path / "leaves.py")]
    with pytest.raises(RequestError, match="came to nothing"):
        verify_program(words, kernels, [KernelTarget("left.norm")], pairs=1)
    assert "ended its process by os._exit" in capfd.readouterr().err
    with pytest.raises(RequestError, match="not there before it is"):
        verify_program(words, kernels, [KernelTarget("__main__.f")])


LIBRARY = """\
import os
import pathlib
import sys
import threading

import numpy

with open(pathlib.Path(__file__).with_suffix(".txt"), "a") as said:
    said.write(f"{os.getpid()} {len(sys.argv)} {sys.path[0]} {numpy.random.rand()}\\n")
ENDED = threading.Event()
"""
RUNS = """\
import pathlib
import sys

from kernel_harness.tools.model_level import preloading
from kernel_harness.tools.model_level.verification.runs import all_runs

preloading.INSTALLED = (pathlib.Path(sys.argv[3]),)
sys.path.append(sys.argv[3])
sys.exit(all_runs.main(sys.argv[1:3]))
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "imports"),
    [("", 2), ("threading.Thread(target=ENDED.wait, daemon=True).start()\n", 6)],
    ids=["once for all runs but the first", "in each where it starts a thread"],
)
def test_what_a_program_imports_of_packages(known, tmp_path, warm_python, source, imports):
    kernel = known["known_kernel"]("decoder", True)
    kernels = known["write_kernels"](kernel, tmp_path / "kernels", "cpu", "float32")
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/a_library.py").write_text(LIBRARY + source, "utf-8")
    bench = f"import sys\nsys.path.insert(0, '{MODELS}')\n"
    bench += "import a_library\nimport bench\nsys.argv[1:] = ['decoder', '--steps', '4']\n"
    (tmp_path / "program.py").write_text(bench + "bench.main()\n", "utf-8")
    (tmp_path / "runs.py").write_text(RUNS, "utf-8")
    # The program's folder is looked in first: the targets are found there before it runs.
    (tmp_path / "layers.py").write_text((MODELS / "layers.py").read_text("utf-8"), "utf-8")
    request = VerifyRequest(
        (str(tmp_path / "program.py"),), str(kernels), (kernel.target,), None, 1, 2, 2
    )
    asked, out = tmp_path / "asked.json", tmp_path / "out.json"
    asked.write_bytes(TypeAdapter(VerifyRequest).dump_json(request))
    words = [warm_python, str(tmp_path / "runs.py"), str(asked), str(out)]
    subprocess.run([*words, str(tmp_path / "installed")], check=True, timeout=120)
    runs = TypeAdapter(VerifiedRuns).validate_json(out.read_bytes())
    assert [len(run.step_ns) for run in (*runs.before, *runs.after)] == [2, 2, 2, 2]
    assert runs.drift.relative is not None and runs.drift.relative < 1e-4
    lines = (tmp_path / "installed/a_library.txt").read_text("utf-8").splitlines()
    assert len({line.split()[0] for line in lines}) == imports
    # Each was imported as the program imports it, with the same seed.
    assert {line.split()[1] for line in lines} == {"1"}
    assert len({line.split()[3] for line in lines}) == 1


def test_targets_are_named_and_kept_in_an_operator_s_folder(tmp_path):
    assert target_named("layers.norm") == KernelTarget("layers.norm")
    assert target_named("layers.norm=norm_h128") == KernelTarget("layers.norm", "norm_h128")
    with pytest.raises(DatasetError, match="not said"):
        read_target(tmp_path)
    said = KernelTarget("layers.Norm.forward", "norm_h128", {"x": "x", "weight": "self.weight"})
    (tmp_path / "target.json").write_text(json.dumps(asdict(said)), "utf-8")
    assert read_target(tmp_path) == said
