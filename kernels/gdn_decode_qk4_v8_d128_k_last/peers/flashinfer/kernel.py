"""FlashInfer's gated delta decode step for a float32 state with K innermost.

The library changes the state in place, so it is given a copy. The copy belongs to the call, since
an input may not be changed here: of two activities on the timeline the second is the library's own.
"""


def run(q, k, v, state, A_log, a, dt_bias, b, scale, output, new_state):
    """Writes output and new_state."""
    # Imported here, so that a machine without a package learns its name at the call. The library
    # does without the DSL until its kernel is needed, and then calls None.
    import cutlass  # noqa: F401 - of the package nvidia-cutlass-dsl
    from flashinfer.gdn_decode import gated_delta_rule_decode_pretranspose

    if q.shape[0] == 0:
        return
    new_state.copy_(state)
    gated_delta_rule_decode_pretranspose(
        q,
        k,
        v,
        new_state,
        A_log,
        a,
        dt_bias,
        b,
        scale=scale or q.shape[-1] ** -0.5,
        output=output,
        use_qk_l2norm=False,
    )
