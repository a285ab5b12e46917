"""The gated delta rule over prompts in one Triton kernel that walks token by token.

A program holds one slice of one head's state in registers and carries it through one sequence. Its
time follows the longest sequence; short prompts, half of the workloads, suit it well.
"""

import math

import triton
import triton.language as tl


@triton.jit
def _gated_delta_rule(
    q_ptr, k_ptr, v_ptr, state_ptr, A_log_ptr, a_ptr, dt_bias_ptr, b_ptr, cu_seqlens_ptr,
    output_ptr, new_state_ptr, scale,
    GROUP: tl.constexpr, HEADS: tl.constexpr, SIZE: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    sequence = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    row = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    column = tl.arange(0, SIZE)
    start = tl.load(cu_seqlens_ptr + sequence)
    end = tl.load(cu_seqlens_ptr + sequence + 1)

    vector = (head // GROUP)[:, None] * SIZE + column[None, :]
    lane = head[:, None] * SIZE + row[None, :]
    element = sequence * (HEADS * SIZE * SIZE) + lane[:, :, None] * SIZE + column[None, None, :]
    bias = tl.load(dt_bias_ptr + head)
    rate = tl.exp(tl.load(A_log_ptr + head))
    # A sequence without tokens leaves zeros, not its initial state.
    memory = tl.where(end > start, tl.load(state_ptr + element), 0.0)

    for token in range(start, end):
        key = tl.load(k_ptr + token * (HEADS // GROUP * SIZE) + vector).to(tl.float32)
        query = tl.load(q_ptr + token * (HEADS // GROUP * SIZE) + vector).to(tl.float32)
        value = tl.load(v_ptr + token * (HEADS * SIZE) + lane).to(tl.float32)
        x = tl.load(a_ptr + token * HEADS + head).to(tl.float32) + bias
        # log(1 + exp(x)) is x for large x, and exp(x) where the sum would drop it.
        softplus = tl.where(x > 20.0, x, tl.log(1.0 + tl.exp(tl.minimum(x, 20.0))))
        softplus = tl.where(x < -15.0, tl.exp(x), softplus)
        beta = 1.0 / (1.0 + tl.exp(-tl.load(b_ptr + token * HEADS + head).to(tl.float32)))

        memory *= tl.exp(-rate * softplus)[:, None, None]
        recalled = tl.sum(memory * key[:, None, :], axis=2)
        correction = beta[:, None] * (value - recalled)
        memory += correction[:, :, None] * key[:, None, :]
        answer = tl.sum(memory * query[:, None, :], axis=2) * scale
        tl.store(output_ptr + token * (HEADS * SIZE) + lane, answer.to(tl.bfloat16))
    tl.store(new_state_ptr + element, memory)


def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale, output, new_state):
    """Writes output and new_state; every tensor is contiguous."""
    _, heads, size = v.shape
    sequences = cu_seqlens.shape[0] - 1
    block_h, block_v = 1, 8
    _gated_delta_rule[(sequences, heads // block_h, size // block_v)](
        q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, output, new_state,
        scale or 1.0 / math.sqrt(size),
        GROUP=heads // q.shape[1], HEADS=heads, SIZE=size, BLOCK_H=block_h, BLOCK_V=block_v,
        num_warps=1,
    )  # fmt: skip
