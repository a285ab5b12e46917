"""Calls of a program's function go to a kernel where they are calls of its operator."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kernel_harness.tools.applying.proven_sizes import Missed
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.model_level.verification.applications import put
from kernel_harness.tools.model_level.verification.verified_runs import KernelTarget
from kernel_harness.tools.schema.deployment.kernel_index import ArgumentForm

from ...applying.conftest import write_folder  # noqa: F401, of the tests here

ROWS = ArgumentForm(("rows", "width"), "float32")
SIZES = {
    "axes": {"rows": None, "width": None},
    "judged": ({"rows": 1, "width": 1}, {"rows": 64, "width": 64}),
}
ADDED = """
import torch

def run(x, weight, sums, differences):
    torch.add(x, weight, out=sums)
    torch.sub(x, weight, out=differences)
"""
ATTENTION = """
import torch

def run(query, key, value, scale, output):
    scores = (query @ key.transpose(-1, -2) * scale).tril()
    scores.masked_fill_(torch.ones_like(scores).triu(1).bool(), float("-inf"))
    output.copy_(torch.softmax(scores, -1) @ value)
"""


@pytest.fixture
def parts(monkeypatch):
    module: Any = ModuleType("applied_parts")

    class Added(torch.nn.Module):
        def __init__(self, sign: float = 1.0) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(4, 8), requires_grad=False)
            self.sign = sign

        def forward(self, x: Any, wide: bool = False, **words: Any) -> Any:
            module.calls += 1
            return x + self.sign * self.weight, None, x - self.sign * self.weight

    module.Added, module.calls = Added, 0
    monkeypatch.setitem(__import__("sys").modules, "applied_parts", module)
    return module


def test_constants_decide_and_none_comes_back_where_it_was(parts, write_folder):  # noqa: F811
    folder = write_folder(
        ADDED,
        inputs={"x": ROWS, "weight": ROWS},
        outputs={"sums": ROWS, "differences": ROWS},
        **SIZES,
    )
    target = KernelTarget(
        "applied_parts.Added.forward",
        None,
        {"x": "x", "weight": "self.weight"},
        {"wide": False, "self.sign": 1.0, "cached": None},
        returns=(0, None, 1),
    )
    applied = put(target, folder)
    one, other = parts.Added(), parts.Added(-1.0)
    x = torch.randn(4, 8)
    try:
        sums, nothing, differences = one(x, cached=None)
        assert torch.equal(sums, x + one.weight) and torch.equal(differences, x - one.weight)
        assert nothing is None and not parts.calls
        torch.compiler.reset()  # versions of one function are counted over all tests
        compiled: Any = torch.compile(
            lambda x: one(x, cached=None)[2] * 2, fullgraph=True, backend="aot_eager"
        )
        assert torch.equal(compiled(x), (x - one.weight) * 2) and not parts.calls
        for module, words in (
            (other, {"cached": None}),
            (one, {"cached": None, "wide": True}),
            (one, {"cached": 1}),
            (one, {}),
            (one, {"cached": None, "further": 1}),
        ):
            before = parts.calls
            assert torch.equal(module(x, **words)[0], x + module.sign * module.weight)
            assert parts.calls == before + 1, words
    finally:
        applied.remove()


def test_an_adapter_makes_inputs_and_other_layouts_are_copied(write_folder):  # noqa: F811
    form = ArgumentForm(("batch", "rows", "width"), "float32")
    folder = write_folder(
        ATTENTION,
        axes={"batch": None, "rows": None, "width": None},
        judged=({"batch": 1, "rows": 1, "width": 1}, {"batch": 8, "rows": 64, "width": 64}),
        inputs={
            **dict.fromkeys(("query", "key", "value"), form),
            "scale": ArgumentForm(None, "float32"),
        },
        outputs={"output": form},
    )
    name = "torch.nn.functional.scaled_dot_product_attention"
    inputs = {key: key for key in ("query", "key", "value", "scale")}
    constants = {"is_causal": True, "enable_gqa": False}
    copied = ("query", "key", "value")
    target = KernelTarget(name, None, inputs, constants, copied, adapted=True)
    q = torch.randn(6, 2, 4).transpose(0, 1)
    expected = [F.scaled_dot_product_attention(q, q, q, is_causal=c) for c in (True, False)]
    applied = put(target, folder)
    try:
        for causal, right in zip((True, False), expected, strict=True):
            found = F.scaled_dot_product_attention(q, q, q, is_causal=causal)
            torch.testing.assert_close(found, right)
        assert not applied.misses.all()
    finally:
        applied.remove()
    put_plainly = put(KernelTarget(name, None, inputs, constants, adapted=True), folder)
    try:
        F.scaled_dot_product_attention(q, q, q, is_causal=True)
        assert [miss.reason for miss in put_plainly.misses.all()] == [Missed.LAYOUT]
    finally:
        put_plainly.remove()


def test_a_function_without_an_adapter_is_said(write_folder):  # noqa: F811
    target = KernelTarget("torch.nn.functional.silu", None, {"x": "x"}, adapted=True)
    with pytest.raises(RequestError, match="No adapter"):
        put(target, write_folder())
