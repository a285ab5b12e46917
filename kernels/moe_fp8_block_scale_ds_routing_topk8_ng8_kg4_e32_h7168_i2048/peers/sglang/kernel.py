"""SGLang's grouped product of fp8 for Hopper (package sglang-kernel), the rest in PyTorch.

Only one library of the package is loaded, sm90/common_ops.abi3.so or common_ops.abi3.so: the
package itself imports much that is not needed here. Rows are sorted by expert; their numbers stay
on the device, so that nothing waits for it, and PyTorch prepares as many rows as there are pairs.
The weights of pairs are factors of the second product's scales, and one kernel sums the rows of
each token. All but the two products is PyTorch's and counts: a timeline shows the products alone.
"""

import functools
from importlib.util import find_spec
from pathlib import Path

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
E4M3_MAX = 448.0
WORKSPACE_BYTES = 1 << 20


@functools.cache
def _load_products():
    """Registers torch.ops.sgl_kernel.

    Raises:
        ModuleNotFoundError: without the package or its library.
    """
    found = find_spec("sgl_kernel")
    places = [Path(p) for p in (found.submodule_search_locations or ())] if found else []
    for place in places:
        for library in (*place.glob("sm90/common_ops*.so"), *place.glob("common_ops*.so")):
            torch.ops.load_library(str(library))
            return
    raise ModuleNotFoundError("The package sglang-kernel, with common_ops, is not installed.")


def _route(logits, bias, factor):
    affinity = torch.sigmoid(logits)
    biased = (affinity + bias.float()).unflatten(1, (NUM_GROUPS, -1))
    worth = biased.topk(2, dim=2).values.sum(dim=2)
    kept = torch.zeros_like(worth, dtype=torch.bool)
    kept.scatter_(1, worth.topk(KEPT_GROUPS, dim=1).indices, True)
    candidates = biased.masked_fill(~kept[:, :, None], torch.finfo(torch.float32).min)
    experts = candidates.flatten(1).topk(TOPK, dim=1).indices
    shares = affinity.gather(1, experts)
    return experts, shares / (shares.sum(dim=1, keepdim=True) + 1e-20) * factor


def _product(values, scales, weights, weight_scales, held, first, more=0):
    """Rows of each expert times its weights^T in bfloat16; others, and `more`, hold anything."""
    count, width, terms = weights.shape
    out = torch.empty(len(values) + more, width, dtype=torch.bfloat16, device=values.device)
    sizes = torch.stack([held, torch.full_like(held, width), torch.full_like(held, terms)], dim=1)
    inner = torch.full((count,), terms, dtype=torch.int64, device=values.device)
    torch.ops.sgl_kernel.es_fp8_blockwise_scaled_grouped_mm(
        out[: len(values)],
        values,
        weights.transpose(1, 2),
        scales,
        weight_scales.transpose(1, 2),
        inner,
        inner,
        torch.full_like(inner, width),
        sizes,
        first,
        torch.empty(WORKSPACE_BYTES, dtype=torch.uint8, device=values.device),
    )
    return out


def _gated(both):
    """SwiGLU of up and gate columns as e4m3, and a scale per row and 128 columns."""
    up, gate = both.chunk(2, dim=1)
    inner = torch.nn.functional.silu(gate.float()).mul_(up).unflatten(1, (-1, BLOCK))
    largest = torch.linalg.vector_norm(inner, ord=torch.inf, dim=2, keepdim=True)
    scales = largest.clamp_min(1e-30) / E4M3_MAX
    return inner.div_(scales).to(torch.float8_e4m3fn).flatten(1), scales.squeeze(2)


@torch.no_grad()
def run(
    routing_logits,
    routing_bias,
    hidden_states,
    hidden_states_scale,
    gemm1_weights,
    gemm1_weights_scale,
    gemm2_weights,
    gemm2_weights_scale,
    local_expert_offset,
    routed_scaling_factor,
    output,
):
    """Writes output; pairs of other ranks' experts stand last and are multiplied by nothing."""
    if hidden_states.shape[0] == 0:
        return
    _load_products()
    experts, shares = _route(routing_logits, routing_bias, routed_scaling_factor)
    count, device = gemm1_weights.shape[0], output.device
    local = experts.flatten() - local_expert_offset
    local = torch.where((local >= 0) & (local < count), local, count)
    held = (local[:, None] == torch.arange(count, device=device)).sum(dim=0, dtype=torch.int32)
    first = held.cumsum(0, dtype=torch.int32) - held
    order = torch.argsort(local, stable=True)
    token = order // TOPK
    values = hidden_states.view(torch.uint8)[token].view(torch.float8_e4m3fn)
    scales = hidden_states_scale.T.contiguous()[token]
    both = _product(values, scales, gemm1_weights, gemm1_weights_scale, held, first)
    inner, scales = _gated(both)
    scales *= shares.flatten()[order][:, None]
    parts = _product(inner, scales, gemm2_weights, gemm2_weights_scale, held, first, more=1)
    # The last row stands for pairs of other ranks' experts: it is named and never read.
    row = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=device))
    row = torch.where(local < count, row, len(order)).view(-1, TOPK)
    total = torch.nn.functional.embedding_bag(row, parts, mode="sum", padding_idx=len(order))
    output.copy_(total)
