"""What an operator's folder brings, and the stand-ins where it brings nothing."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace

import pytest
import torch

from kernel_harness.tools.errors import DatasetError, InfrastructureError
from kernel_harness.tools.judge.operators.operator_adapter import (
    OperatorAdapter,
)
from kernel_harness.tools.judge.philox.generator import PhiloxGenerator
from kernel_harness.tools.schema.drawn_inputs import InputSource, RandomGenerator
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload

from ....judging import AFFINE, read_definition, read_workloads
from .examples import CASE, CPU, tensor


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(AFFINE, tmp_path / "affine")


def test_a_workload_becomes_a_case_with_its_scalars(operator):
    workload = Workload.model_validate(read_workloads(AFFINE)[1])
    case = operator.case(workload)
    assert case.axes == {"m": 3} and case.scalars == {"alpha": 0.5} and not case.held_out


def test_inputs_come_in_the_definitions_order_and_follow_their_seed(operator):
    first = operator.make_inputs(CASE, 7, "typical", CPU)
    again = operator.make_inputs(CASE, 7, "typical", CPU)
    other = operator.make_inputs(CASE, 8, "typical", CPU)
    assert list(first) == ["x", "w", "table", "alpha"]
    assert torch.equal(tensor(first["x"]), tensor(again["x"])) and not torch.equal(
        tensor(first["x"]), tensor(other["x"])
    )


def test_an_operators_own_sizes_come_as_it_gives_them_and_none_where_it_has_no_such_function(
    operator,
):
    assert operator.own_held_out(random.Random(1), 3) == operator.own_held_out(random.Random(1), 3)
    assert [set(item) for item in operator.own_held_out(random.Random(1), 2) or ()] == [
        {"axes", "structure", "kind"}
    ] * 2
    assert OperatorAdapter(read_definition(AFFINE)).own_held_out(random.Random(1), 2) is None


def test_own_sizes_that_cannot_be_drawn_are_the_operators_fault(folder):
    (folder / "inputs.py").write_text("def held_out(rng, count):\n    raise ValueError('odd')\n")
    with pytest.raises(DatasetError, match=r"held_out\(\) of the operator failed.*odd"):
        OperatorAdapter(read_definition(folder), folder).own_held_out(random.Random(1), 2)


@pytest.mark.parametrize("error", ["MemoryError()", 'RuntimeError("can\'t allocate memory")'])
def test_memory_that_ran_out_for_inputs_is_not_the_operators_fault(folder, error):
    """Sizes of a caller's own were too large, and the folder was to blame."""
    (folder / "inputs.py").write_text(f"def generate(*_, **__):\n    raise {error}\n")
    with pytest.raises(InfrastructureError, match="Memory ran out.*smaller sizes"):
        OperatorAdapter(read_definition(folder), folder).make_inputs(CASE, 1, "typical", CPU)


def test_limits_come_from_the_policy(operator):
    assert operator.limits("y").rms_minimum == 1e-6
    assert operator.limits("y").atol == 1e-2


def test_inputs_that_are_not_as_defined_are_the_operators_fault(folder):
    text = (folder / "inputs.py").read_text()
    (folder / "inputs.py").write_text(text.replace(".int()", ""))
    with pytest.raises(DatasetError, match=r"'table' was made as .*int64"):
        OperatorAdapter(read_definition(folder), folder).make_inputs(CASE, 1, "typical", CPU)


ASKING = """
import torch
FAMILIES = ("typical",)
def generate(axes, *, generator, device, philox=None, **_):
    m, n = axes["m"], axes["n"]
    x = torch.randn(m, n, generator=generator, device=device)
    if philox is not None:
        x = philox.normal("x", (m, n))
    table = torch.zeros(m, dtype=torch.int32)
    return {"x": x, "w": torch.ones(n), "table": table, "alpha": 1.0}
"""


def test_an_inputs_py_that_asks_for_philox_draws_by_it_and_by_torch_for_earlier_records(folder):
    (folder / "inputs.py").write_text(ASKING)
    operator = OperatorAdapter(read_definition(folder), folder)
    assert operator.source_on(CPU) == InputSource(generator=RandomGenerator.PHILOX)
    drawn = {
        generator: tensor(operator.make_inputs(CASE, 7, "typical", CPU, generator)["x"])
        for generator in (None, *RandomGenerator)
    }
    earlier = torch.randn(drawn[None].shape, generator=torch.Generator().manual_seed(7))
    assert torch.equal(drawn[RandomGenerator.TORCH], earlier)
    by_philox = PhiloxGenerator(7, CPU).normal("x", earlier.shape)
    assert torch.equal(drawn[RandomGenerator.PHILOX], by_philox)
    assert torch.equal(drawn[None], by_philox)


