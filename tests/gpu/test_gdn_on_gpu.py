"""Both gated delta operators on a GPU: solutions, peers and the oracle's speed."""

from __future__ import annotations

import time
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.workloads.operators import load_anew
from kernel_harness.tools.workloads.solution_folder import read_candidate_file

from .missing_packages import skips_without_its_packages

pytestmark = [
    pytest.mark.gpu,
]

KERNELS = Path(str(files("kernel_harness.kernels")))
FIXTURES = Path(__file__).parents[1] / "fixtures"
DECODE = KERNELS / "gdn_decode_qk4_v8_d128_k_last"
PREFILL = KERNELS / "gdn_prefill_qk4_v8_d128_k_last"
RMSNORM = FIXTURES / "operators" / "rmsnorm_h128"
SKEWED = [2503, 71, 88, 73, 100, 49, 0, 157, 71, 194, 54, 894, 365, 1024, 1, 2548]


def judged(folder: Path) -> OperatorAdapter:
    return OperatorAdapter(
        Definition.model_validate_json((folder / "definition.json").read_text()), folder
    )


def prompts(*lengths: int) -> Case:
    count = len(lengths)
    axes = {"total_seq_len": sum(lengths), "num_seqs": count, "len_cu_seqlens": count + 1}
    return Case("case", axes, {"seq_lens": list(lengths)})


def rows(size: int) -> Case:
    return Case("case", {"batch_size": size})


CASES = {
    DECODE: [rows(1), rows(7), rows(16), rows(64)],
    PREFILL: [prompts(6), prompts(0, 134, 65, 0), prompts(525)],
    RMSNORM: [rows(4), rows(1025)],
}
SHELVES = [
    (folder, place)
    for folder in CASES
    for shelf in ("solutions", "peers")
    for place in sorted((folder / shelf).iterdir())
    if read_candidate_file(place).entry_point.partition("::")[0].endswith(".py")
]
"""Those in CUDA C++ are judged in `test_shipped_solutions`."""


def answers(place: Path, inputs: dict[str, Any], trusted: dict[str, torch.Tensor]) -> list[Any]:
    said = read_candidate_file(place)
    file, _, function = said.entry_point.partition("::")
    run = getattr(load_anew(place / file), function)
    if not said.destination_passing_style:
        result = run(*inputs.values())
        return list(result) if isinstance(result, tuple) else [result]
    outputs = [torch.full_like(value, float("nan")) for value in trusted.values()]
    run(*inputs.values(), *outputs)
    return outputs


@pytest.mark.parametrize(
    ("folder", "place"), SHELVES, ids=lambda path: path.name if isinstance(path, Path) else None
)
def test_solutions_and_peers_are_right_in_every_family(folder: Path, place: Path) -> None:
    with skips_without_its_packages() if place.parent.name == "peers" else nullcontext():
        assert refused_of(folder, place) == []


def refused_of(folder: Path, place: Path) -> list[Any]:
    """What is wrong in which family, for every case."""
    operator, device = judged(folder), torch.device("cuda")
    refused: list[Any] = []
    for case in CASES[folder]:
        for seed, family in enumerate(operator.families):
            inputs = dict(operator.make_inputs(case, seed, family, device))
            expected, trusted = operator.oracle(case, inputs), operator.trusted(case, inputs)
            got = answers(place, inputs, trusted)
            torch.cuda.synchronize()
            for (name, exact), value in zip(expected.items(), got, strict=True):
                limits = operator.limits(name)
                typical = family == operator.families[0]
                error, mismatch = check_output(
                    name, value, exact, trusted[name], limits, published=typical
                )
                if mismatch is not None:
                    refused.append((case.axes, family, mismatch.message, error.rms_relative))
    return refused


def test_oracle_on_gpu_equals_the_oracle_on_cpu() -> None:
    operator, case = judged(PREFILL), prompts(200, 0, 31)
    inputs = dict(operator.make_inputs(case, 1, "typical", torch.device("cpu")))
    there = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
    on_cpu, on_gpu = operator.oracle(case, inputs), operator.oracle(case, there)
    for name, value in on_cpu.items():
        torch.testing.assert_close(on_gpu[name].cpu(), value, rtol=1e-9, atol=1e-9)


def test_oracle_and_trusted_of_the_longest_prompts_take_well_below_a_second() -> None:
    operator, case = judged(PREFILL), prompts(*SKEWED)
    inputs = dict(operator.make_inputs(case, 1, "typical", torch.device("cuda")))
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        operator.expected_outputs(case, inputs)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    assert seconds[-1] < 1.0
