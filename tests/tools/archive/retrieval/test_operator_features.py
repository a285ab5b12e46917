"""How alike operators are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.archive.retrieval.operator_features import (
    operations_of,
    similar_operators,
    similarity,
)
from kernel_harness.tools.workloads.dataset import Dataset

KERNELS = Path(__file__).resolve().parents[4] / "kernels"


@pytest.fixture(scope="module")
def shipped():
    return {n: o.definition for n, o in Dataset.load(KERNELS).operators.items()}


def test_an_operator_is_wholly_like_itself(shipped):
    for definition in shipped.values():
        assert similarity(definition, definition)[0] == pytest.approx(1.0)


def test_shipped_families_are_alike_and_others_are_not(shipped):
    archived = {name: found.op_type for name, found in shipped.items()}
    by_family = {
        name: {archived[s.definition] for s in similar_operators(name, None, shipped, archived)}
        for name in shipped
    }
    for name, families in by_family.items():
        assert families <= {archived[name]}, name
    assert sum(map(bool, by_family.values())) == 4  # of the fifth there is no other


def test_what_is_shared_is_said(shipped):
    names = sorted(name for name in shipped if name.startswith("gdn"))
    likeness, shared = similarity(*(shipped[name] for name in names))
    assert 0.5 < likeness < 1 and shared.startswith("family gdn") and "sigmoid" in shared


def test_moving_data_is_no_operation_and_broken_text_has_none():
    assert operations_of("def run(x):\n    return (x.view(2) @ x).exp()\n") == {"matmul", "exp"}
    assert operations_of("def run(x:") == frozenset()
