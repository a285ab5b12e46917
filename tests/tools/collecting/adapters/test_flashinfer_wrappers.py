"""References of FlashInfer's wrappers, on wrappers that are called as those are."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kernel_harness.tools.collecting.adapters.flashinfer_wrappers import FLASHINFER_ADAPTERS
from kernel_harness.tools.collecting.adapters.replay import compared_calls
from kernel_harness.tools.collecting.tracing import trace
from kernel_harness.tools.schema.evaluation import Status

from ..conftest import definition_in
from ..judged_solutions import judged


def attention(q: Any, keys: Any, values: Any, scale: Any, causal: bool) -> Any:
    """Of one request, by torch: [rows, heads, head_dim]."""
    mask = torch.ones(len(q), len(keys), dtype=torch.bool).tril(len(keys) - len(q))
    given = (t.transpose(0, 1)[None] for t in (q, keys, values))
    found = F.scaled_dot_product_attention(
        *given, attn_mask=mask if causal else None, scale=scale, enable_gqa=True
    )
    return found[0].transpose(0, 1)


class Wrapper:
    """What the wrappers have in common."""

    def __init__(self, float_workspace_buffer, kv_layout="NHD", jit_args=None):
        self.planned: dict[str, Any] = {}


class Decode(Wrapper):
    def plan(
        self,
        indptr,
        indices,
        last_page_len,
        num_qo_heads,
        num_kv_heads,
        head_dim,
        page_size,
        *deprecated_positional_args,
        **kwargs,
    ):
        self.planned = {"qo": None, "kv": indptr, "pages": indices, "last": last_page_len, **kwargs}

    def run(self, q, paged_kv_cache, *args, k_scale=None, return_lse=False, window_left=None):
        rows = torch.arange(len(q) + 1)
        result = paged(self.planned | {"qo": rows, "causal": False}, q, paged_kv_cache)
        return (result, torch.zeros(q.shape[:2])) if return_lse else result


class PagedPrefill(Wrapper):
    def plan(
        self,
        qo_indptr,
        paged_kv_indptr,
        paged_kv_indices,
        paged_kv_last_page_len,
        num_qo_heads,
        num_kv_heads,
        head_dim_qk,
        page_size,
        custom_mask=None,
        causal=False,
        sm_scale=None,
        pos_encoding_mode="NONE",
        window_left=-1,
        logits_soft_cap=None,
    ):
        self.planned = {
            "qo": qo_indptr,
            "kv": paged_kv_indptr,
            "pages": paged_kv_indices,
            "last": paged_kv_last_page_len,
            "causal": causal,
            "sm_scale": sm_scale,
        }

    def run(self, q, paged_kv_cache, *args, k_scale=None, return_lse=False):
        return paged(self.planned, q, paged_kv_cache)


class RaggedPrefill(Wrapper):
    def plan(
        self,
        qo_indptr,
        kv_indptr,
        num_qo_heads,
        num_kv_heads,
        head_dim_qk,
        head_dim_vo=None,
        custom_mask=None,
        causal=False,
        sm_scale=None,
        window_left=-1,
    ):
        self.planned = {"qo": qo_indptr, "kv": kv_indptr, "causal": causal, "scale": sm_scale}

    def run(self, q, k, v, *args, return_lse=False):
        qo, kv = (self.planned[name].tolist() for name in ("qo", "kv"))
        return torch.cat(
            [
                attention(q[a:b], k[c:d], v[c:d], self.planned["scale"], self.planned["causal"])
                for a, b, c, d in zip(qo, qo[1:], kv, kv[1:], strict=False)
            ]
        )


def paged(planned, q, cache):
    """Attention of each request over its pages; nothing where it has none."""
    keys, values = cache if isinstance(cache, tuple) else cache.unbind(1)
    qo, kv = planned["qo"].tolist(), planned["kv"].tolist()
    result = torch.zeros_like(q)
    for row, last in enumerate(planned["last"].tolist()):
        pages = planned["pages"][kv[row] : kv[row + 1]].long()
        if not len(pages):
            continue
        count = (len(pages) - 1) * keys.shape[1] + last
        k, v = (t[pages].flatten(0, 1)[:count] for t in (keys, values))
        rows = slice(qo[row], qo[row + 1])
        result[rows] = attention(q[rows], k, v, planned.get("sm_scale"), planned["causal"])
    return result


@pytest.fixture
def flashinfer(monkeypatch):
    made = {name: ModuleType(name) for name in ("flashinfer.decode", "flashinfer.prefill")}
    made["flashinfer"] = ModuleType("flashinfer")
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    kinds = {
        "flashinfer.decode": {"BatchDecodeWithPagedKVCacheWrapper": Decode},
        "flashinfer.prefill": {
            "BatchPrefillWithPagedKVCacheWrapper": PagedPrefill,
            "BatchPrefillWithRaggedKVCacheWrapper": RaggedPrefill,
        },
    }
    for module, classes in kinds.items():
        for name, kind in classes.items():
            own = {"__init__": Wrapper.__init__, "plan": kind.plan, "run": kind.run}
            setattr(made[module], name, type(name, (kind,), own))
    return made


DECODE, PAGED, RAGGED, _ = FLASHINFER_ADAPTERS
PAGES = {
    "kv": torch.tensor([0, 3, 3, 4], dtype=torch.int32),
    "pages": torch.tensor([5, 0, 2, 3], dtype=torch.int32),
    "last": torch.tensor([2, 0, 4], dtype=torch.int32),
}
CACHE = torch.randn(6, 2, 4, 2, 8)


@pytest.mark.parametrize("cache", [CACHE, tuple(CACHE.unbind(1))])
@pytest.mark.parametrize("asked", [{}, {"return_lse": True}])
def test_decode(flashinfer, cache, asked):
    with compared_calls(DECODE) as calls:
        wrapper = flashinfer["flashinfer.decode"].BatchDecodeWithPagedKVCacheWrapper(None)
        for scale in (None, 0.2):
            wrapper.plan(*PAGES.values(), 4, 2, 8, 4, sm_scale=scale)
            wrapper.run(torch.randn(3, 4, 8), cache, **asked)
    assert [call.inputs["sm_scale"] for call in calls] == [pytest.approx(8**-0.5), 0.2]
    for call in calls:
        torch.testing.assert_close(call.expected, call.got)


@pytest.mark.parametrize("causal", [True, False])
def test_paged_prefill(flashinfer, causal):
    with compared_calls(PAGED) as calls:
        wrapper = flashinfer["flashinfer.prefill"].BatchPrefillWithPagedKVCacheWrapper(None)
        wrapper.plan(torch.tensor([0, 4, 4, 6]), *PAGES.values(), 4, 2, 8, 4, causal=causal)
        wrapper.run(torch.randn(6, 4, 8), CACHE)
    torch.testing.assert_close(calls[0].expected, calls[0].got)


@pytest.mark.parametrize("causal", [True, False])
def test_ragged_prefill(flashinfer, causal):
    with compared_calls(RAGGED) as calls:
        wrapper = flashinfer["flashinfer.prefill"].BatchPrefillWithRaggedKVCacheWrapper(None)
        wrapper.plan(torch.tensor([0, 3, 4]), torch.tensor([0, 5, 9]), 4, 2, 8, causal=causal)
        wrapper.run(torch.randn(4, 4, 8), torch.randn(9, 2, 8), torch.randn(9, 2, 8))
    torch.testing.assert_close(calls[0].expected, calls[0].got)


def test_what_is_another_operator_is_not_taken(flashinfer):
    kind = flashinfer["flashinfer.decode"].BatchDecodeWithPagedKVCacheWrapper
    before = kind(None)
    q = torch.randn(3, 4, 8)
    with compared_calls(DECODE) as calls:
        for made, planned, asked in (
            ({"kv_layout": "HND"}, {}, {}),
            ({"jit_args": []}, {}, {}),
            ({}, {"window_left": 3}, {}),
            ({}, {"logits_soft_cap": 5.0}, {}),
            ({}, {}, {"k_scale": 2.0}),
            ({}, {}, {"k_scale": torch.ones(1)}),
        ):
            wrapper = kind(None, **made)
            wrapper.plan(*PAGES.values(), 4, 2, 8, 4, **planned)
            wrapper.run(q, CACHE, **asked)
        before.plan(*PAGES.values(), 4, 2, 8, 4)
        before.run(q, CACHE)
    assert not calls


def test_page_tables_are_kept_with_the_plan_they_were_made_for(flashinfer, tmp_path):
    flashinfer["flashinfer"].Short = kind = flashinfer[
        "flashinfer.decode"
    ].BatchDecodeWithPagedKVCacheWrapper
    kind.run.__module__, kind.run.__qualname__ = "flashinfer.decode", f"{kind.__name__}.run"
    with trace(tmp_path / "out", ["flashinfer.Short.run"]) as written:
        wrapper = kind(None)
        for last in (2, 3):
            given = PAGES | {"last": torch.tensor([last, 0, 4], dtype=torch.int32)}
            wrapper.plan(*given.values(), 4, 2, 8, 4)
            wrapper.run(torch.randn(3, 4, 8), CACHE)
    assert written[0].workloads == 2 and written[0].unfinished is None
    definition = definition_in(tmp_path / "out")
    assert list(definition.inputs) == [
        *("q", "k_cache", "v_cache", "kv_indptr", "kv_indices", "kv_last_page_len", "sm_scale")
    ]


@pytest.mark.long
@pytest.mark.process
def test_a_collected_dataset_is_evaluated(flashinfer, tmp_path):
    kind = flashinfer["flashinfer.decode"].BatchDecodeWithPagedKVCacheWrapper
    kind.run.__module__, kind.run.__qualname__ = "flashinfer.decode", f"{kind.__name__}.run"
    target = f"flashinfer.decode.{kind.__name__}.run"
    with trace(tmp_path / "out", [target]) as written:
        wrapper = kind(None)
        wrapper.plan(*PAGES.values(), 4, 2, 8, 4)
        wrapper.run(torch.randn(3, 4, 8), CACHE)
    assert [done.workloads for done in written] == [1]
    found = judged(tmp_path / "out", tmp_path / "data")
    assert found["right"].status is Status.PASSED, found["right"].reason
    assert found["wrong"].status is Status.INCORRECT_NUMERICAL
