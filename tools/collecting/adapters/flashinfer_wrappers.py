"""FlashInfer's attention: what `plan` was given and what `run` is given, as one operator's inputs.

A wrapper must be made while calls are recorded, for its layout is an argument of its making.
Taken is plain attention: no window, no cap, no mask of one's own, no positions, no scales of
inputs, keys and values as [pages, page, heads, head_dim].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .adapter import Adapter
from .torch_functions import RMS_NORM

_ATTEND = """\
def attend(q, keys, values, scale, causal):
    groups = q.shape[1] // keys.shape[1]
    keys, values = (t.double().repeat_interleave(groups, 1) for t in (keys, values))
    scores = torch.einsum("qhd,khd->hqk", q.double(), keys) * scale
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device)
        seen = seen.tril(scores.shape[-1] - scores.shape[-2])
        scores = scores.masked_fill(~seen, float("-inf"))
    return torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1), values).to(q.dtype)


"""
_PAGED = (
    _ATTEND
    + """\
def cached(cache, pages, last_page_len):
    rows = cache[pages.to(cache.device).long()].flatten(0, 1)
    return rows[: (len(pages) - 1) * cache.shape[1] + last_page_len]


"""
)
DECODE = (
    _PAGED
    + """\
def compute(q, k_cache, v_cache, kv_indptr, kv_indices, kv_last_page_len, sm_scale):
    output = torch.zeros_like(q)
    ends = kv_indptr.tolist()
    for row, last in enumerate(kv_last_page_len.tolist()):
        pages = kv_indices[ends[row] : ends[row + 1]]
        if len(pages):
            keys, values = (cached(cache, pages, last) for cache in (k_cache, v_cache))
            output[row] = attend(q[row : row + 1], keys, values, sm_scale, False)[0]
    return output
"""
)
PAGED_PREFILL = (
    _PAGED
    + """\
def compute(
    q, k_cache, v_cache, qo_indptr, kv_indptr, kv_indices, kv_last_page_len, sm_scale, causal
):
    output = torch.zeros_like(q)
    first, ends = qo_indptr.tolist(), kv_indptr.tolist()
    for row, last in enumerate(kv_last_page_len.tolist()):
        pages, rows = kv_indices[ends[row] : ends[row + 1]], slice(first[row], first[row + 1])
        if len(pages):
            keys, values = (cached(cache, pages, last) for cache in (k_cache, v_cache))
            output[rows] = attend(q[rows], keys, values, sm_scale, causal)
    return output
"""
)
RAGGED_PREFILL = (
    _ATTEND
    + """\
def compute(q, k, v, qo_indptr, kv_indptr, sm_scale, causal):
    output = q.new_zeros(*q.shape[:2], v.shape[2])
    first, ends = qo_indptr.tolist(), kv_indptr.tolist()
    for row in range(len(first) - 1):
        rows, held = slice(first[row], first[row + 1]), slice(ends[row], ends[row + 1])
        output[rows] = attend(q[rows], k[held], v[held], sm_scale, causal)
    return output
"""
)
_OTHERS: Mapping[str, tuple[Any, ...]] = {
    "pos_encoding_mode": ("NONE",),
    "window_left": (-1, None),
    "logits_soft_cap": (None, 0, 0.0),
    "custom_mask": (None,),
    "packed_custom_mask": (None,),
    "jit_args": (None,),
    "sinks": (None,),
    "q_scale": (None,),
    "k_scale": (None,),
    "v_scale": (None,),
    "o_scale": (None,),
    "kv_cache_sf": (None,),
}
"""Arguments that make another operator, with the values under which they do not."""


def _is_plain(*given: Mapping[str, Any]) -> bool:
    """Whether the arguments of making, planning and running ask for attention alone."""
    return all(
        isinstance(value, int | float | str | None) and value in _OTHERS[name]
        for arguments in given
        for name, value in arguments.items()
        if name in _OTHERS
    )


def _plain_plan(
    remembered: Mapping[str, Mapping[str, Any]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The arguments of `plan`; None where nothing was planned, or other than plain attention."""
    made, planned = remembered.get("__init__"), remembered.get("plan")
    if made is None or planned is None or args or made["kv_layout"] != "NHD":
        return None
    return planned if _is_plain(made, planned, kwargs) else None


