"""Every shipped operator, read as the server reads it: whole, without a problem, and soon."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.devices.roofline import floors
from kernel_harness.tools.schema.constraints import ConstraintStatus
from kernel_harness.tools.schema.flashinfer_trace import Solution, Trace, unknown_keys
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.regimes import sample_shapes

KERNELS = Path(str(files("kernel_harness.kernels")))
DATASET = Dataset.load(KERNELS)
OPERATORS = sorted(DATASET.operators)
IMPOSSIBLE_BELOW = 0.90
"""A latency under this share of the nominal floor means that the timing or the count is wrong."""
CONTEST = {
    "gdn_decode_qk4_v8_d128_k_last": 54,
    "gdn_prefill_qk4_v8_d128_k_last": 100,
    "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64": 23,
    "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64": 128,
    "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048": 19,
}


@pytest.fixture(params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> Operator:
    return DATASET.operators[request.param]


def test_no_shipped_file_has_a_problem() -> None:
    assert [str(problem) for problem in DATASET.problems] == []


def test_the_five_contest_operators_are_there_with_all_their_workloads() -> None:
    counts = {name: len(DATASET.operators[name].workloads) for name in CONTEST}
    assert counts == CONTEST


def test_the_reference_in_the_definition_is_the_file(operator: Operator) -> None:
    assert operator.folder
    assert operator.definition.reference == (operator.folder / "reference.py").read_text()


def test_the_definition_uses_only_what_the_format_has(operator: Operator) -> None:
    assert unknown_keys(operator.definition) == []


def test_companion_files_speak_of_known_workloads_and_outputs(operator: Operator) -> None:
    uuids = {workload.uuid for workload in operator.workloads}
    assert set(operator.structure) <= uuids
    assert set(operator.published) <= uuids
    assert all(latency > 0 for latency in operator.published.values())
    if operator.published:
        assert operator.published_source and operator.published_device
    assert set(operator.policy.strict) <= set(operator.definition.outputs)
    assert set(operator.policy.mutable_inputs) <= set(operator.definition.inputs)


def test_constraints_can_be_evaluated(operator: Operator) -> None:
    for workload in operator.workloads:
        outcomes = Counter(c.outcome for c in operator.definition.check_constraints(workload.axes))
        assert outcomes[ConstraintStatus.UNEVALUABLE] == 0


def test_only_constraints_that_published_workloads_break_are_waived(operator: Operator) -> None:
    broken = {
        text
        for workload in operator.workloads
        for text in operator.definition.violated_constraints(workload.axes)
    }
    assert broken == set(operator.policy.waived_constraints)


def test_shelves_hold_solutions_of_this_operator(operator: Operator) -> None:
    shelves: list[dict[str, Solution]] = [operator.peers(), operator.solutions()]
    for shelf in shelves:
        for solution in shelf.values():
            assert solution.definition == operator.name
    assert operator.baseline(), "the policy names no baseline"
    assert operator.baseline(cpu=True)


def test_floors_lie_below_what_others_published(operator: Operator) -> None:
    b200 = shipped_hardware()["B200"]
    for workload in operator.workloads:
        cost = operator.expected_cost(workload.uuid)
        least = floors(cost, b200)
        assert least.nominal_us > 0
        published = operator.published.get(workload.uuid)
        if published is not None:
            assert cost.upper_bound or published >= IMPOSSIBLE_BELOW * least.nominal_us
            # An estimate, and a published figure has its noise; a step too many would be 0.7 us.
            assert least.latency_us is not None and least.latency_us < 1.05 * published


def test_a_sample_of_eight_stands_for_all_within_a_few_per_cent(operator: Operator) -> None:
    sample = sample_shapes(operator)
    assert len(sample.weights) <= 8
    if not operator.published:
        assert sample.basis == "estimated"
        return
    assert sample.basis == "published"
    assert sample.expected_error is not None and abs(sample.expected_error) < 0.05
    assert 2 <= len(sample.regimes) <= 8


def test_our_lines_and_solutions_load_in_the_reference_package(operator: Operator) -> None:
    package = pytest.importorskip(
        "flashinfer_bench.data", reason="the package flashinfer_bench is not installed"
    )
    theirs = package.Definition.model_validate_json(operator.definition.model_dump_json())
    assert list(theirs.inputs) == list(operator.definition.inputs)
    for workload in operator.workloads:
        line = Trace(definition=operator.name, workload=workload).model_dump_json()
        assert package.Trace.model_validate_json(line).is_workload_trace()
    for solution in (*operator.peers().values(), *operator.solutions().values()):
        assert package.Solution.model_validate_json(solution.model_dump_json()).name


def test_all_workloads_load_soon() -> None:
    spent = []
    for _ in range(3):
        began = time.process_time()
        Dataset.load(KERNELS)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.5, "about 0.02 s are usual; a server waits for this at its start"


def test_reading_and_sampling_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from kernel_harness.tools.workloads.dataset import Dataset\n"
        "from kernel_harness.tools.workloads.regimes import sample_shapes\n"
        f"for operator in Dataset.load(Path({str(KERNELS)!r})).operators.values():\n"
        "    sample_shapes(operator); operator.baseline()\n"
        "heavy = {'torch', 'triton', 'numpy', 'scipy', 'matplotlib', 'git', 'mcp'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
