"""What can be named is recorded, wherever a program keeps it, and is as it was afterwards."""

from __future__ import annotations

import sys

import pytest
import torch

from kernel_harness.tools.collecting.recording.module_state import read_of_module, state_of
from kernel_harness.tools.collecting.tracing import trace
from kernel_harness.tools.errors import RequestError

from ..conftest import definition_in, run_of


def test_a_function_is_recorded_where_it_was_imported_before(layers, tmp_path, monkeypatch):
    program = type(sys)("traced_program")
    program.gather = original = layers.gather
    monkeypatch.setitem(sys.modules, "traced_program", program)
    with trace(tmp_path / "out", ["traced_layers.gather"]) as written:
        program.gather(torch.zeros(4, 2), torch.zeros(2, dtype=torch.int64))
    assert program.gather is original and written[0].calls == 1


def test_a_target_that_is_named_twice_is_recorded_once(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.gather", "traced_layers.gather"]) as written:
        layers.gather(torch.zeros(4, 2), torch.zeros(2, dtype=torch.int64))
    assert [(done.name, done.calls) for done in written] == [("traced_layers_gather", 1)]


def test_a_function_of_the_started_file_is_said_not_to_be_there_yet(tmp_path):
    with pytest.raises(RequestError, match="not there before it is"):
        with trace(tmp_path / "out", ["__main__.no_such_function"]):
            pass


@pytest.mark.parametrize("kind", ["awaited", "drawn"])
def test_what_computes_nothing_when_it_is_called_is_refused(layers, tmp_path, kind):
    async def awaited(x):
        return x

    def drawn(x):
        yield x

    setattr(layers, kind, {"awaited": awaited, "drawn": drawn}[kind])
    with pytest.raises(RequestError, match="a coroutine or a generator"):
        with trace(tmp_path / "out", [f"traced_layers.{kind}"]):
            pass


def test_traces_within_one_another_know_the_function_and_end_alone(layers, tmp_path):
    original, given = layers.gather, (torch.ones(4, 2), torch.tensor([1, 2]))
    outer = trace(tmp_path / "outer", ["traced_layers.gather"])
    inner = trace(tmp_path / "inner", ["traced_layers.gather"])
    around, within = outer.__enter__(), inner.__enter__()
    layers.gather(*given)
    outer.__exit__(None, None, None)  # the other way round than they were entered
    layers.gather(*given)
    inner.__exit__(None, None, None)
    for done, calls, folder in ((around, 1, "outer"), (within, 2, "inner")):
        assert [(one.calls, one.unfinished) for one in done] == [(calls, None)]
        run = run_of(definition_in(tmp_path / folder))
        assert torch.equal(run(*given, 2.0), original(*given))
    assert torch.equal(layers.gather(*given), original(*given))


@torch.no_grad()
def test_a_modules_forward_has_its_parameters_and_attributes(layers, tmp_path):
    norm, x = layers.Norm(), torch.randn(3, 8)
    with trace(tmp_path / "out", ["traced_layers.Norm"]) as written:
        result = norm(x)
    assert "forward" not in vars(norm) and written[0].unfinished is None
    definition = definition_in(tmp_path / "out")
    assert list(definition.inputs) == ["x", "weight"]
    assert torch.equal(run_of(definition)(x, norm.weight), result)


@torch.no_grad()
def test_one_module_of_a_kind_is_recorded_alone(layers, tmp_path):
    block, other = layers.Block(), layers.Block()
    with trace(tmp_path / "out", [block.down]) as written:
        result = block(x := torch.randn(3, 8))
        other(x)
    assert "forward" not in vars(block.down) and written[0].calls == 1
    definition = definition_in(tmp_path / "out")
    assert definition.name == "torch_nn_modules_linear_Linear_forward"
    run = run_of(definition)
    assert torch.equal(run(block.norm(x), block.down.weight, block.down.bias), result)


@torch.no_grad()
def test_methods_that_a_forward_calls_are_carried_with_what_they_read(layers, tmp_path):
    scaled, x = layers.Scaled(), torch.randn(3, 8)
    with trace(tmp_path / "out", ["traced_layers.Scaled"]) as written:
        result = scaled(x)
    assert written[0].unfinished is None
    definition = definition_in(tmp_path / "out")
    assert list(definition.inputs) == ["x", "weight"]
    assert torch.equal(run_of(definition)(x, scaled.weight), result)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("named", {"weight", "eps"}),
        ("asked", {"weight", "eps"}),
        ("handed_on", None),
    ],
)
def test_of_a_module_that_is_not_handed_on_what_is_named_is_read(layers, name, read):
    function = getattr(layers, name)
    assert read_of_module(function) == read
    norm = layers.Norm()
    norm.bias = torch.nn.Parameter(torch.zeros(8))
    found = state_of(norm, function, {"x"})
    assert ("bias" in found) == (read is None) and "weight" in found


