"""Adaptor to flash-linear-attention's fused recurrent gated delta rule (package fla-core)."""


def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    """Returns the output in bfloat16 and the new state in float32, laid out [N, 8, V, K]."""
    # Imported here, so that a machine without the package learns its name at the call.
    from fla.ops.gated_delta_rule import fused_recurrent_gated_delta_rule

    output, new_state = fused_recurrent_gated_delta_rule(
        q[None],
        k[None],
        v[None],
        g=a[None],
        beta=b[None],
        scale=scale or q.shape[-1] ** -0.5,
        initial_state=state,
        output_final_state=True,
        use_gate_in_kernel=True,
        A_log=A_log,
        dt_bias=dt_bias,
        use_beta_sigmoid_in_kernel=True,
        state_v_first=True,
        cu_seqlens=cu_seqlens,
    )
    # The library keeps the initial state of a sequence without tokens; the definition wants zeros.
    empty = cu_seqlens[1:] == cu_seqlens[:-1]
    return output[0], new_state.masked_fill(empty[:, None, None, None], 0.0)
