"""Of many calls some are recorded, and they stand for all; the program notices nothing."""

from __future__ import annotations

import json
import random
import threading

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kernel_harness.tools.collecting.adapters.table import adapter_of
from kernel_harness.tools.collecting.recording.call_groups import MOST_SAMPLED, ByteLimit
from kernel_harness.tools.collecting.recording.traced_function import TracedFunction
from kernel_harness.tools.collecting.tracing import trace
from kernel_harness.tools.errors import RequestError


def counts_in(folder):
    return json.loads((folder / "collected.json").read_text("utf-8"))


def test_a_share_of_calls_is_recorded_at_random_distances():
    recorder = TracedFunction("f", lambda x: x, ByteLimit(0), share=0.05)
    calls = [torch.zeros(1), torch.zeros(2)]
    wrapper = recorder.wrapper()
    for number in range(4000):
        assert wrapper(calls[number % 2]) is calls[number % 2]
    assert recorder.calls == 4000
    assert 120 < recorder.chosen < 280
    # A program calls two layers in turn: neither hides behind the other.
    assert all(40 < group.count < 160 for group in recorder.groups.values())


def test_recorded_calls_stand_for_all(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.scale_", "traced_layers.gather"], share=0.1) as w:
        for _ in range(1000):
            layers.gather(torch.zeros(4, 2), torch.zeros(2, dtype=torch.int64))
    (done,) = w
    found = counts_in(tmp_path / "out")["traced_layers.gather"]
    assert done.calls == found["calls"] == 1000 and 50 < found["recorded"] < 170
    (workload,) = found["definitions"]["traced_layers_gather"]
    assert workload["calls"] == 1000


def test_the_programs_own_draws_stay_what_they_were(layers, tmp_path):
    def draws():
        random.seed(3)
        torch.manual_seed(3)
        for _ in range(30):
            layers.gather(torch.randn(4, 2), torch.zeros(2, dtype=torch.int64))
        return random.random(), torch.randn(2).tolist()

    before = draws()
    with trace(tmp_path / "out", ["traced_layers.gather"], share=0.3):
        assert draws() == before


def test_contents_that_differ_are_workloads_of_their_own(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.gather"]) as written:
        for rows in ([1, 2], [3, 0], [1, 2], [1, 2]):
            layers.gather(torch.randn(4, 2), torch.tensor(rows))
    assert written[0].workloads == 2
    found = counts_in(tmp_path / "out")["traced_layers.gather"]["definitions"]
    assert [line["calls"] for line in found["traced_layers_gather"]] == [3, 1]


def test_contents_are_chosen_evenly_and_bounded(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.gather"]) as written:
        for row in range(200):
            layers.gather(torch.randn(256, 2), torch.tensor([row, row]))
    blobs = list((tmp_path / "out").rglob("*.safetensors"))
    assert written[0].workloads == len(blobs) == 4
    from safetensors.torch import load_file

    assert max(int(load_file(blob)["rows"][0]) for blob in blobs) > 20


def test_strides_of_other_tensors_are_kept(layers, tmp_path):
    x = torch.randn(8, 8).t()
    with trace(tmp_path / "out", ["traced_layers.gather"]):
        layers.gather(x, torch.tensor([1]))
    (line,) = counts_in(tmp_path / "out")["traced_layers.gather"]["definitions"][
        "traced_layers_gather"
    ]
    assert line["strides"] == {"x": [1, 8]}


def test_threads_lose_no_call():
    recorder = TracedFunction("f", lambda x: x, ByteLimit(0), share=0.2)
    wrapper, x = recorder.wrapper(), torch.zeros(1)
    threads = [threading.Thread(target=lambda: [wrapper(x) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.calls == 8000 and recorder.chosen > 800


def test_what_torch_compiles_is_left_alone(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.Norm"]) as written:
        compiled = torch.compile(layers.Norm(), backend="eager", fullgraph=True)
        compiled(torch.randn(2, 8))
    assert not written and counts_in(tmp_path / "out")["traced_layers.Norm.forward"]["calls"] == 0


def test_an_exception_passes_and_later_calls_are_recorded(tmp_path):
    recorder = TracedFunction("f", torch.nn.functional.relu, ByteLimit(0))
    wrapper = recorder.wrapper()
    with pytest.raises(TypeError):
        wrapper("no tensor")
    wrapper(torch.zeros(2))
    assert [g.count for g in recorder.groups.values() if g.outputs] == [1]


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    with pytest.raises(RequestError, match="no share of calls"):
        with trace(tmp_path / "out", ["torch.nn.functional.relu"], share=share):
            pass


def test_calls_within_a_graph_capture_are_left_alone_and_counted(monkeypatch):
    recorder = TracedFunction("f", lambda x: x + 1, ByteLimit(1 << 20))
    wrapper, x = recorder.wrapper(), torch.arange(3)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert wrapper(x).tolist() == [1, 2, 3]
    assert not recorder.groups and recorder.skipped == {"within a graph capture": 1}


def test_calls_that_differ_in_a_numbers_kind_are_of_two_groups_however_often_they_come():
    recorder = TracedFunction("f", lambda x, y: x, ByteLimit(0))
    wrapper, x = recorder.wrapper(), torch.zeros(2)
    for _ in range(3):
        for number in (1, 1.0, True, 0.0, -0.0, float("nan"), (1, 2), [1, 2], (1.0, 2)):
            wrapper(x, number)
    said = [repr(g.numbers or g.constants) for g in recorder.groups.values()]
    assert [g.count for g in recorder.groups.values()] == [3, 3, 3, 3, 3, 3, 6, 3], said


def test_a_strided_tensor_is_of_a_group_of_its_own_and_a_parameter_is_not():
    recorder = TracedFunction("f", lambda x: x, ByteLimit(0))
    wrapper, x = recorder.wrapper(), torch.zeros(2, 2)
    for _ in range(2):
        for given in (x, torch.nn.Parameter(x), x.t(), x.double()):
            wrapper(given)
    assert [g.count for g in recorder.groups.values()] == [4, 2, 2]


def test_what_holds_no_values_is_left_out_beside_real_tensors_of_its_shape():
    from torch._subclasses.fake_tensor import FakeTensorMode

    recorder = TracedFunction("f", lambda x: x, ByteLimit(0))
    wrapper, x = recorder.wrapper(), torch.zeros(2)
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(x)
    for given in (x, fake, x):
        wrapper(given)
    assert [g.count for g in recorder.groups.values()] == [2]
    assert recorder.skipped == {"within a compilation": 1}


class OperatorsOfTorch(TorchDispatchMode):
    """Counts what is computed by torch."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("made", [list, lambda row: "".join(map(chr, row))])
def test_long_rows_and_texts_make_no_keys_that_are_kept(made):
    """Two thousand keys of rows that were all different took a hundred megabytes and more."""
    recorder = TracedFunction("f", lambda x: x, ByteLimit(0))
    wrapper = recorder.wrapper()
    rows = [made(range(number, number + 65)) for number in (1, 2, 1)]
    for row in rows:
        wrapper(row)
    assert [group.count for group in recorder.groups.values()] == [2, 1]
    assert not recorder._known


def test_recording_a_call_of_a_known_kind_computes_nothing():
    original = torch.nn.functional.linear
    name = "torch.nn.functional.linear"
    adapter = adapter_of(name, original, ())
    recorder = TracedFunction(name, original, ByteLimit(0), adapter=adapter)
    wrapper, x, weight = recorder.wrapper(), torch.randn(4, 8), torch.randn(8, 8)
    for _ in range(MOST_SAMPLED):
        wrapper(x, weight)
    with OperatorsOfTorch() as alone:
        original(x, weight)
    with OperatorsOfTorch() as recorded:
        wrapper(x, weight)
    assert recorded.names == alone.names and alone.names
    assert [g.count for g in recorder.groups.values()] == [MOST_SAMPLED + 1]


def test_calls_within_others_are_left_out_each_time_and_make_no_group():
    reasons = iter(["within f", "within f", None, None])
    recorder = TracedFunction("f", lambda x: x, ByteLimit(0), within=lambda one: next(reasons))
    wrapper, x = recorder.wrapper(), torch.zeros(2)
    for number in range(4):
        wrapper(x)
        assert len(recorder.groups) == (number > 1)
    assert recorder.skipped == {"within f": 2}
    assert [group.count for group in recorder.groups.values()] == [2]
