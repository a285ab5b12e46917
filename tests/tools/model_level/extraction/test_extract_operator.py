"""A ranked row becomes an operator's folder that loads, and computes what the program did."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.model_level.extraction.operator_extraction import (
    extract_operator,
    operator_name,
    ranked_row,
)
from kernel_harness.tools.model_level.ranking.observations import ObservedOperator
from kernel_harness.tools.model_level.verification.target_files import read_target
from kernel_harness.tools.model_level.verification.verified_runs import KernelTarget
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

PROGRAM = """
import torch
from torch import nn
import parts


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 6), nn.Linear(6, 8)
        self.layers = nn.ModuleList([parts.Gated(8), parts.Gated(8)])

    def forward(self, x, rows):
        x = parts.taken(x, rows, 2.0)
        for layer in self.layers:
            x = x + layer(x)
        x = parts.registered(parts.paired(parts.counted(x)[0], wide=False)[0])
        x = parts.attended(x)
        return self.down(self.up(x)) + parts.TABLE["held"](parts.decided(x))


torch.manual_seed(0)
model = Model()
with torch.no_grad():
    for count in (3, 5, 5):
        model(torch.randn(16, 8), torch.randint(16, (count,)))
"""
PARTS = """
import functools
import torch
import torch.nn.functional as F
from torch import nn
import helpers


def taken(x, rows, factor):
    return x[rows] * factor


def decided(x):
    return helpers.negated(x) if x.sum() > 0 else x


def held(x):
    return x + 1


@torch.library.custom_op("extraction_tests::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


doubled.register_fake(torch.empty_like)


def registered(x):
    return torch.ops.extraction_tests.doubled(x)


def counted(x):
    return x * 1, 3


def logged(function):
    @functools.wraps(function)
    def outer(*given, **words):
        return function(*given, **words)

    return outer


@logged
def paired(x, **words):
    return x * 1, None, x + 1


def attended(x):
    heads = x.view(-1, 2, 4).transpose(0, 1)
    mixed = F.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    return mixed.transpose(0, 1).reshape(x.shape)


TABLE = {"held": held}


class Gated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gate, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width)

    def forward(self, x):
        return self.out(helpers.negated(torch.sigmoid(self.gate(x))))
"""
HELPERS = """
def negated(x):
    return -x
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory, warm_python) -> list[str]:
    folder = tmp_path_factory.mktemp("program")
    for name, code in (("program", PROGRAM), ("parts", PARTS), ("helpers", HELPERS)):
        (folder / f"{name}.py").write_text(code, "utf-8")
    return [warm_python, str(folder / "program.py")]


def observed(name: str, kind: str = "function", *where: str, parameters=()) -> ObservedOperator:
    return ObservedOperator(name, kind, where, {"x": "float32"}, parameters, True, ())


def loaded(folder: Path) -> Operator:
    """The operator of a folder, that must be without a fault."""
    dataset = Dataset.load(folder)
    assert dataset.problems == ()
    (operator,) = dataset.operators.values()
    assert not operator.unusable and not operator.left_out
    return operator


def run_of(operator: Operator):
    scope: dict = {}
    exec(operator.definition.reference, scope)
    return scope["run"]


@pytest.mark.process
def test_a_function_with_integers_keeps_them_with_code_that_draws_the_rest(program, tmp_path):
    done = extract_operator(program, observed("parts.taken"), tmp_path)
    assert (done.workloads, done.calls, done.reference) == (3, 3, "source")
    operator = loaded(tmp_path)
    assert operator.definition.name == "taken" and operator.definition.var_axes == ("rows_0",)
    x, rows = torch.randn(16, 8), torch.tensor([1, 0])
    assert torch.equal(run_of(operator)(x, rows, 2.0), x[rows] * 2.0)
    folder = tmp_path / "taken"
    spec = importlib.util.spec_from_file_location("drawn", folder / "inputs.py")
    assert spec and spec.loader
    inputs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inputs)
    generator = torch.Generator().manual_seed(0)
    one = operator.workloads[0]
    for structure in (operator.structure[one.uuid], None):
        axes = {"size_16": 16, "size_8": 8, **one.axes}
        made = inputs.generate(
            axes,
            structure=structure,
            scalars={"factor": 2.0},
            generator=generator,
            device="cpu",
        )
        assert "x" not in made and made["factor"] == 2.0
        assert made["rows"].shape == (one.axes["rows_0"],) and made["rows"].dtype == torch.int64
        assert 0 <= int(made["rows"].min()) and int(made["rows"].max()) < 16
    adapter = OperatorAdapter(operator.definition, folder)
    drawn = adapter.make_inputs(adapter.case(one), 1, "typical", torch.device("cpu"))
    assert isinstance(drawn["x"], torch.Tensor)
    said = one.statistics["x"]
    assert said.least <= drawn["x"].min() and drawn["x"].max() <= said.greatest
    assert read_target(folder) == KernelTarget(
        "parts.taken", "taken", {"x": "x", "rows": "rows", "factor": "factor"}
    )


