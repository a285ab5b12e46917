"""One gated delta step in one Triton kernel, tiled by batch and with a single reduction pass.

Both reductions are taken over the state as it was loaded, so neither waits for the other:

    correction = beta * (v - decay * S k)        S q (new) = decay * S q + (k . q) * correction

Small batches take thin slices of V, so that every multiprocessor has work; large ones wide slices.
The state streams past the caches: nobody reads it again.
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
    batch = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    row = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    column = tl.arange(0, SIZE)

    # The long load goes out first; gates and vectors are worked out while it is under way.
    lane = (batch * HEADS + head)[:, None] * SIZE + row[None, :]
    element = lane[:, :, None] * SIZE + column[None, None, :]
    memory = tl.load(state_ptr + element, eviction_policy="evict_first")

    vector = (batch * (HEADS // GROUP) + head // GROUP)[:, None] * SIZE + column[None, :]
    query = tl.load(q_ptr + vector).to(tl.float32)
    key = tl.load(k_ptr + vector).to(tl.float32)
    value = tl.load(v_ptr + lane).to(tl.float32)
    x = tl.load(a_ptr + batch * HEADS + head).to(tl.float32) + tl.load(dt_bias_ptr + head)
    softplus = tl.where(x > 20.0, x, tl.log(1.0 + tl.exp(tl.minimum(x, 20.0))))
    softplus = tl.where(x < -15.0, tl.exp(x), softplus)
    decay = tl.exp(-tl.exp(tl.load(A_log_ptr + head)) * softplus)
    beta = 1.0 / (1.0 + tl.exp(-tl.load(b_ptr + batch * HEADS + head).to(tl.float32)))
    overlap = tl.sum(key * query, axis=1)

    recalled = tl.sum(memory * key[:, None, :], axis=2)
    answered = tl.sum(memory * query[:, None, :], axis=2)
    correction = beta[:, None] * (value - decay[:, None] * recalled)
    answer = scale * (decay[:, None] * answered + overlap[:, None] * correction)
    tl.store(output_ptr + lane, answer.to(tl.bfloat16))
    memory = memory * decay[:, None, None] + correction[:, :, None] * key[:, None, :]
    tl.store(new_state_ptr + element, memory, eviction_policy="evict_first")


def run(q, k, v, state, A_log, a, dt_bias, b, scale, output, new_state):
    """Writes output and new_state; every tensor is contiguous."""
    batch, _, heads, size = v.shape
    block_h, block_v, warps = _tile(batch)
    _gated_delta_step[(size // block_v, heads // block_h, batch)](
        q, k, v, state, A_log, a, dt_bias, b, output, new_state,
        scale or 1.0 / math.sqrt(size),
        GROUP=heads // q.shape[2], HEADS=heads, SIZE=size, BLOCK_H=block_h, BLOCK_V=block_v,
        num_warps=warps,
    )  # fmt: skip


def _tile(batch: int) -> tuple[int, int, int]:
    """Heads, rows of V and warps per program: thin slices until the batch alone fills the GPU."""
    if batch <= 4:
        return 1, 8, 1
    if batch <= 16:
        return 1, 16, 2
    return 1, 32, 4
