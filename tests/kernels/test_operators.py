"""Every operator's folder keeps its contract, whoever wrote it and whenever it was dropped in."""

from __future__ import annotations

import ast
import functools
import json
import math
import random
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel_harness.tools.devices.hardware import shipped_hardware
from kernel_harness.tools.devices.roofline import floors
from kernel_harness.tools.judge.numerics.correctness import check_output
from kernel_harness.tools.judge.operators.held_out_cases import HeldOutCases, draw_held_out
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import (
    Definition,
    Language,
    RandomInput,
    ScalarInput,
    Trace,
    Workload,
    unknown_keys,
)
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.policy import read_policy

KERNELS = Path(str(files("kernel_harness.kernels")))
FIXTURES = Path(__file__).parents[1] / "fixtures" / "operators"
SHIPPED = sorted(p for p in KERNELS.iterdir() if p.is_dir() and p.name[0] not in "._")
FOLDERS = [*SHIPPED, *sorted(p for p in FIXTURES.iterdir() if p.is_dir())]
FILES = (
    "definition.json",
    "workloads.jsonl",
    "structure.json",
    "published.json",
    "reference.py",
    "oracle.py",
    "inputs.py",
    "cost.py",
    "policy.toml",
)
CONTEST = ("dsa_", "gdn_", "moe_fp8_")
"""Beginnings of the contest's definitions; a folder that someone adds is held to the same form."""
CONTEST_WORKLOADS = 324
SHRUNK = {"num_pages": 128}
"""Axes that only make tensors larger, cut down for tests."""
LARGEST_INPUTS = 64 << 20
"""Bytes beyond which an operator's numbers are tested in a file of its own, on reduced sizes."""
ROUNDED_OPERANDS = 5e-4
"""A trusted float32 output with a larger error comes of bfloat16 operands: then one final rounding
to bfloat16 cannot be told from it, and the operator's own test shows what can."""
CPU = torch.device("cpu")
SEED = 20

each_operator = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def definition_of(folder: Path) -> Definition:
    return Definition.model_validate_json((folder / "definition.json").read_text())


def workloads_of(folder: Path) -> list[Workload]:
    lines = (folder / "workloads.jsonl").read_text().splitlines()
    return [Trace.model_validate_json(line).workload for line in lines]


def operator_of(folder: Path) -> Operator:
    return Operator(
        definition_of(folder),
        tuple(workloads_of(folder)),
        folder=folder,
        policy=read_policy(folder / "policy.toml"),
        structure=json.loads((folder / "structure.json").read_text()),
    )


def input_bytes(definition: Definition, axes: dict[str, int]) -> int:
    shapes = definition.input_shapes(definition.axis_values(axes))
    return sum(
        math.prod(shape) * definition.inputs[name].dtype.bits // 8
        for name, shape in shapes.items()
        if shape is not None
    )


@functools.cache
def small_case(folder: Path) -> tuple[OperatorAdapter, Case] | None:
    """The smallest workload, or None where even that is too large to be judged here."""
    definition = definition_of(folder)
    judged = OperatorAdapter(definition, folder)
    shrunk = {axis: size for axis, size in SHRUNK.items() if axis in definition.axes}
    cases = [judged.case(workload) for workload in workloads_of(folder)]
    smallest = min(cases, key=lambda case: input_bytes(definition, case.axes | shrunk))
    axes = smallest.axes | shrunk
    if input_bytes(definition, axes) > LARGEST_INPUTS:
        return None
    return judged, Case(smallest.uuid, axes, smallest.structure, smallest.scalars)


def must_be_tested_elsewhere(folder: Path) -> None:
    """Fails unless a test file of the operator's own names it."""
    others = [p for p in Path(__file__).parent.glob("test_*.py") if p.name != Path(__file__).name]
    naming = [path.name for path in others if folder.name in path.read_text()]
    assert naming, f"{folder.name} is too large to be judged here and has no test file of its own"


