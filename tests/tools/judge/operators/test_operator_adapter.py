"""What an operator's folder brings, and the stand-ins where it brings nothing."""

from __future__ import annotations

import random
import shutil

import pytest
import torch

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators.generic_operator import (
    FAMILIES,
    TORCH_DTYPES,
    Value,
    counting_flops,
)
from kernel_harness.tools.judge.operators.input_draws import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
    pick_families,
)
from kernel_harness.tools.judge.operators.operator_adapter import (
    MOST_COUNTED,
    Case,
    OperatorAdapter,
)
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload

from ....judging import AFFINE, read_definition, read_workloads

CPU = torch.device("cpu")
CASE = Case("w", {"m": 5}, scalars={"alpha": 0.5})


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(AFFINE, tmp_path / "affine")


@pytest.fixture
def operator():
    return OperatorAdapter(read_definition(AFFINE), AFFINE)


def tensor(value: Value) -> torch.Tensor:
    """An input that must be a tensor."""
    assert isinstance(value, torch.Tensor)
    return value


def drawer(operator, **options) -> InputGenerator:
    return InputGenerator(operator, CPU, SeedBook(**options), PrefetchedInputs(1 << 20))


def generic_definition(**changes) -> Definition:
    fields = {
        "name": "generic",
        "op_type": "demo",
        "axes": {"m": {"type": "var"}, "n": {"type": "const", "value": 8}},
        "inputs": {
            "x": {"shape": ["m", "n"], "dtype": "bfloat16"},
            "s": {"shape": None, "dtype": "float32"},
        },
        "outputs": {"y": {"shape": ["m", "n"], "dtype": "bfloat16"}},
        "reference": "import torch\ndef run(x, s):\n    return (x.float() * s).to(x.dtype)\n",
    }
    return Definition.model_validate({**fields, **changes})


def test_a_workload_becomes_a_case_with_its_scalars(operator):
    workload = Workload.model_validate(read_workloads(AFFINE)[1])
    case = operator.case(workload)
    assert case.axes == {"m": 3} and case.scalars == {"alpha": 0.5} and not case.held_out


def test_inputs_come_in_the_definitions_order_and_follow_their_seed(operator):
    first = operator.draw(CASE, 7, "typical", CPU)
    again = operator.draw(CASE, 7, "typical", CPU)
    other = operator.draw(CASE, 8, "typical", CPU)
    assert list(first) == ["x", "w", "table", "alpha"]
    assert torch.equal(tensor(first["x"]), tensor(again["x"])) and not torch.equal(
        tensor(first["x"]), tensor(other["x"])
    )


def test_held_out_cases_are_the_operators_and_follow_their_generator(operator):
    def draw(seed):
        return [c.axes for c in operator.held_out(random.Random(seed), 3, CASE)]

    cases = operator.held_out(random.Random(1), 3, CASE)
    assert len(cases) == 3 and all(c.held_out and c.scalars == {"alpha": 0.5} for c in cases)
    assert draw(1) == draw(1) and draw(1) != draw(2)


def test_limits_come_from_the_policy(operator):
    assert operator.limits("y").rms_floor == 1e-6
    assert operator.limits("y").atol == 1e-2


def test_inputs_that_are_not_as_defined_are_the_operators_fault(folder):
    text = (folder / "inputs.py").read_text()
    (folder / "inputs.py").write_text(text.replace(".int()", ""))
    with pytest.raises(DatasetError, match=r"'table' was made as .*int64"):
        OperatorAdapter(read_definition(folder), folder).draw(CASE, 1, "typical", CPU)


def test_a_generator_that_raises_is_named_with_its_file(folder):
    (folder / "inputs.py").write_text("def generate(axes, **_):\n    raise ValueError('too few')\n")
    with pytest.raises(DatasetError, match="too few") as caught:
        OperatorAdapter(read_definition(folder), folder).draw(CASE, 1, "typical", CPU)
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
    inputs = before.draw(CASE, 1, "typical", CPU)
    difference = after.oracle(CASE, inputs)["y"] - before.oracle(CASE, inputs)["y"]
    assert torch.allclose(difference, torch.ones_like(difference))
    assert before.key != after.key


# --- without a folder -------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_generic_inputs_have_the_defined_shapes_in_every_family(family):
    operator = OperatorAdapter(generic_definition())
    inputs = operator.draw(Case("w", {"m": 3}), 1, family, CPU)
    assert tensor(inputs["x"]).shape == (3, 8) and tensor(inputs["x"]).dtype == torch.bfloat16
    assert isinstance(inputs["s"], float)
    assert bool(torch.isfinite(tensor(inputs["x"]).float()).all())


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_generic_inputs_of_every_dtype_can_be_drawn(dtype):
    inputs = {"x": {"shape": ["m", "n"], "dtype": dtype}}
    operator = OperatorAdapter(generic_definition(inputs=inputs))
    drawn = operator.draw(Case("w", {"m": 3}), 1, "typical", CPU)
    assert tensor(drawn["x"]).dtype == TORCH_DTYPES[dtype]


