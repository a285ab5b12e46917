"""Sparse attention, indexer and experts on a GPU: every implementation agrees at full width."""

import random
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.devices.targets import suits
from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.operators.generic_operator import torch_dtype
from kernel_harness.tools.judge.operators.held_out_cases import draw_held_out
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import Definition, Trace
from kernel_harness.tools.workloads.operators import load_anew
from kernel_harness.tools.workloads.solution_folder import read_candidate_file

from .missing_packages import skips_without_its_packages

pytestmark = pytest.mark.gpu

KERNELS = Path(str(files("kernel_harness.kernels")))
ATTENTION = "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64"
INDEXER = "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64"
EXPERTS = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
CASES = [
    (ATTENTION, 8),
    (ATTENTION, 20),
    (INDEXER, 0),
    (INDEXER, 100),
    (EXPERTS, 1),
    (EXPERTS, 2),
    (EXPERTS, 4),
]
SEED = 11
PUBLISHED_ONLY = {"flashinfer_trtllm"}
"""Peers that keep e4m3 where the strict limit allows none: the published criterion decides."""


def judged(name):
    folder = KERNELS / name
    return OperatorAdapter(
        Definition.model_validate_json((folder / "definition.json").read_text()), folder
    )


def case_of(operator, position):
    lines = (KERNELS / operator.definition.name / "workloads.jsonl").read_text().splitlines()
    return operator.case(Trace.model_validate_json(lines[position]).workload)


def poisoned(operator, case, device):
    shapes = operator.definition.output_shapes(operator.definition.axis_values(case.axes))
    made = {}
    for name, shape in shapes.items():
        dtype = torch_dtype(operator.definition.outputs[name].dtype)
        poison = float("nan") if dtype.is_floating_point else 0x5A5A5A5A
        made[name] = torch.full(shape, poison, dtype=dtype, device=device)
    return made


def faults(operator, case, inputs, outputs):
    expected, trusted = operator.oracle(case, inputs), operator.trusted(case, inputs)
    found = {}
    for name, got in outputs.items():
        if operator.compares(name):
            found[name] = operator.compare(name, inputs, expected[name], got)["message"]
            continue
        limits = operator.limits(name)
        mismatch = check_output(name, got, expected[name], trusted[name], limits)[1]
        found[name] = "" if mismatch is None else mismatch.message
    return {name: why for name, why in found.items() if why}


@pytest.mark.parametrize(("name", "position"), CASES)
def test_reference_and_trusted_agree_with_the_oracle(name, position):
    device, operator = torch.device("cuda"), judged(name)
    case = case_of(operator, position)
    inputs = operator.make_inputs(case, SEED, "typical", device)
    assert not faults(operator, case, inputs, operator.reference_outputs(case, inputs))
    assert not faults(operator, case, inputs, operator.trusted(case, inputs))


def shelf_of(name, shelf):
    """The implementations in Python; those in CUDA C++ are judged in `test_shipped_solutions`."""
    return sorted(place.parent for place in (KERNELS / name / shelf).glob("*/kernel.py"))


def agrees_in_every_family(name, position, place):
    hardware = read_candidate_file(place).target_hardware
    if not suits(hardware, ".".join(map(str, torch.cuda.get_device_capability()))):
        pytest.skip(f"for {' and '.join(hardware)} alone")
    device, operator = torch.device("cuda"), judged(name)
    case, kernel = case_of(operator, position), load_anew(place / "kernel.py")
    for family in operator.families:
        inputs = operator.make_inputs(case, SEED, family, device)
        outputs = poisoned(operator, case, device)
        kernel.run(*inputs.values(), *outputs.values())
        torch.cuda.synchronize()
        found = faults(operator, case, inputs, outputs)
        if place.name in PUBLISHED_ONLY:
            found = {
                n: why for n, why in found.items() if "the published tolerance, but" not in why
            }
        assert not found, family


@pytest.mark.parametrize(
    ("name", "position", "place"),
    [(name, at, place) for name, at in CASES for place in shelf_of(name, "solutions")],
    ids=lambda value: value.name if isinstance(value, Path) else None,
)
def test_a_solution_agrees_with_the_oracle_in_every_family(name, position, place):
    agrees_in_every_family(name, position, place)


@pytest.mark.parametrize(
    ("name", "position", "place"),
    [(name, at, place) for name, at in CASES for place in shelf_of(name, "peers")],
    ids=lambda value: value.name if isinstance(value, Path) else None,
)
def test_a_peer_agrees_with_the_oracle_in_every_family(name, position, place):
    with skips_without_its_packages():
        agrees_in_every_family(name, position, place)


@pytest.mark.parametrize("name", [ATTENTION, INDEXER, EXPERTS])
def test_rewriting_on_the_device_leaves_valid_inputs(name):
    device, operator = torch.device("cuda"), judged(name)
    case = case_of(operator, 2)
    inputs = operator.make_inputs(case, SEED, "typical", device)
    places = {n: v.data_ptr() for n, v in inputs.items() if isinstance(v, torch.Tensor)}
    generator = torch.Generator(device=device).manual_seed(SEED)
    stale = operator.trusted(case, inputs)
    assert operator.rewrite(case, inputs, generator)
    now = {n: v.data_ptr() for n, v in inputs.items() if isinstance(v, torch.Tensor)}
    assert now == places
    assert not faults(operator, case, inputs, operator.reference_outputs(case, inputs))
    if name != INDEXER:
        assert faults(operator, case, inputs, stale)


@pytest.mark.parametrize("name", [ATTENTION, INDEXER, EXPERTS])
def test_held_out_cases_agree_with_the_baseline(name):
    device, operator = torch.device("cuda"), judged(name)
    kernel = load_anew(KERNELS / name / "peers" / "torch_vectorised" / "kernel.py")
    known = [case_of(operator, position) for position in range(6)]
    for case in draw_held_out(operator, random.Random(SEED), known, [], chosen=6, uniform=3).cases:
        inputs = operator.make_inputs(case, SEED, "typical", device)
        outputs = poisoned(operator, case, device)
        kernel.run(*inputs.values(), *outputs.values())
        assert not faults(operator, case, inputs, outputs), case.axes