@pytest.mark.process
def test_a_block_of_modules_becomes_its_graph_with_free_sizes(program, tmp_path):
    block = observed("parts.Gated.forward", "module", "layers.0", "layers.1")
    done = extract_operator(program, block, tmp_path, name="gated_n8")
    # Two modules, three steps, and two sizes.
    assert (done.workloads, done.calls, done.reference) == (2, 6, "graph")
    operator = loaded(tmp_path)
    assert set(operator.definition.inputs) == {"x", "gate_weight", "out_weight", "out_bias"}
    x, gate, out, bias = torch.randn(7, 8), torch.randn(8, 8), torch.randn(8, 8), torch.randn(8)
    given = {"x": x, "gate_weight": gate, "out_weight": out, "out_bias": bias}
    expected = -torch.sigmoid(x @ gate.t()) @ out.t() + bias
    torch.testing.assert_close(run_of(operator)(**given), expected)
    target = read_target(tmp_path / "gated_n8")
    assert target.inputs is not None and target.inputs["gate_weight"] == "self.gate.weight"


@pytest.mark.process
def test_of_what_returns_none_beside_tensors_the_tensors_are_outputs(program, tmp_path):
    done = extract_operator(program, observed("parts.paired"), tmp_path)
    assert (done.workloads, done.calls, done.reference) == (2, 3, "source")
    operator = loaded(tmp_path)
    assert list(operator.definition.outputs) == ["output_0", "output_1"]
    x = torch.randn(3, 8)
    first, second = run_of(operator)(x)
    assert torch.equal(first, x) and torch.equal(second, x + 1)
    assert done.target is not None and done.target.returns == (0, None, 1)
    assert done.target.constants == {"wide": False}
    assert read_target(tmp_path / "paired") == done.target


@pytest.mark.process
def test_a_row_of_torch_is_extracted_by_the_adapter_of_its_function(program, tmp_path):
    row = observed("aten::scaled_dot_product_attention", "torch", "parts.attended")
    done = extract_operator(program, row, tmp_path)
    assert (done.workloads, done.calls, done.reference) == (2, 3, "source")
    operator = loaded(tmp_path)
    assert operator.definition.name == "scaled_dot_product_attention"
    q = torch.randn(2, 5, 4)
    expected = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    torch.testing.assert_close(run_of(operator)(q, q, q, 0.5), expected)
    assert done.target is not None and done.target.adapted
    assert done.target.constants == {"is_causal": True, "enable_gqa": False}
    assert done.target.copied == ("query", "key", "value")


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "why"),
    [
        # It calls another file of the program and decides by contents.
        ("decided", "No reference of parts.decided stands alone"),
        # It is called from a table, in which its name cannot be replaced.
        ("held", "No call of parts.held was recorded"),
        pytest.param(
            "counted",
            "no operator that a definition can describe: it returns something beside",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "registered",
            "torch.ops.extraction_tests.doubled, which only the program registers",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_no_text_can_carry_is_refused_and_leaves_nothing(
    program, tmp_path, capfd, name: str, why: str
):
    with pytest.raises(RequestError, match="written above says why"):
        extract_operator(program, observed(f"parts.{name}"), tmp_path)
    assert why in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rows_without_a_name_are_refused_before_anything_runs(tmp_path):
    words = ["python", "nothing.py"]
    with pytest.raises(RequestError, match="no function of the program"):
        row = replace(observed("aten::softmax", "torch", "parts.f"), extractable=False)
        extract_operator(words, row, tmp_path)
    with pytest.raises(RequestError, match="own file"):
        extract_operator(words, observed("__main__.f"), tmp_path)
    (tmp_path / "f").mkdir()
    with pytest.raises(RequestError, match="in use"):
        extract_operator(words, observed("parts.f"), tmp_path)
    (tmp_path / "ranking.json").write_text(json.dumps({}), "utf-8")
    with pytest.raises(Exception, match="no ranking"):
        ranked_row(tmp_path / "ranking.json", 1)


@pytest.mark.parametrize(
    ("name", "kind", "parameters", "expected"),
    [
        ("parts.silu_mul", "function", (), "silu_mul"),
        ("torch.nn.modules.linear.Linear.forward", "module", ((6, 8), (6,)), "linear_6x8"),
        ("parts.RMSNorm.forward", "module", ((8,),), "rms_norm_8"),
        ("parts.TopKRouter.forward", "module", (), "top_k_router"),
        ("parts.FeedForward.forward", "module", (), "feed_forward"),
    ],
)
def test_an_operator_has_the_name_of_what_it_was(name, kind, parameters, expected):
    assert operator_name(replace(observed(name, kind), parameters=parameters)) == expected
