"""A program's layers, whose calls are recorded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernel_harness.tools.schema.flashinfer_trace import Definition

LAYERS = """
import functools
import typing

import torch
import math
import torch.nn.functional as F

EPS = 1e-6
SIZE = 4
Size = typing.Any


def _scale(x):
    return x * math.sqrt(4.0)


def gather(x, rows, factor=2.0, bias=None):
    return _scale(F.relu(x[rows])) * factor + EPS


def faulty(x):
    raise ValueError("as ever")


def listed(x):
    return torch.stack([_scale(row) + EPS for row in x])


def narrow(x):
    return torch.log((x - 99.9) * (100.1 - x))


class Summed:
    pass


sum = Summed()


def summed(x):
    return x.sum()


def sized(x: "Tensor", factor: Size = SIZE) -> Size:
    return x * factor


def odd(x, sizes=()):
    return x


def advance(x, rows):
    y = x[rows]
    rows += 1
    return y


def scale_(x, factor):
    x *= factor


def logged(function):
    @functools.wraps(function)
    def outer(self, *given):
        return function(self, *given)

    return outer


class Norm(torch.nn.Module):
    def __init__(self, size=8):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 2.0, size))
        self.eps = 1e-6
        self.kind = torch.float32

    def forward(self, x):
        wide = x.to(self.kind)
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)


class Scaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 2.0, 8))
        self.other = torch.nn.Parameter(torch.zeros(3))
        self.eps = 1e-6

    def _root(self, x):
        return torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)

    def _scaled(self, x):
        return x * self._root(x)

    def forward(self, x):
        return self._scaled(x) * self.weight


def named(module, x):
    return x * module.weight + module.eps


def asked(module, x):
    return x * getattr(module, "weight") if hasattr(module, "eps") else x


def handed_on(module, x):
    return x * math.prod(p.numel() for p in torch.nn.Module.parameters(module)) * module.eps


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = Norm()
        self.down = torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.down(self.norm(x))


class Cache:
    def __init__(self, table):
        self.table = table

    def rows(self, index):
        return self.table[index]
"""


@pytest.fixture
def layers(tmp_path, monkeypatch):
    (tmp_path / "traced_layers.py").write_text(LAYERS, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "traced_layers", raising=False)
    import traced_layers  # pyright: ignore[reportMissingImports]

    yield traced_layers
    sys.modules.pop("traced_layers", None)


def definition_in(folder: Path) -> Definition:
    """The one definition of a dataset."""
    (file,) = (folder / "definitions").rglob("*.json")
    return Definition.model_validate_json(file.read_bytes())


def run_of(definition: Definition):
    """The function of a definition's reference."""
    scope: dict = {}
    exec(definition.reference, scope)
    return scope["run"]