def is_right(
    judged: OperatorAdapter,
    inputs: dict,
    name: str,
    got: torch.Tensor,
    expected: torch.Tensor,
    trusted: torch.Tensor,
) -> bool:
    if judged.compares(name):
        return bool(judged.compare(name, inputs, expected, got)["ok"])
    return check_output(name, got, expected, trusted, judged.limits(name))[1] is None


# --- files ------------------------------------------------------------------------------------


def test_the_contest_has_324_workloads() -> None:
    contest = [folder for folder in SHIPPED if folder.name.startswith(CONTEST)]
    assert sum(len(workloads_of(folder)) for folder in contest) == CONTEST_WORKLOADS


@each_operator
def test_folder_holds_every_file_of_the_contract(folder: Path) -> None:
    assert [name for name in FILES if not (folder / name).is_file()] == []


@each_operator
def test_definition_is_named_after_its_folder_and_holds_reference_py_byte_for_byte(
    folder: Path,
) -> None:
    definition = definition_of(folder)
    assert definition.name == folder.name
    assert definition.reference.encode() == (folder / "reference.py").read_bytes()
    assert unknown_keys(definition) == []


@each_operator
def test_reference_takes_the_inputs_in_their_order(folder: Path) -> None:
    definition = definition_of(folder)
    tree = ast.parse(definition.reference)
    run = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "run")
    assert [argument.arg for argument in run.args.args] == list(definition.inputs)


@each_operator
def test_workloads_fit_the_definition(folder: Path) -> None:
    definition = definition_of(folder)
    lines = (folder / "workloads.jsonl").read_text().splitlines()
    traces = [Trace.model_validate_json(line) for line in lines]
    assert all(t.definition == folder.name and t.solution is None for t in traces)
    assert len({t.workload.uuid for t in traces}) == len(traces) > 0
    for workload in (trace.workload for trace in traces):
        assert set(workload.axes) == set(definition.var_axes)
        assert set(workload.inputs) == set(definition.inputs)
        for name, given in workload.inputs.items():
            scalar = definition.inputs[name].shape is None
            assert isinstance(given, ScalarInput if scalar else RandomInput)


@each_operator
def test_structure_and_published_latencies_name_known_workloads(folder: Path) -> None:
    known = {workload.uuid for workload in workloads_of(folder)}
    structure = json.loads((folder / "structure.json").read_text())
    published = json.loads((folder / "published.json").read_text())
    assert set(structure) <= known
    assert set(published) == {"source", "device", "latency_us"}
    assert set(published["latency_us"]) <= known
    assert all(latency > 0 for latency in published["latency_us"].values())
    if folder.name.startswith(CONTEST):
        assert set(published["latency_us"]) == known


