"""Adaptor to flash-linear-attention's fused recurrent gated delta rule (package fla-core)."""


def run(q, k, v, state, A_log, a, dt_bias, b, scale):
    """Returns the output in bfloat16 and the new state in float32, laid out [B, 8, V, K]."""
    # Imported here, so that a machine without the package learns its name at the call.
    from fla.ops.gated_delta_rule import fused_recurrent_gated_delta_rule

    output, new_state = fused_recurrent_gated_delta_rule(
        q,
        k,
        v,
        g=a,
        beta=b,
        scale=scale or q.shape[-1] ** -0.5,
        initial_state=state,
        output_final_state=True,
        use_gate_in_kernel=True,
        A_log=A_log,
        dt_bias=dt_bias,
        use_beta_sigmoid_in_kernel=True,
        state_v_first=True,
    )
    return output, new_state
