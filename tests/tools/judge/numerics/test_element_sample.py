"""Places in a flattened output as coordinates, without loading what a fresh judge does not need."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.judge.numerics.element_sample import coordinates

DESCRIBED = """
import sys, torch
from kernel_harness.tools.judge.numerics.mismatch import mismatch_of
expected = torch.arange(4096.0).view(64, 64)
got = expected.t().contiguous()
words = ("wrong", "it is wrong", "look")
found = mismatch_of("out", words, got, expected, got != expected, None, ("m", "n"))
assert "m" in found.message
print("sympy" in sys.modules)
"""


@given(st.lists(st.integers(1, 9), max_size=4), st.data())
def test_coordinates_are_those_of_numpy(shape, data):
    count = math.prod(shape)
    flat = data.draw(st.lists(st.integers(0, count - 1), max_size=10))
    found = coordinates(torch.tensor(flat, dtype=torch.int64), shape)
    due = np.unravel_index(np.array(flat, dtype=np.int64), shape) if shape else ()
    assert [index.tolist() for index in found] == [index.tolist() for index in due]


@pytest.mark.process
def test_describing_a_wrong_output_loads_no_computer_algebra():
    command = [sys.executable, "-c", DESCRIBED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False"], done.stderr[-2000:]