@torch.no_grad()
def test_a_module_of_modules_needs_its_reference_written(layers, tmp_path):
    block = layers.Block()
    with trace(tmp_path / "out", ["traced_layers.Block.forward"]) as written:
        block(torch.randn(3, 8))
    assert written[0].unfinished == "forward names down, norm of the module"
    definition = definition_in(tmp_path / "out")
    assert list(definition.inputs) == ["x", "norm_weight", "down_weight", "down_bias"]
    with pytest.raises(NotImplementedError, match="down, norm"):
        run_of(definition)(*[None] * 4)


def test_a_method_of_another_object_is_called_and_left_out(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.Cache.rows"]) as written:
        assert layers.Cache(torch.arange(4)).rows(torch.tensor([2])).tolist() == [2]
    assert not written and "not_recorded" in (tmp_path / "out" / "collected.json").read_text()


@pytest.mark.parametrize("target", ["torch.ops.aten.silu", "torch.ops.aten.silu.default"])
def test_an_operator_of_torch_is_recorded(tmp_path, target):
    with trace(tmp_path / "out", [target]):
        result = (
            torch.ops.aten.silu.default if target.endswith("default") else torch.ops.aten.silu
        )(x := torch.randn(4))
        assert torch.ops.aten.silu.overloads()
    assert type(torch.ops.aten.silu) is type(torch.ops.aten.relu)
    assert torch.equal(run_of(definition_in(tmp_path / "out"))(x), result)


def test_what_is_written_into_arguments_is_the_output(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.scale_"]) as written:
        for _ in range(2):
            layers.scale_(x := torch.ones(3), 2.0)
            assert x.tolist() == [2.0] * 3
    assert written[0].unfinished is None
    definition = definition_in(tmp_path / "out")
    assert list(definition.outputs) == ["x_written"] and list(definition.inputs) == ["x", "factor"]
    given = torch.ones(3)
    assert run_of(definition)(given, 3.0).tolist() == [3.0] * 3 and given.tolist() == [1.0] * 3


KERNEL = """
import triton
import triton.language as tl


@triton.jit
def add(x, y, out, count, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    held = at < count
    tl.store(out + at, tl.load(x + at, mask=held) + tl.load(y + at, mask=held), mask=held)
"""


def test_a_kernel_of_triton_is_recorded_with_what_it_writes(tmp_path, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    (tmp_path / "traced_kernel.py").write_text(KERNEL, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "traced_kernel", raising=False)
    import traced_kernel  # pyright: ignore[reportMissingImports]

    x, y, out = torch.randn(10), torch.randn(10), torch.zeros(10)
    with trace(tmp_path / "out", ["traced_kernel.add"]) as written:
        traced_kernel.add[(1,)](x, y, out, 10, block=16)
    monkeypatch.delitem(sys.modules, "traced_kernel")
    assert torch.equal(out, x + y)
    definition = definition_in(tmp_path / "out")
    assert list(definition.outputs) == ["out_written"]
    assert list(definition.inputs) == ["x", "y", "out", "count", "block"]
    assert written[0].unfinished == "it is not written in Python"


@pytest.mark.parametrize(
    "name",
    [
        "gather",
        "no_such_module.f",
        "traced_layers.EPS",
        "traced_layers.Cache",
        "traced_layers.Cache.nothing",
        "torch.ops.aten.nothing_of_the_kind",
        "torch.ops.aten",
    ],
)
def test_a_name_that_is_no_function_is_refused(layers, tmp_path, name):
    with pytest.raises(RequestError, match=r"cannot be recorded|names no function"):
        with trace(tmp_path / "out", [name]):
            pass
