"""Steps are calls of the outermost module, or of a function that is named."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.model_level.steps import watch_steps


class Listener:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def begin(self, root) -> None:
        self.seen.append(root)

    def end(self, result) -> None:
        self.seen.append(result)


class Outer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Identity()

    def forward(self, x: str) -> str:
        if not x:
            raise ValueError("empty")
        return self.inner(x) + "!"


@pytest.fixture
def program(monkeypatch):
    module = types.ModuleType("stepping_program")
    code = "def step(n):\n    return n and [n, step(n - 1)]\n"
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "stepping_program", module)
    return module


def test_the_outermost_module_that_is_called_first_is_the_root():
    listener, outer, other = Listener(), Outer(), Outer()
    watch_steps(None, listener)
    assert [outer("a"), outer("b"), other("c")] == ["a!", "b!", "c!"]
    assert listener.seen == [outer, "a!", outer, "b!"]
    with pytest.raises(ValueError, match="empty"):
        outer("")
    assert listener.seen[4:] == [outer, None]


def test_a_named_function_is_watched_at_its_outermost_call(program):
    listener = Listener()
    watch_steps("stepping_program.step", listener)
    assert program.step(1) == [1, 0]
    assert listener.seen == [None, [1, 0]]


@pytest.mark.parametrize(
    "name", ["stepping_program.nothing", "no_such_module.f", "f", "__main__.f"]
)
def test_a_step_that_is_not_there_is_refused(program, name):
    with pytest.raises(RequestError, match=r"step .* is"):
        watch_steps(name, Listener())
