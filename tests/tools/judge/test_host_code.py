"""What the text of host code names that no stand-in for a GPU answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.judge.host_code import unanswered
from tests.folding import for_each

ROOT = Path(__file__).parents[3]
ANSWERED = """
from __future__ import annotations
import functools, math, threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor, nn
from triton.language.extra import libdevice
from triton.tools.tensor_descriptor import TensorDescriptor
from . import helpers

DEVICE = triton.runtime.driver.active.get_active_torch_device()
SMS = torch.cuda.get_device_properties(0).multi_processor_count
torch.backends.cuda.matmul.allow_tf32 = True

class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        assert x.is_cuda and hasattr(x, "shape"), "expected {} {:.1f}".format(1, 2.0)
        if x.dtype != torch.float32:
            raise TypeError(f"expected float32, got {x.dtype} " + str(x.shape))
        helpers._launch[(triton.cdiv(x.numel(), 64),)](x)
        return self._kept.setdefault(1, F.silu(x) * math.pi)

class Scale(torch.autograd.Function): ...

@functools.cache
def capability() -> tuple[int, int]:
    return torch.cuda.get_device_capability()
"""


def test_ordinary_host_code_names_only_what_is_answered():
    assert unanswered({"pkg/kernel.py": ANSWERED, "README.md": "import os"}) == []


@pytest.mark.parametrize(
    "folder", sorted(ROOT.glob("kernels/*/solutions/*")), ids=lambda folder: folder.name
)
def test_the_shipped_solutions_name_only_what_is_answered(folder):
    sources = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.py")}
    if any("_compile_kernel" in text for text in sources.values()):
        assert "names '_compile_kernel'" in unanswered(sources)
    else:
        assert unanswered(sources) == []


@for_each(
    "text, words",
    [
        ("import gc", "imports 'gc'"),
        ("import os.path as p", "imports 'os.path'"),
        ("from sys import modules", "imports 'sys'"),
        ("import time", "imports 'time'"),
        ("from torch import _C", "imports '_C' from torch"),
        ("from torch import *", "imports '*' from torch"),
        ("from typing import sys", "imports 'sys' from typing"),
        ("import torch.utils.cpp_extension", "imports 'torch.utils.cpp_extension'"),
        ("import torch\ntorch._C", "names '_C'"),
        ("import torch\ntorch.__config__.show()", "names '__config__'"),
        ("import torch as t\nt.jit.script", "uses torch.jit.script"),
        ("import torch\ntorch.library.custom_op", "uses torch.library.custom_op"),
        ("import torch\ntorch.nn.functional.torch", "uses torch.nn.functional.torch"),
        ("import torch\ntorch.cuda.get_device_name()", "uses torch.cuda.get_device_name"),
        ("import torch\ntorch.backends.cudnn.version()", "uses torch.backends.cudnn.version"),
        ("import torch\ntorch.Generator('cuda')", "uses torch.Generator"),
        ("import torch\nx = [torch]", "passes torch on as a value"),
        ("from torch import nn\nx = nn", "passes torch.nn on as a value"),
        ("import triton\ntriton.knobs.runtime", "uses triton.knobs.runtime"),
        ("import triton.language as tl\ntl.core.os", "uses triton.language.core.os"),
        ("x.__dict__", "names '__dict__'"),
        ("x._place_of_memory", "names '_place_of_memory'"),
        ("def f(self): return self._C", "names '_C'"),
        ("def f(self):\n    self = 1", "gives 'self' another value"),
        ("getattr(x, '_' + 'C')", "calls getattr with a name of its own making"),
        ("hasattr(x, '_C')", "calls hasattr with a name of its own making"),
        ("hasattr(k, 'rewriter')", "calls hasattr with a name of its own making"),
        ("wrong.fn = right.fn", "names 'fn'"),
        ("import triton.language as tl\ntl.store = f", "sets 'store' of what is not its own"),
        ("def f(k): k.grid = 1", "sets 'grid' of what is not its own"),
        ("eval('1')", "calls eval"),
        ("f = vars", "calls vars"),
        ("raise ValueError('{0._C}'.format(x))", "makes a text of a value"),
        ("'{}'.format(x)", "makes a text of a value"),
        ("a = 'Fake' in str(x)", "makes a text of a value"),
        ("a = 'Fake' in f'{x}'", "makes a text of a value"),
        ("a = 'Fake' in '%s' % x", "makes a text of a value"),
        ("repr(x)", "calls repr"),
        ("assert 'Fake' in f'{x}'", "makes a text of a value"),
        ("try: f()\nexcept E as e: a = e.args", "names 'args'"),
        ("import torch\ntorch.cuda.get_device_properties(0).name", "names 'name'"),
        ("start.elapsed_time(end)", "names 'elapsed_time'"),
        ("def f(g): return g.gi_frame", "names 'gi_frame'"),
        ("x.apply_(f)", "names 'apply_'"),
        ("match x:\n    case A(b=c): pass", "matches attributes of a value"),
        ("def __torch_function__(*a): ...", "has a __torch_function__"),
        ("def (", "cannot be read in kernel.py"),
        ("\x00", "cannot be read in kernel.py"),
    ],
)
def test_what_shows_that_no_gpu_is_there_is_named(text, words):
    assert words in unanswered({"kernel.py": text})
