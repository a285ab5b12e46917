"""The stand-ins for an operator that brings nothing."""

from __future__ import annotations

import shutil

import pytest
import torch

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators.generic_operator import (
    FAMILIES,
    TORCH_DTYPES,
)
from kernel_harness.tools.judge.operators.operator_adapter import (
    MOST_COUNTED,
    Case,
    OperatorAdapter,
)
from kernel_harness.tools.schema.drawn_inputs import RandomGenerator
from kernel_harness.tools.schema.flashinfer_trace import Workload

from ....judging import AFFINE, read_definition
from .examples import CASE, CPU, generic_definition, input_generator, tensor


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(AFFINE, tmp_path / "affine")


@pytest.mark.parametrize("family", FAMILIES)
def test_generic_inputs_have_the_defined_shapes_in_every_family(family):
    operator = OperatorAdapter(generic_definition())
    inputs = operator.make_inputs(Case("w", {"m": 3}), 1, family, CPU)
    assert tensor(inputs["x"]).shape == (3, 8) and tensor(inputs["x"]).dtype == torch.bfloat16
    assert isinstance(inputs["s"], float)
    assert bool(torch.isfinite(tensor(inputs["x"]).float()).all())


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_generic_generated_every_dtype_can_be_drawn(dtype):
    inputs = {"x": {"shape": ["m", "n"], "dtype": dtype}}
    operator = OperatorAdapter(generic_definition(inputs=inputs))
    made = operator.make_inputs(Case("w", {"m": 3}), 1, "typical", CPU)
    assert tensor(made["x"]).dtype == TORCH_DTYPES[dtype]


def test_earlier_records_get_the_values_that_they_were_made_with():
    inputs = {
        "x": {"shape": ["m", "n"], "dtype": "float32"},
        "i": {"shape": ["m"], "dtype": "int32"},
        "b": {"shape": ["n"], "dtype": "bool"},
    }
    operator = OperatorAdapter(generic_definition(inputs=inputs))
    made = operator.make_inputs(Case("w", {"m": 3}), 9, "one_huge", CPU, RandomGenerator.TORCH)
    generator = torch.Generator().manual_seed(9)
    normal = torch.randn(3, 8, generator=generator)
    at = torch.randint(0, 8, (3, 1), generator=generator)
    assert torch.equal(tensor(made["x"]), normal.scatter(-1, at, 50.0))
    integers = torch.randint(-1024, 1025, (3,), generator=generator)
    assert torch.equal(tensor(made["i"]), integers.int())
    assert torch.equal(tensor(made["b"]), torch.randint(0, 2, (8,), generator=generator).bool())


def test_a_scalar_has_its_stated_value_else_its_default_and_is_never_drawn():
    scalar = {"shape": None, "dtype": "float32"}
    inputs = {"x": {"shape": ["m", "n"], "dtype": "float32"}, "s": {**scalar, "default": 1e-6}}
    operator = OperatorAdapter(generic_definition(inputs=inputs))
    assert operator.make_inputs(Case("w", {"m": 3}), 9, "typical", CPU)["s"] == 1e-6
    stated = Case("w", {"m": 3}, scalars={"s": 0.5})
    assert operator.make_inputs(stated, 9, "typical", CPU)["s"] == 0.5
    without = OperatorAdapter(generic_definition(inputs={**inputs, "s": scalar}))
    with pytest.raises(DatasetError, match="Scalar 's' has no value"):
        without.make_inputs(Case("w", {"m": 3}), 9, "typical", CPU)


def test_empty_workloads_can_be_drawn_and_expected():
    operator = OperatorAdapter(generic_definition())
    input_set = input_generator(operator).generate(Case("w", {"m": 0}))
    assert input_set.expected["y"].shape == (0, 8)


def test_the_generic_oracle_is_finer_than_the_reference():
    source = "def run(x, s):\n    return x * s * s\n"
    operator = OperatorAdapter(generic_definition(reference=source))
    input_set = input_generator(operator).generate(Case("w", {"m": 64}, scalars={"s": 0.3}))
    assert input_set.expected["y"].dtype == torch.float32
    assert input_set.trusted["y"].dtype == torch.bfloat16
    exact = tensor(input_set.inputs["x"]).double() * 0.3 * 0.3
    assert (input_set.expected["y"] - exact).abs().max() < (
        input_set.trusted["y"] - exact
    ).abs().max()


COUNTING = """
import pathlib, torch
def run(x, s):
    with pathlib.Path(PLACE).open("a") as file:
        file.write("x")
    return (x.float() * s).to(x.dtype)
"""


def test_the_reference_runs_once_for_each_precision(tmp_path):
    place = tmp_path / "runs"
    source = COUNTING.replace("PLACE", repr(str(place)))
    operator = OperatorAdapter(generic_definition(reference=source))
    case = Case("w", {"m": 4}, scalars={"s": 0.3})
    inputs = operator.make_inputs(case, 1, "typical", CPU)
    expected, trusted = operator.expected_outputs(case, inputs)
    assert place.read_text() == "xx"
    assert torch.equal(expected["y"], operator.oracle(case, inputs)["y"])
    assert torch.equal(trusted["y"], operator.trusted(case, inputs)["y"])
    assert (expected["y"].dtype, trusted["y"].dtype) == (torch.float32, torch.bfloat16)