def test_one_that_does_not_ask_draws_by_torch_and_its_records_say_so(operator):
    assert operator.source_on(CPU) == InputSource()
    drawn = [
        tensor(operator.make_inputs(CASE, 7, "typical", CPU, generator)["x"])
        for generator in (None, *RandomGenerator)
    ]
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


PAIR = """

def oracle_and_trusted(**inputs):
    both = oracle(**inputs), trusted(**inputs)
    return WHAT
"""


def test_an_oracle_py_that_gives_both_outputs_together_is_asked_once(folder):
    source = (folder / "oracle.py").read_text()
    (folder / "oracle.py").write_text(source + PAIR.replace("WHAT", "both"))
    operator = OperatorAdapter(read_definition(folder), folder)
    inputs = operator.make_inputs(CASE, 7, "typical", CPU)
    found = operator.expected_outputs(CASE, inputs)
    for outputs, alone in zip(
        found, (operator.oracle(CASE, inputs), operator.trusted(CASE, inputs)), strict=True
    ):
        assert all(torch.equal(outputs[name], alone[name]) for name in ("y", "row"))
    (folder / "oracle.py").write_text(source + PAIR.replace("WHAT", "both[0], {}"))
    with pytest.raises(DatasetError, match="gave no .y., .row., but nothing else") as caught:
        OperatorAdapter(read_definition(folder), folder).expected_outputs(CASE, inputs)
    assert "oracle_and_trusted()" in caught.value.where


def test_a_generator_that_raises_is_named_with_its_file(folder):
    (folder / "inputs.py").write_text("def generate(axes, **_):\n    raise ValueError('too few')\n")
    with pytest.raises(DatasetError, match="too few") as caught:
        OperatorAdapter(read_definition(folder), folder).make_inputs(CASE, 1, "typical", CPU)
    assert caught.value.where.endswith("inputs.py") and caught.value.remedy


def test_a_file_that_does_not_import_is_named(folder):
    (folder / "oracle.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(DatasetError, match="nothing_of_that_name"):
        OperatorAdapter(read_definition(folder), folder)


def test_an_edited_file_counts_at_once_and_under_another_key(folder):
    before = OperatorAdapter(read_definition(folder), folder)
    text = (folder / "oracle.py").read_text().replace("+ 1.0", "+ 2.0")
    (folder / "oracle.py").write_text(text)
    after = OperatorAdapter(read_definition(folder), folder)
    inputs = before.make_inputs(CASE, 1, "typical", CPU)
    difference = after.oracle(CASE, inputs)["y"] - before.oracle(CASE, inputs)["y"]
    assert torch.allclose(difference, torch.ones_like(difference))
    assert before.key != after.key


def test_a_file_of_the_folder_may_hold_a_dataclass_with_postponed_annotations(folder):
    source = (folder / "oracle.py").read_text()
    made = "from dataclasses import dataclass\n\n@dataclass\nclass Sizes:\n    m: int\n\n"
    postponed = "from __future__ import annotations\n"
    (folder / "oracle.py").write_text(postponed + made + source.replace(postponed, ""))
    OperatorAdapter(read_definition(folder), folder)


def test_each_plan_has_modules_of_its_own(folder):
    first, again = (OperatorAdapter(read_definition(folder), folder) for _ in range(2))
    assert first._oracle is not None and first._oracle is not again._oracle


def constrained(folder, constraint):
    fields = read_definition(folder).model_dump(mode="json")
    return Definition.model_validate({**fields, "constraints": [constraint]})


def test_inputs_that_violate_a_constraint_on_their_contents_are_the_operators_fault(folder):
    operator = OperatorAdapter(constrained(folder, "table[0] >= 0"), folder)
    assert operator.make_inputs(CASE, 1, "typical", CPU)
    operator = OperatorAdapter(constrained(folder, "table[0] < 0"), folder)
    with pytest.raises(DatasetError, match=r"'table\[0\] < 0' of their definition \(m = 5"):
        operator.make_inputs(CASE, 1, "typical", CPU)
    hidden = replace(CASE, held_out=True)
    with pytest.raises(DatasetError, match="for a held-out size") as caught:
        operator.make_inputs(hidden, 1, "typical", CPU)
    assert "m = 5" not in str(caught.value)


def test_a_waived_constraint_on_contents_is_not_held_against_inputs(folder):
    policy = folder / "policy.toml"
    waived = 'waived_constraints = ["table[0] < 0"]\n'
    policy.write_text(waived + (policy.read_text() if policy.is_file() else ""))
    definition = constrained(folder, "table[0] < 0")
    assert OperatorAdapter(definition, folder).make_inputs(CASE, 1, "typical", CPU)