def test_empty_workloads_can_be_drawn_and_expected():
    operator = OperatorAdapter(generic_definition())
    draw = drawer(operator).draw(Case("w", {"m": 0}))
    assert draw.expected["y"].shape == (0, 8)


def test_the_generic_oracle_is_finer_than_the_reference():
    source = "def run(x, s):\n    return x * s * s\n"
    operator = OperatorAdapter(generic_definition(reference=source))
    draw = drawer(operator).draw(Case("w", {"m": 64}, scalars={"s": 0.3}))
    assert draw.expected["y"].dtype == torch.float32
    assert draw.trusted["y"].dtype == torch.bfloat16
    exact = tensor(draw.inputs["x"]).double() * 0.3 * 0.3
    assert (draw.expected["y"] - exact).abs().max() < (draw.trusted["y"] - exact).abs().max()


def test_a_reference_that_refuses_wider_inputs_is_its_own_oracle():
    source = (
        "import torch\ndef run(x, s):\n    assert x.dtype == torch.bfloat16\n    return x * s\n"
    )
    operator = OperatorAdapter(generic_definition(reference=source))
    draw = drawer(operator).draw(Case("w", {"m": 4}, scalars={"s": 0.3}))
    assert torch.equal(draw.expected["y"], draw.trusted["y"])


def test_a_reference_that_changes_its_inputs_leaves_the_draw_alone():
    source = "def run(x, s):\n    x.mul_(s)\n    return x\n"
    operator = OperatorAdapter(generic_definition(reference=source))
    draw = drawer(operator).draw(Case("w", {"m": 4}, scalars={"s": 0.5}))
    again = operator.draw(draw.case, draw.seed, draw.family, CPU)
    assert torch.equal(tensor(draw.inputs["x"]), tensor(again["x"]))


def test_without_a_cost_of_its_own_the_products_of_the_reference_are_counted():
    products = (
        "import torch\ndef run(x, s):\n    for _ in range(3):\n"
        "        x = (x.float() @ torch.eye(8) * s).to(x.dtype)\n    return x\n"
    )
    operator = OperatorAdapter(generic_definition(reference=products))
    case = Case("w", {"m": 4})
    assert operator.cost(case).flops == {}
    drawer(operator).draw(case)
    cost = operator.cost(case)
    assert cost.flops == {"bf16": 3 * 2 * 4 * 8 * 8}
    assert cost.upper_bound and "product" in cost.assumptions[1]


COUNTED = """
def cost(axes, *, structure=None, inputs=None):
    read = 100.0 if inputs is None else float((inputs["x"] > 0).sum())
    return {"bytes_read": read, "flops": {"fp32": 2 * read}, "expected": inputs is None}
"""


def test_an_expectation_gives_way_to_the_mean_work_of_typical_draws(folder):
    (folder / "cost.py").write_text(COUNTED)
    operator = OperatorAdapter(read_definition(folder), folder)
    draws = drawer(operator)
    assert operator.cost(CASE).bytes_read == 100
    first = draws.draw(CASE)
    positive = float((tensor(first.inputs["x"]) > 0).sum())
    assert operator.cost(CASE).bytes_read == positive
    draws.draw(CASE, family=operator.families[-1])
    assert operator.cost(CASE).bytes_read == positive
    for _ in range(20):
        draws.draw(CASE)
    found = operator.cost(CASE)
    assert found.flops["fp32"] == 2 * found.bytes_read
    assert found.may_exceed and f"mean of {MOST_COUNTED} draws" in found.assumptions[-1]


def test_a_cost_that_fails_on_inputs_leaves_the_expectation(folder):
    (folder / "cost.py").write_text(COUNTED.replace('inputs["x"]', 'inputs["gone"]'))
    operator = OperatorAdapter(read_definition(folder), folder)
    drawer(operator).draw(CASE)
    assert operator.cost(CASE).bytes_read == 100


def test_a_reference_that_cannot_be_counted_is_run_all_the_same():
    tries = []

    def run() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no mode may be active")
        return "result"

    assert counting_flops(run) == ("result", None)


def test_a_reference_of_the_wrong_shape_is_the_datasets_fault():
    source = "def run(x, s):\n    return x[:1]\n"
    operator = OperatorAdapter(generic_definition(reference=source))
    with pytest.raises(DatasetError, match="shape"):
        drawer(operator).draw(Case("w", {"m": 4}))


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
        operator.draw(operator.case(workload), 1, "typical", CPU)
    assert caught.value.where.endswith("blob/a.st")


