"""An operator's folder and one without, for the tests of what operators bring."""

from __future__ import annotations

import pytest

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter

from ....judging import AFFINE, read_definition


@pytest.fixture
def operator() -> OperatorAdapter:
    return OperatorAdapter(read_definition(AFFINE), AFFINE)
