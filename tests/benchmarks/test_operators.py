"""The choice of what the comparison of operators evaluates."""

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "operators.py"


class FewCandidates:
    """An operator and a harness with a solution and two peers."""

    name = "rmsnorm"
    archive = None

    def solutions(self):
        return {"triton_first": "a"}

    def peers(self):
        return {"flashinfer": "c", "torch_vectorised": "d"}


@pytest.fixture
def chosen(monkeypatch):
    found = runpy.run_path(str(BENCHMARK))["chosen"]
    monkeypatch.setitem(found.__globals__, "best_candidates", lambda *_: [])
    return lambda only: [name for name, _, _ in found(FewCandidates(), FewCandidates(), only)]


def test_names_and_kinds_choose(chosen):
    assert chosen(None) == ["triton_first", "flashinfer", "torch_vectorised"]
    assert chosen(["flashinfer"]) == ["flashinfer"]
    assert chosen(["peer"]) == ["flashinfer", "torch_vectorised"]
    assert chosen(["flashinfer", "shipped"]) == ["triton_first", "flashinfer"]


def test_a_name_that_nothing_has_ends_with_those_there_are(chosen):
    with pytest.raises(SystemExit, match=r"rmsnorm has none of .*: .*flashinfer \(peer\)"):
        chosen(["flashinfr"])