def test_a_reference_that_refuses_wider_inputs_is_its_own_oracle():
    source = (
        "import torch\ndef run(x, s):\n    assert x.dtype == torch.bfloat16\n    return x * s\n"
    )
    operator = OperatorAdapter(generic_definition(reference=source))
    input_set = input_generator(operator).generate(Case("w", {"m": 4}, scalars={"s": 0.3}))
    assert torch.equal(input_set.expected["y"], input_set.trusted["y"])


def test_a_reference_that_changes_its_inputs_leaves_the_inputs_alone():
    source = "def run(x, s):\n    x.mul_(s)\n    return x\n"
    operator = OperatorAdapter(generic_definition(reference=source))
    input_set = input_generator(operator).generate(Case("w", {"m": 4}, scalars={"s": 0.5}))
    again = operator.make_inputs(input_set.case, input_set.seed, input_set.family, CPU)
    assert torch.equal(tensor(input_set.inputs["x"]), tensor(again["x"]))


def test_without_a_cost_of_its_own_the_products_of_the_reference_are_counted():
    products = (
        "import torch\ndef run(x, s):\n    for _ in range(3):\n"
        "        x = (x.float() @ torch.eye(8) * s).to(x.dtype)\n    return x\n"
    )
    operator = OperatorAdapter(generic_definition(reference=products))
    case = Case("w", {"m": 4})
    assert operator.cost(case).flops == {}
    input_generator(operator).generate(case)
    cost = operator.cost(case)
    assert cost.flops == {"bf16": 3 * 2 * 4 * 8 * 8}
    assert cost.upper_bound and "product" in cost.assumptions[1]


COUNTED = """
def cost(axes, *, structure=None, inputs=None):
    read = 100.0 if inputs is None else float((inputs["x"] > 0).sum())
    return {"bytes_read": read, "flops": {"fp32": 2 * read}, "expected": inputs is None}
"""


def test_an_expectation_gives_way_to_the_mean_work_of_typical_inputs(folder):
    (folder / "cost.py").write_text(COUNTED)
    operator = OperatorAdapter(read_definition(folder), folder)
    generated = input_generator(operator)
    assert operator.cost(CASE).bytes_read == 100
    first = generated.generate(CASE)
    positive = float((tensor(first.inputs["x"]) > 0).sum())
    assert operator.cost(CASE).bytes_read == positive
    generated.generate(CASE, family=operator.families[-1])
    assert operator.cost(CASE).bytes_read == positive
    for _ in range(20):
        generated.generate(CASE)
    found = operator.cost(CASE)
    assert found.flops["fp32"] == 2 * found.bytes_read
    assert found.may_exceed and f"mean of {MOST_COUNTED} draws" in found.assumptions[-1]


def test_a_cost_that_fails_on_inputs_leaves_the_expectation(folder):
    (folder / "cost.py").write_text(COUNTED.replace('inputs["x"]', 'inputs["gone"]'))
    operator = OperatorAdapter(read_definition(folder), folder)
    input_generator(operator).generate(CASE)
    assert operator.cost(CASE).bytes_read == 100


def test_a_reference_of_the_wrong_shape_is_the_datasets_fault():
    source = "def run(x, s):\n    return x[:1]\n"
    operator = OperatorAdapter(generic_definition(reference=source))
    with pytest.raises(DatasetError, match="shape"):
        input_generator(operator).generate(Case("w", {"m": 4}))


def test_a_missing_blob_is_named(tmp_path):
    workload = Workload.model_validate(
        {
            "uuid": "w",
            "axes": {"m": 4},
            "inputs": {"x": {"type": "safetensors", "path": "blob/a.st", "tensor_key": "x"}},
        }
    )
    operator = OperatorAdapter(generic_definition(), None, tmp_path)
    with pytest.raises(DatasetError) as caught:
        operator.make_inputs(operator.case(workload), 1, "typical", CPU)
    assert caught.value.where.endswith("blob/a.st")


def test_a_blob_that_was_not_fetched_is_named_with_the_remedy(tmp_path):
    spec = {"type": "safetensors", "path": "a.st", "tensor_key": "x"}
    workload = Workload.model_validate({"uuid": "w", "axes": {"m": 4}, "inputs": {"x": spec}})
    (tmp_path / "a.st").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    operator = OperatorAdapter(generic_definition(), None, tmp_path)
    with pytest.raises(DatasetError, match="git lfs pull"):
        operator.make_inputs(operator.case(workload), 1, "typical", CPU)


def test_a_stored_tensor_is_used(tmp_path):
    from safetensors.torch import save_file

    stored = torch.full((4, 8), 3.0, dtype=torch.bfloat16)
    (tmp_path / "blob").mkdir()
    save_file({"x": stored}, str(tmp_path / "blob" / "a.st"))
    spec = {"type": "safetensors", "path": "./blob/a.st", "tensor_key": "x"}
    workload = Workload.model_validate({"uuid": "w", "axes": {"m": 4}, "inputs": {"x": spec}})
    operator = OperatorAdapter(generic_definition(), None, tmp_path)
    made = operator.make_inputs(operator.case(workload), 1, "typical", CPU)
    assert torch.equal(tensor(made["x"]), stored)