def test_a_blob_that_was_not_fetched_is_named_with_the_remedy(tmp_path):
    spec = {"type": "safetensors", "path": "a.st", "tensor_key": "x"}
    workload = Workload.model_validate({"uuid": "w", "axes": {"m": 4}, "inputs": {"x": spec}})
    (tmp_path / "a.st").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    operator = OperatorAdapter(generic_definition(), None, tmp_path)
    with pytest.raises(DatasetError, match="git lfs pull"):
        operator.draw(operator.case(workload), 1, "typical", CPU)


def test_a_stored_tensor_is_what_is_drawn(tmp_path):
    from safetensors.torch import save_file

    stored = torch.full((4, 8), 3.0, dtype=torch.bfloat16)
    (tmp_path / "blob").mkdir()
    save_file({"x": stored}, str(tmp_path / "blob" / "a.st"))
    spec = {"type": "safetensors", "path": "./blob/a.st", "tensor_key": "x"}
    workload = Workload.model_validate({"uuid": "w", "axes": {"m": 4}, "inputs": {"x": spec}})
    operator = OperatorAdapter(generic_definition(), None, tmp_path)
    drawn = operator.draw(operator.case(workload), 1, "typical", CPU)
    assert torch.equal(tensor(drawn["x"]), stored)


# --- draws ------------------------------------------------------------------------------------


def test_draws_are_never_the_same_twice_and_their_seeds_are_written_down(operator):
    made = drawer(operator)
    seeds = [made.draw(CASE).seed for _ in range(20)]
    assert len(set(seeds)) == 20
    assert made.book.seeds["w"] == seeds and made.book.families["w"] == ["typical"] * 20
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_recorded_seeds_replay_the_same_draws(operator):
    first = drawer(operator)
    draws = [first.draw(CASE), first.draw(CASE, "large")]
    second = drawer(operator, replay=first.book.seeds)
    for before, family in zip(draws, ("typical", "large"), strict=True):
        after = second.draw(CASE, family)
        assert torch.equal(tensor(before.inputs["x"]), tensor(after.inputs["x"]))


def test_a_twin_differs_in_a_few_places_and_its_expectation_follows(operator):
    made = drawer(operator)
    draw = made.draw(Case("w", {"m": 64}, scalars={"alpha": 0.5}))
    twin = made.twin(draw)
    share = float((tensor(twin.inputs["x"]) != tensor(draw.inputs["x"])).float().mean())
    assert 0 < share < 0.1
    assert torch.equal(tensor(twin.inputs["table"]), tensor(draw.inputs["table"]))
    assert not torch.equal(twin.expected["y"], draw.expected["y"])
    assert torch.equal(twin.expected["y"], operator.oracle(draw.case, twin.inputs)["y"])


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "bfloat16", "int32", "bool"])
def test_twins_can_be_made_of_every_dtype(dtype):
    inputs = {"x": {"shape": ["m", "n"], "dtype": dtype}}
    source = "def run(x):\n    return x.float().bfloat16()\n"
    operator = OperatorAdapter(generic_definition(inputs=inputs, reference=source))
    made = drawer(operator)
    draw = made.draw(Case("w", {"m": 64}))
    assert not torch.equal(made.twin(draw).expected["y"], draw.expected["y"])


def test_a_prepared_draw_is_used_once(operator):
    made = drawer(operator)
    made.prepare(CASE)
    prepared = made._next["w"]
    made.prepare(CASE)
    first, second = made.draw(CASE), made.draw(CASE)
    assert first is prepared and first.seed != second.seed
    assert made.book.seeds["w"] == [first.seed, second.seed]


def test_a_draw_made_for_later_serves_one_other_trial_once(operator):
    ahead = PrefetchedInputs(1 << 20)
    assert InputGenerator(operator, CPU, SeedBook(), ahead).prepare_for_later(CASE)
    assert not InputGenerator(operator, CPU, SeedBook(), ahead).prepare_for_later(CASE)
    later = InputGenerator(operator, CPU, SeedBook(), ahead)
    assert later.draw(CASE).seed != later.draw(CASE).seed
    assert not ahead.has(operator.key, CASE)


def test_a_replay_uses_nothing_that_was_prepared(operator):
    ahead = PrefetchedInputs(1 << 20)
    InputGenerator(operator, CPU, SeedBook(), ahead).prepare_for_later(CASE)
    replaying = InputGenerator(operator, CPU, SeedBook(replay={"w": [7]}), ahead)
    assert replaying.draw(CASE).seed == 7


def test_draws_made_for_later_keep_their_bound_of_bytes(operator):
    made = InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(10))
    assert not made.prepare_for_later(CASE)
    large = Case("large", {"m": 1 << 18}, scalars={"alpha": 0.5})
    assert not drawer(operator).prepare_for_later(large)


def test_families_are_picked_without_the_typical_one_and_without_repeats():
    rng = random.Random(1)
    assert sorted(pick_families(("typical", "a", "b"), 2, rng)) == ["a", "b"]
    assert pick_families(("typical",), 2, rng) == []
    assert len(pick_families(("typical", "a"), 3, rng)) == 3