@each_operator
def test_solutions_and_peers_can_be_read_and_the_baselines_exist(folder: Path) -> None:
    operator = operator_of(folder)
    found = [*operator.peers().values(), *operator.solutions().values()]
    assert {solution.definition for solution in found} == {folder.name}
    assert len({solution.name for solution in found}) == len(found)
    assert operator.baseline() is not None
    on_cpu = operator.baseline(cpu=True)
    assert on_cpu is not None
    assert on_cpu.spec.language in (Language.PYTHON, Language.TRITON)
    for solution in found:
        file, _, function = solution.spec.entry_point.partition("::")
        source = next(s.content for s in solution.sources if s.path == file)
        if solution.spec.language in (Language.PYTHON, Language.TRITON):
            defined = {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
            assert function in defined


@each_operator
def test_policy_names_outputs_and_inputs_that_exist(folder: Path) -> None:
    definition, policy = definition_of(folder), read_policy(folder / "policy.toml")
    assert set(policy.strict) == set(definition.outputs)
    assert set(policy.mutable_inputs) <= set(definition.inputs)


# --- cost -------------------------------------------------------------------------------------


@each_operator
def test_cost_is_read_without_torch(folder: Path) -> None:
    tree = ast.parse((folder / "cost.py").read_text())
    named: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            named |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add((node.module or "").split(".")[0])
    assert named.isdisjoint({"torch", "triton", "numpy"})


@each_operator
def test_every_workload_has_a_floor_below_its_published_latency(folder: Path) -> None:
    operator = operator_of(folder)
    b200 = next(d for d in shipped_hardware().values() if "B200" in " ".join(d.identity.names))
    published = json.loads((folder / "published.json").read_text())["latency_us"]
    for workload in operator.workloads:
        cost = operator.expected_cost(workload.uuid)
        floor = floors(cost, b200)
        assert 0 < floor.nominal_us < published.get(workload.uuid, math.inf)
        assert cost.bytes_written > 0


# --- inputs -----------------------------------------------------------------------------------


@each_operator
def test_inputs_follow_from_the_seed_alone(folder: Path) -> None:
    found = small_case(folder)
    if found is None:
        return must_be_tested_elsewhere(folder)
    judged, case = found
    first, again, other = (
        judged.make_inputs(case, seed, judged.families[0], CPU) for seed in (SEED, SEED, SEED + 1)
    )
    tensors = [name for name, value in first.items() if isinstance(value, torch.Tensor)]
    assert all(torch.equal(first[name], again[name]) for name in tensors)  # type: ignore[arg-type]
    assert any(not torch.equal(first[name], other[name]) for name in tensors)  # type: ignore[arg-type]
    return None


@each_operator
def test_held_out_cases_are_new_valid_and_the_same_for_one_seed(folder: Path) -> None:
    operator, judged = operator_of(folder), OperatorAdapter(definition_of(folder), folder)
    public = [(w.axes, facts(operator.structure.get(w.uuid))) for w in operator.workloads]

    def draw() -> HeldOutCases:
        known = [judged.case(workload) for workload in operator.workloads]
        return draw_held_out(
            judged, random.Random(SEED), known, operator.workloads, chosen=12, uniform=12
        )

    assert draw() == draw()
    cases = draw().cases
    assert len(cases) == 24 and [c.draw == "uniform" for c in cases] == [False] * 12 + [True] * 12
    waived = set(operator.policy.waived_constraints)
    for case in cases:
        assert set(case.axes) == set(operator.definition.var_axes)
        assert set(operator.definition.violated_constraints(case.axes)) <= waived
        assert (case.axes, facts(case.structure)) not in public


@each_operator
def test_held_out_cases_draw_every_scalar(folder: Path) -> None:
    operator, judged = operator_of(folder), OperatorAdapter(definition_of(folder), folder)
    known = [judged.case(workload) for workload in operator.workloads]
    cases = draw_held_out(
        judged, random.Random(SEED), known, operator.workloads, chosen=6, uniform=6
    ).cases
    scalars = [n for n, spec in operator.definition.inputs.items() if spec.shape is None]
    assert set(operator.policy.scalars) == set(scalars) and set(operator.policy.axes) <= set(
        operator.definition.var_axes
    )
    for name in scalars:
        values = [case.scalars[name] for case in cases]
        public = {case.scalars[name] for case in known}
        assert not set(values[:1]) <= public or operator.policy.scalars[name].values
        assert len(set(values) - public) >= 3
        assert set(operator.policy.scalars[name].values[:1]) <= {*values, *public}


def facts(structure: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a structure entry says of the inputs, without the words on where it is from."""
    return {key: value for key, value in (structure or {}).items() if not isinstance(value, str)}


# --- numbers ----------------------------------------------------------------------------------


@each_operator
def test_oracle_agrees_with_the_reference_in_every_family(folder: Path) -> None:
    found = small_case(folder)
    if found is None:
        return must_be_tested_elsewhere(folder)
    judged, case = found
    for family in judged.families:
        inputs = judged.make_inputs(case, SEED, family, CPU)
        expected, trusted = judged.oracle(case, inputs), judged.trusted(case, inputs)
        reference = judged.reference_outputs(case, inputs)
        for name in judged.definition.outputs:
            values = (reference[name], expected[name], trusted[name])
            assert is_right(judged, inputs, name, *values), (family, name, "reference")
            values = (trusted[name], expected[name], trusted[name])
            assert is_right(judged, inputs, name, *values), (family, name, "trusted")
    return None


@each_operator
def test_outputs_computed_together_are_those_of_each_function_alone(folder: Path) -> None:
    found = small_case(folder)
    if found is None:
        return must_be_tested_elsewhere(folder)
    judged, case = found
    for family in judged.families:
        inputs = judged.make_inputs(case, SEED, family, CPU)
        together = judged.expected_outputs(case, inputs)
        alone = judged.oracle(case, inputs), judged.trusted(case, inputs)
        for outputs, others in zip(together, alone, strict=True):
            assert [(n, v.dtype) for n, v in outputs.items()] == [
                (n, v.dtype) for n, v in others.items()
            ]
            assert all(torch.equal(outputs[name], others[name]) for name in outputs), family
    return None


@each_operator
def test_strict_limits_refuse_what_did_not_do_the_work(folder: Path) -> None:
    found = small_case(folder)
    if found is None:
        return must_be_tested_elsewhere(folder)
    judged, case = found
    inputs = judged.make_inputs(case, SEED, judged.families[0], CPU)
    expected, trusted = judged.oracle(case, inputs), judged.trusted(case, inputs)
    others = judged.trusted(case, judged.make_inputs(case, SEED + 1, judged.families[0], CPU))
    for name, answer in trusted.items():
        for kind, wrong in idle_answers(answer, others[name], inputs).items():
            values = (wrong, expected[name], answer)
            assert not is_right(judged, inputs, name, *values), (name, kind)
    return None


def idle_answers(
    answer: torch.Tensor, other: torch.Tensor, inputs: dict
) -> dict[str, torch.Tensor]:
    """Outputs that cost nothing, or leave out part of the work."""
    skipped = answer.clone()
    rows = skipped.view(-1, skipped.shape[-1]) if skipped.dim() else skipped.view(1, 1)
    rows[-1] = 0
    wrong = {"zeros": torch.zeros_like(answer), "other inputs": other, "row skipped": skipped}
    if not answer.dtype.is_floating_point:
        return wrong
    wrong["mean"] = torch.full_like(answer, float(answer.float().mean()))
    for name, value in inputs.items():
        if isinstance(value, torch.Tensor) and value.numel() == answer.numel():
            wrong[f"copy of {name}"] = value.reshape(answer.shape).to(answer.dtype)
    return wrong


@each_operator
def test_strict_limits_refuse_float32_outputs_that_were_bfloat16(folder: Path) -> None:
    found = small_case(folder)
    if found is None:
        return must_be_tested_elsewhere(folder)
    judged, case = found
    inputs = judged.make_inputs(case, SEED, judged.families[0], CPU)
    expected, trusted = judged.oracle(case, inputs), judged.trusted(case, inputs)
    for name, answer in trusted.items():
        if answer.dtype != torch.float32:
            continue
        error, _ = check_output(name, answer, expected[name], answer, judged.limits(name))
        assert isinstance(error.rms_relative, float)
        if error.rms_relative > ROUNDED_OPERANDS:
            must_be_tested_elsewhere(folder)
            continue
        lowered = answer.to(torch.bfloat16).to(torch.float32)
        assert not is_right(judged, inputs, name, lowered, expected[name], answer), name
    return None


@each_operator
def test_strict_limits_refuse_bfloat16_outputs_that_were_float8(folder: Path) -> None:
    found = small_case(folder)
    if found is None:
        return must_be_tested_elsewhere(folder)
    judged, case = found
    inputs = judged.make_inputs(case, SEED, judged.families[0], CPU)
    expected, trusted = judged.oracle(case, inputs), judged.trusted(case, inputs)
    for name, answer in trusted.items():
        if answer.dtype != torch.bfloat16:
            continue
        scale = float(answer.float().abs().max()) / torch.finfo(torch.float8_e4m3fn).max
        lowered = (answer.float() / scale).to(torch.float8_e4m3fn).float() * scale
        values = (lowered.to(torch.bfloat16), expected[name], answer)
        assert not is_right(judged, inputs, name, *values), name
    return None