def _scale(planned: Mapping[str, Any], q: torch.Tensor) -> float:
    scale = planned.get("sm_scale")
    return float(q.shape[-1] ** -0.5 if scale is None else scale)


def _caches(paged: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values, of a pair or of one tensor that holds both."""
    return paged if isinstance(paged, tuple) else paged.unbind(1)


def _decode(
    remembered: Mapping[str, Mapping[str, Any]],
    wrapper: Any,
    q: torch.Tensor,
    paged_kv_cache: Any,
    *args: Any,
    **kwargs: Any,
) -> Mapping[str, Any] | None:
    planned = _plain_plan(remembered, args, kwargs)
    if planned is None or planned.get("deprecated_positional_args"):
        return None
    keys, values = _caches(paged_kv_cache)
    return {
        "q": q,
        "k_cache": keys,
        "v_cache": values,
        "kv_indptr": planned["indptr"],
        "kv_indices": planned["indices"],
        "kv_last_page_len": planned["last_page_len"],
        "sm_scale": _scale(planned, q),
    }


def _paged_prefill(
    remembered: Mapping[str, Mapping[str, Any]],
    wrapper: Any,
    q: torch.Tensor,
    paged_kv_cache: Any,
    *args: Any,
    **kwargs: Any,
) -> Mapping[str, Any] | None:
    planned = _plain_plan(remembered, args, kwargs)
    if planned is None:
        return None
    keys, values = _caches(paged_kv_cache)
    return {
        "q": q,
        "k_cache": keys,
        "v_cache": values,
        "qo_indptr": planned["qo_indptr"],
        "kv_indptr": planned["paged_kv_indptr"],
        "kv_indices": planned["paged_kv_indices"],
        "kv_last_page_len": planned["paged_kv_last_page_len"],
        "sm_scale": _scale(planned, q),
        "causal": bool(planned["causal"]),
    }


def _ragged_prefill(
    remembered: Mapping[str, Mapping[str, Any]],
    wrapper: Any,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *args: Any,
    **kwargs: Any,
) -> Mapping[str, Any] | None:
    planned = _plain_plan(remembered, args, kwargs)
    if planned is None:
        return None
    return {
        "q": q,
        "k": k,
        "v": v,
        "qo_indptr": planned["qo_indptr"],
        "kv_indptr": planned["kv_indptr"],
        "sm_scale": _scale(planned, q),
        "causal": bool(planned["causal"]),
    }


def _rmsnorm(
    input: torch.Tensor,
    weight: torch.Tensor,
    eps: float = 1e-6,
    out: torch.Tensor | None = None,
    enable_pdl: bool | None = None,
) -> Mapping[str, Any] | None:
    return {"input": input, "weight": weight, "eps": float(eps)}


def _first(result: Any) -> Any:
    """The output, without the logarithms of sums that may come with it."""
    return result[0] if isinstance(result, tuple) else result


_PLANNED = ("__init__", "plan")
FLASHINFER_ADAPTERS = (
    Adapter(
        "flashinfer.decode.BatchDecodeWithPagedKVCacheWrapper.run",
        _decode,
        DECODE,
        _PLANNED,
        _first,
    ),
    Adapter(
        "flashinfer.prefill.BatchPrefillWithPagedKVCacheWrapper.run",
        _paged_prefill,
        PAGED_PREFILL,
        _PLANNED,
        _first,
    ),
    Adapter(
        "flashinfer.prefill.BatchPrefillWithRaggedKVCacheWrapper.run",
        _ragged_prefill,
        RAGGED_PREFILL,
        _PLANNED,
        _first,
    ),
    Adapter("flashinfer.norm.rmsnorm", _rmsnorm, RMS_NORM),
)
