"""Calls on a GPU are recorded, those of FlashInfer and those around graphs among them."""

from __future__ import annotations

import json

import pytest
import torch

from kernel_harness.tools.collecting.adapters.flashinfer_wrappers import FLASHINFER_ADAPTERS
from kernel_harness.tools.collecting.adapters.replay import compared_calls
from kernel_harness.tools.collecting.tracing import trace
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.workloads.dataset import Dataset

from ..tools.collecting.judged_solutions import judged

pytestmark = pytest.mark.gpu

INT = torch.int32
PAGES = {
    "indptr": torch.tensor([0, 3, 4, 9], dtype=INT),
    "indices": torch.tensor([5, 0, 2, 3, 1, 4, 6, 7, 8], dtype=INT),
    "last": torch.tensor([2, 16, 7], dtype=INT),
}


def cache():
    return torch.randn(9, 2, 16, 2, 128, dtype=torch.bfloat16, device="cuda")


def decode_once(flashinfer):
    """One decoding step of FlashInfer's wrapper."""
    workspace = torch.empty(128 << 20, dtype=torch.uint8, device="cuda")
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace)
    given = [value.cuda() for value in PAGES.values()]
    wrapper.plan(*given, 8, 2, 128, 16, q_data_type=torch.bfloat16, kv_data_type=torch.bfloat16)
    return wrapper.run(torch.randn(3, 8, 128, dtype=torch.bfloat16, device="cuda"), cache())


def prefill_once(flashinfer):
    """One causal prefill of FlashInfer's wrapper over pages."""
    workspace = torch.empty(128 << 20, dtype=torch.uint8, device="cuda")
    wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, backend="fa2")
    first = torch.tensor([0, 4, 5, 12], dtype=INT, device="cuda")
    given = [value.cuda() for value in PAGES.values()]
    wrapper.plan(first, *given, 8, 2, 128, 16, causal=True, q_data_type=torch.bfloat16)
    return wrapper.run(torch.randn(12, 8, 128, dtype=torch.bfloat16, device="cuda"), cache())


DECODE, PAGED, _, NORM = FLASHINFER_ADAPTERS


@pytest.mark.parametrize(
    ("adapter", "act"), [(DECODE, decode_once), (PAGED, prefill_once)], ids=["decode", "prefill"]
)
def test_references_give_what_flashinfer_gives(adapter, act):
    flashinfer = pytest.importorskip("flashinfer")
    with compared_calls(adapter) as calls:
        act(flashinfer)
    assert len(calls) == 1
    torch.testing.assert_close(calls[0].got, calls[0].expected, rtol=2e-2, atol=2e-2)


def test_the_norms_reference_gives_what_flashinfer_gives():
    flashinfer = pytest.importorskip("flashinfer")
    with compared_calls(NORM) as calls:
        x = torch.randn(4, 256, dtype=torch.bfloat16, device="cuda")
        flashinfer.norm.rmsnorm(x, torch.rand(256, dtype=torch.bfloat16, device="cuda"))
    torch.testing.assert_close(calls[0].got, calls[0].expected, rtol=2e-2, atol=2e-2)


def test_flashinfers_calls_become_a_dataset_that_is_evaluated(tmp_path):
    flashinfer = pytest.importorskip("flashinfer")
    with trace(tmp_path / "out", ["flashinfer.BatchDecodeWithPagedKVCacheWrapper.run"]) as written:
        decode_once(flashinfer)
    assert [(done.workloads, done.unfinished) for done in written] == [(1, None)]
    operator = Dataset.load(tmp_path / "out").operator(written[0].name)
    assert len(operator.workloads) == 1 and not operator.unusable
    found = judged(tmp_path / "out", tmp_path / "data")
    assert found["right"].status is Status.PASSED, found["right"].reason
    assert found["wrong"].status is Status.INCORRECT_NUMERICAL


def test_captures_are_left_alone_and_replays_are_right(tmp_path):
    x = torch.zeros(4, 8, device="cuda")
    with trace(tmp_path / "out", ["torch.nn.functional.softmax"]):
        torch.nn.functional.softmax(x, -1)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = torch.nn.functional.softmax(x, -1)
        x.copy_(torch.randn(4, 8))
        graph.replay()
        assert torch.allclose(y, x.softmax(-1))
    found = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))
    told = found["torch.nn.functional.softmax"]
    assert told["not_recorded"] == {"within a graph capture": 1} and told["recorded"] == 1


def test_recording_a_call_of_a_known_kind_waits_for_no_device(tmp_path):
    x, weight = torch.randn(4, 8, device="cuda"), torch.randn(8, 8, device="cuda")
    targets = ["torch.nn.functional.linear", "torch.nn.functional.softmax"]
    with trace(tmp_path / "out", targets):
        for _ in range(3):
            torch.nn.functional.linear(x, weight)
            torch.nn.functional.softmax(x, -1)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(5):
                torch.nn.functional.linear(x, weight)
                torch.nn.functional.softmax(x, -1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))
    for target in targets:
        assert found[target]["recorded"] == 8 and not found[target]["not_recorded"]
