"""Calls as frameworks make them: where the host waits, and as an operator of a compiled program."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from kernel_harness.tools.candidate.calls.caller import Caller
from kernel_harness.tools.candidate.calls.shared_memory import MappedArena
from kernel_harness.tools.candidate.process.deployed import DeployedCalls, schema_of
from kernel_harness.tools.messages import candidate as wire


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "waits"),
    [
        ("out.copy_(x * 2)", []),
        ("out.copy_(x * x[1])", []),
        ("out.copy_(x * 2); torch.cuda.synchronize()", ["synchronize"]),
        ("torch.cuda.Event().synchronize(); out.copy_(x * 2)", ["synchronize"]),
        ("out.copy_(x * 2 if x.sum() > 1e9 else x * 2)", ["__bool__"]),
        ("out.copy_(x * (2 + 0 * x.sum().item()))", ["item"]),
        ("out.copy_(x.cpu().cuda() * 2)", ["cpu"]),
        ("out.copy_(x.to('cpu').to('cuda') * 2)", ["to"]),
        ("torch.ones(3).tolist(); out.copy_(x * 2)", []),
    ],
)
def test_a_call_in_which_the_host_waits_is_seen(candidate, body, waits):
    built = candidate.build({"kernel.py": f"import torch\ndef run(x, out):\n    {body}\n"})
    assert built.fault is None
    x = torch.arange(3.0)
    x[1] = 2.0
    called, (snapshot,) = candidate.call([x], [torch.zeros(3)], way="watched")
    assert called.fault is None and torch.equal(snapshot, x * 2)
    assert called.on_host.waits == waits and called.on_host.peak_bytes is None


@pytest.mark.process
def test_an_argument_that_may_be_returned_may_be_so_in_a_watched_call(candidate):
    source = {"kernel.py": "def run(x):\n    return x.add_(1)\n"}
    assert candidate.build(source, destination_passing_style=False).fault is None
    called, (snapshot,) = candidate.call(
        [torch.ones(3)], [torch.zeros(3)], way="watched", returnable=[0]
    )
    assert called.fault is None, called.fault
    assert torch.equal(snapshot, torch.full((3,), 2.0))


@pytest.mark.process
def test_a_fault_in_a_watched_call_is_the_candidates(candidate):
    assert candidate.build({"kernel.py": "def run(x, out):\n    raise ValueError('no')\n"})
    called, _ = candidate.call([torch.ones(3)], [torch.zeros(3)], way="watched")
    assert called.fault.kind == "exception" and "no" in called.fault.message


@pytest.mark.process
def test_what_was_not_captured_is_not_launched(candidate):
    assert candidate.build({"kernel.py": "def run(x, out):\n    out.copy_(x)\n"}).fault is None
    called, _ = candidate.call([torch.ones(3)], [torch.zeros(3)], way="replayed")
    assert called.fault.kind == "not_captured"


def test_a_schema_names_scalars_and_what_is_written():
    x = wire.TensorRef(offset=0, shape=[3], dtype="float32")
    arguments = [x, wire.ScalarValue(value=2), wire.ScalarValue(value=0.5)]
    arguments.append(wire.ScalarValue(value=True))
    given = "Tensor in0, int in1, float in2, bool in3"
    assert schema_of(arguments, 1, written=True) == f"({given}, Tensor(w0!) out0) -> ()"
    assert schema_of(arguments, 1, written=False) == f"({given}) -> Tensor"
    assert schema_of([x], 2, written=False) == "(Tensor in0) -> (Tensor, Tensor)"


def deployed(function, monkeypatch, *, by_destination: bool):
    """One compiled call in this process, on [4, 6] float32: its answer, and the snapshot."""
    memory = torch.zeros(1 << 12, dtype=torch.uint8)
    arena = MappedArena(memory)
    refs = [wire.TensorRef(offset=n << 8, shape=[4, 6], dtype="float32") for n in range(3)]
    request = SimpleNamespace(
        destination_passing_style=by_destination, entry_point="k.py::run", output_names=["out"]
    )
    candidate = SimpleNamespace(function=function, request=request, source_dir="/nowhere")
    arena.tensor(refs[0]).copy_(torch.arange(24.0).view(4, 6))
    # One name, and several programs in this process.
    name = f"deployed::{function.__name__}"
    monkeypatch.setattr("kernel_harness.tools.candidate.process.deployed.OPERATOR", name)
    asked = wire.CallRequest(
        arguments=[refs[0]],
        outputs=refs[1:2],
        snapshots=refs[2:],
        way="compiled",
        returnable=[0],
    )
    calls = DeployedCalls(Caller(candidate, arena))  # pyright: ignore[reportArgumentType]
    return calls.call(asked), arena.tensor(refs[2])


def writes(x, out):
    out.copy_(x * 2)


def returns(x):
    return x * 2


def returns_its_argument(x):
    return x.mul_(2)


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "by_destination"),
    [(writes, True), (returns, False), (returns_its_argument, False)],
)
def test_an_honest_program_is_an_operator_of_a_compiled_one(monkeypatch, function, by_destination):
    called, snapshot = deployed(function, monkeypatch, by_destination=by_destination)
    assert called.fault is None, called.fault
    assert torch.equal(snapshot, 2 * torch.arange(24.0).view(4, 6))


def returns_columns(x):
    return (x * 2).t().contiguous().t()


@pytest.mark.long
def test_outputs_with_other_strides_cannot_be_compiled(monkeypatch):
    called, _ = deployed(returns_columns, monkeypatch, by_destination=False)
    assert called.fault is not None and "stride" in called.fault.message
