"""One gated delta step in one Triton kernel: a program per sequence, head group and slice of V.

A program holds its slice of the state in registers, so the state is read once and written once.
"""

import math

import triton
import triton.language as tl


@triton.jit
def _gated_delta_step(
    q_ptr, k_ptr, v_ptr, state_ptr, A_log_ptr, a_ptr, dt_bias_ptr, b_ptr, output_ptr, new_state_ptr,
    scale,
    GROUP: tl.constexpr, HEADS: tl.constexpr, SIZE: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    batch = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    row = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    column = tl.arange(0, SIZE)

    vector = (batch * (HEADS // GROUP) + head // GROUP)[:, None] * SIZE + column[None, :]
    query = tl.load(q_ptr + vector).to(tl.float32)
    key = tl.load(k_ptr + vector).to(tl.float32)
    lane = (batch * HEADS + head)[:, None] * SIZE + row[None, :]
    value = tl.load(v_ptr + lane).to(tl.float32)

    x = tl.load(a_ptr + batch * HEADS + head).to(tl.float32) + tl.load(dt_bias_ptr + head)
    # log(1 + exp(x)) rounds to x in float32 long before exp(x) overflows.
    softplus = tl.where(x > 20.0, x, tl.log(1.0 + tl.exp(tl.minimum(x, 20.0))))
    # For very negative x the sum above drops exp(x), which then is the answer.
    softplus = tl.where(x < -15.0, tl.exp(x), softplus)
    decay = tl.exp(-tl.exp(tl.load(A_log_ptr + head)) * softplus)
    beta = 1.0 / (1.0 + tl.exp(-tl.load(b_ptr + batch * HEADS + head).to(tl.float32)))

    element = lane[:, :, None] * SIZE + column[None, None, :]
    memory = tl.load(state_ptr + element) * decay[:, None, None]
    recalled = tl.sum(memory * key[:, None, :], axis=2)
    correction = beta[:, None] * (value - recalled)
    memory += correction[:, :, None] * key[:, None, :]
    answer = tl.sum(memory * query[:, None, :], axis=2) * scale
    tl.store(output_ptr + lane, answer.to(tl.bfloat16))
    tl.store(new_state_ptr + element, memory)


def run(q, k, v, state, A_log, a, dt_bias, b, scale, output, new_state):
    """Writes output and new_state; every tensor is contiguous."""
    batch, _, heads, size = v.shape
    block_h, block_v = 1, 32
    _gated_delta_step[(batch, heads // block_h, size // block_v)](
        q, k, v, state, A_log, a, dt_bias, b, output, new_state,
        scale or 1.0 / math.sqrt(size),
        GROUP=heads // q.shape[2], HEADS=heads, SIZE=size, BLOCK_H=block_h, BLOCK_V=block_v,
        num_warps=4,
    )  # fmt: skip
