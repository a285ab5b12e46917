"""What a call gives back, and how each way of breaking the convention is named."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.process

DOUBLE = "def run(x, out):\n    out.copy_(x * 2)\n"


def test_outputs_are_filled_in_place_and_copied_to_the_snapshots(candidate):
    assert candidate.build({"kernel.py": DOUBLE}).fault is None
    x = torch.arange(6.0).view(2, 3)
    called, (snapshot,) = candidate.call([x], [torch.full((2, 3), torch.nan)], late=True)
    assert called.fault is None
    assert torch.equal(snapshot, x * 2)
    assert torch.equal(candidate.view(candidate.late[0]), x * 2)
    assert called.timer is None and called.host_ns > 0


def test_a_triton_kernel_runs_in_the_interpreter(candidate):
    source = (
        "import triton\n"
        "import triton.language as tl\n"
        "@triton.jit\n"
        "def _add(x, y, out, n, BLOCK: tl.constexpr):\n"
        "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
        "    m = i < n\n"
        "    tl.store(out + i, tl.load(x + i, m) + tl.load(y + i, m), m)\n"
        "def run(x, y, out):\n"
        "    _add[(triton.cdiv(x.numel(), 64),)](x, y, out, x.numel(), BLOCK=64)\n"
    )
    built = candidate.build({"kernel.py": source}, language="triton", argument_count=2)
    assert built.fault is None
    x, y = torch.rand(100), torch.rand(100)
    called, (snapshot,) = candidate.call([x, y], [torch.zeros(100)])
    assert called.fault is None
    assert torch.equal(snapshot, x + y)
