"""SGLang's experts for Hopper, of the kernels of its package (sglang-kernel).

The package's are the gate, the lists of rows by expert, the gathering of rows, both grouped
products of fp8, the quantising between them and the sum by weights in bfloat16. PyTorch's is
SwiGLU, since the package has its halves the other way round. Numbers of rows stay on the device, so
that nothing waits for it, and as many rows are prepared as there are pairs, an eighth of which is
multiplied on one rank of eight. All of it counts: a timeline shows the package's kernels alone.

Only one library of the package is loaded, sm90/common_ops.abi3.so or common_ops.abi3.so: the
package itself imports much that is not needed here.
"""

import functools
from importlib.util import find_spec
from pathlib import Path

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128
E4M3_MAX = 448.0
SMALLEST = 1e-10
"""Of a largest value: the quantising kernel has no other."""
WORKSPACE_BYTES = 1 << 20


@functools.cache
def _package():
    """The package's operators.

    Raises:
        ModuleNotFoundError: without the package or its library.
    """
    found = find_spec("sgl_kernel")
    places = [Path(p) for p in (found.submodule_search_locations or ())] if found else []
    for place in places:
        for library in (*place.glob("sm90/common_ops*.so"), *place.glob("common_ops*.so")):
            torch.ops.load_library(str(library))
            return torch.ops.sgl_kernel
    raise ModuleNotFoundError("The package sglang-kernel, with common_ops, is not installed.")


def _gathered(package, rows, token):
    out = rows.new_empty(len(token), rows.shape[1])
    package.shuffle_rows(rows, token, out)
    return out


def _product(package, values, scales, weights, weight_scales, sizes, first, more=0):
    """Rows of each expert times its weights^T in bfloat16; others, and `more`, hold anything."""
    count, width, terms = weights.shape
    out = torch.empty(len(values) + more, width, dtype=torch.bfloat16, device=values.device)
    inner = torch.full((count,), terms, dtype=torch.int64, device=values.device)
    package.es_fp8_blockwise_scaled_grouped_mm(
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


def _gated(package, both):
    """SwiGLU of up and gate columns as e4m3, and a scale per row and 128 columns."""
    up, gate = both.chunk(2, dim=1)
    inner = torch.nn.functional.silu(gate).mul_(up)
    values = torch.empty_like(inner, dtype=torch.float8_e4m3fn)
    scales = inner.new_empty(len(inner), inner.shape[1] // BLOCK, dtype=torch.float32)
    package.sgl_per_token_group_quant_8bit(
        inner, values, scales, BLOCK, SMALLEST, -E4M3_MAX, E4M3_MAX, False
    )
    return values, scales


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
    """Writes output; other ranks' experts add zeros."""
    if hidden_states.shape[0] == 0:
        return
    package = _package()
    shares, experts = package.moe_fused_gate(
        routing_logits, routing_bias.float(), NUM_GROUPS, KEPT_GROUPS, TOPK, 0, 1.0, False
    )
    count, width, pairs = gemm1_weights.shape[0], hidden_states.shape[1], experts.numel()
    first = experts.new_empty(count + 1)
    sizes = experts.new_empty(2, count, 3)
    # Rows of no expert gather the first token; pairs of other ranks get the row behind the last.
    token, row = experts.new_zeros(pairs), experts.new_full((pairs,), pairs)
    package.prepare_moe_input(
        experts - local_expert_offset,
        first,
        None,
        sizes[0],
        sizes[1],
        token,
        row,
        count,
        gemm2_weights.shape[2],
        width,
    )
    first = first[:-1]
    values = _gathered(package, hidden_states, token)
    scales = _gathered(package, hidden_states_scale.T.contiguous(), token)
    both = _product(package, values, scales, gemm1_weights, gemm1_weights_scale, sizes[0], first)
    inner, scales = _gated(package, both)
    parts = _product(
        package, inner, scales, gemm2_weights, gemm2_weights_scale, sizes[1], first, more=1
    )
    parts[-1].zero_()
    factors = (shares * routed_scaling_factor).to(parts.dtype)
    package.apply_shuffle_mul_sum(parts, output, row, factors)
