"""Adaptor to FlashInfer's chunked gated delta rule (package flashinfer-python)."""

import torch
import torch.nn.functional as F


def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    """Returns the output in bfloat16 and the new state in float32, laid out [N, 8, V, K]."""
    # Imported here, so that a machine without the package learns its name at the call.
    from flashinfer.gdn_prefill import chunk_gated_delta_rule

    decay = torch.exp(-torch.exp(A_log) * F.softplus(a.float() + dt_bias))
    output, new_state = chunk_gated_delta_rule(
        q,
        k,
        v,
        g=decay,
        beta=torch.sigmoid(b.float()),
        scale=scale or q.shape[-1] ** -0.5,
        initial_state=state,
        output_final_state=True,
        cu_seqlens=cu_seqlens,
    )
    empty = cu_seqlens[1:] == cu_seqlens[:-1]
    return output, new_state.masked_fill(empty[:, None, None, None], 0.0)
