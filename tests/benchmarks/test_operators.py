"""The choice of what the comparison of operators evaluates."""

import runpy
from pathlib import Path
from types import SimpleNamespace

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


def test_every_family_of_inputs_that_is_offered_is_timed_and_those_asked_for_alone():
    timed_inputs = runpy.run_path(str(BENCHMARK))["timed_inputs"]
    policy = SimpleNamespace(input_families={"typical": "skewed", "even": "evenly"})
    both = SimpleNamespace(name="moe", policy=policy)
    one = SimpleNamespace(name="rmsnorm", policy=SimpleNamespace(input_families={}))
    assert timed_inputs(both, None) == ["typical", "even"]
    assert timed_inputs(both, ["even"]) == ["even"]
    assert timed_inputs(one, None) == [""]
    with pytest.raises(SystemExit, match="moe has none of .*: typical, even"):
        timed_inputs(both, ["evne"])


def test_a_table_is_shown_for_each_family_of_inputs():
    found = runpy.run_path(str(BENCHMARK))
    rows = [
        found["Row"]("moe", name, "peer", "PASSED", mean_us=mean_us, inputs=inputs)
        for inputs, name, mean_us in (
            ("typical", "slow", 9.0),
            ("typical", "fast", 5.0),
            ("even", "slow", 7.0),
        )
    ]
    console = found["console"]
    with console.capture() as shown:
        found["show"]("moe", rows, "slow")
    words = shown.get()
    assert words.count("candidate") == 2
    assert words.index("on inputs typical") < words.index("fast") < words.index("9.00")
    assert words.index("9.00") < words.index("on inputs even") < words.index("7.00")


def test_a_name_that_nothing_has_ends_with_those_there_are(chosen):
    with pytest.raises(SystemExit, match=r"rmsnorm has none of .*: .*flashinfer \(peer\)"):
        chosen(["flashinfr"])
