"""FlashInfer's fused experts for Hopper with its own routing (package flashinfer-python 0.6.9).

`fused_topk_deepseek` routes, and `cutlass_fused_moe` does all the rest without waiting for the
device: sorting, both products (DeepGEMM's, as TensorRT-LLM has them), SwiGLU and the sum. With
block scales it takes hidden states in bfloat16 alone and quantises them by rows and 128 columns,
as it does between the products. Making bfloat16 of e4m3 and scales is counted; values come back to
the same e4m3, and their scales to within the rounding of the largest value to bfloat16.

The library is compiled at the first call, 182 files, unless flashinfer-jit-cache of the same
version is installed: candidates have a home of their own, so that what another process compiled is
not found. The products are compiled by nvcc, of CUDA_HOME or PATH, at the first call of each range
of tokens: up to 16, 24, 31, 64, and above.
"""

import torch

NUM_GROUPS, KEPT_GROUPS, TOPK, BLOCK = 8, 4, 8, 128


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
    """Writes output, zeros where a token has no expert of this rank."""
    # Imported here, so that a machine without the package learns its name at the call.
    from flashinfer.fused_moe import (  # pyright: ignore[reportMissingImports]
        cutlass_fused_moe,
        fused_topk_deepseek,
    )

    tokens, experts = routing_logits.shape
    if tokens == 0:
        return
    shares = routing_logits.new_empty(tokens, TOPK)
    selected = shares.new_empty(tokens, TOPK, dtype=torch.int32)
    fused_topk_deepseek(
        routing_logits,
        routing_bias.float(),
        NUM_GROUPS,
        KEPT_GROUPS,
        TOPK,
        routed_scaling_factor,
        shares,
        selected,
    )
    count = gemm1_weights.shape[0]
    rank, beyond = divmod(local_expert_offset, count)
    if beyond:
        # The first expert of a rank is a multiple of their number there.
        selected = (selected - beyond) % experts
    values = hidden_states.bfloat16().unflatten(1, (-1, BLOCK))
    torch.mul(values, hidden_states_scale.T[:, :, None], out=values)
    cutlass_fused_moe(
        values.flatten(1),
        selected,
        shares,
        gemm1_weights,
        gemm2_weights,
        torch.bfloat16,
        quant_scales=[gemm1_weights_scale, gemm2_weights_scale],
        ep_size=experts // count,
        ep_rank=rank,
        output=output,
        use_deepseek_fp8_block_scale=True,
    )
