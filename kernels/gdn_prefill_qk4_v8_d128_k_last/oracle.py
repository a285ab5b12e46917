"""What the gated delta rule over prompts must give, in double precision, and what a kernel gives.

The recurrence is rewritten in chunks of 64 tokens, so that a prompt of 8192 tokens costs 128 serial
steps and not 8192. Within a chunk that starts from state S, with L the running sum of log decays:

    (I + M) U = beta * (V - exp(L) * K S^T)      M[t, s] = beta_t exp(L_t - L_s) k_t . k_s,  s < t
    out       = scale * (exp(L) * Q S^T + (exp(L_t - L_s) q_t . k_s)_{s <= t} U)
    S'        = exp(L_end) S + (exp(L_end - L_s) u_s)^T K

which is exact, for I + M is unit lower triangular (Yang et al., Gated Delta Networks, 2024; the
formulas here are derived anew). Every exponent is at most 0, so nothing overflows. All chunks of
all sequences are prepared at once; only the state walks from chunk to chunk, all sequences abreast.

It knows nothing of tolerances.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

CHUNK = 64
DECAY_SLACK = 2.0**-20
"""Relative error granted to every token's decay, for hardware exp2 and log2."""

Rounding = Callable[[torch.Tensor], torch.Tensor]


def oracle(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale) -> dict[str, torch.Tensor]:
    """Computes both outputs in float64.

    Args:
        q, k: bfloat16 [T, 4, 128].
        v: bfloat16 [T, 8, 128].
        state: float32 [N, 8, V, K] or None for zeros.
        A_log, dt_bias: float32 [8].
        a, b: bfloat16 [T, 8].
        cu_seqlens: int64 [N + 1], rising from 0 to T.
        scale: factor of the output; 0 or None means 1 / sqrt(128).

    Returns:
        `output` [T, 8, 128] and `new_state` [N, 8, V, K], both float64.
    """
    inputs = (q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale)
    output, new_state = _chunked(*inputs, dtype=torch.float64, operand=lambda x: x, slack=0.0)
    return {"output": output, "new_state": new_state}


def trusted(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale) -> dict[str, torch.Tensor]:
    """Computes both outputs as an honest tensor-core kernel would.

    Every operand of a matrix product is rounded to bfloat16, products accumulate in float32, gates
    and the state between chunks are float32, the output is bfloat16.

    Args: as for `oracle`.

    Returns:
        `output` in bfloat16 and `new_state` in float32.
    """
    inputs = (q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale)
    output, new_state = _chunked(
        *inputs, dtype=torch.float32, operand=_round_to_bfloat16, slack=DECAY_SLACK
    )
    return {"output": output.to(torch.bfloat16), "new_state": new_state}


def _round_to_bfloat16(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16).to(x.dtype)


class _Layout(NamedTuple):
    """Where each sequence's chunks lie: chunk c of sequence i is `first[i] + c`."""

    token: torch.Tensor
    """[chunks, 64] the token of each place; 0 where there is none."""
    valid: torch.Tensor
    """[chunks, 64] whether there is one."""
    first: list[int]
    chunks: list[int]


def _layout(cu_seqlens: torch.Tensor, device: torch.device) -> _Layout:
    bounds = cu_seqlens.tolist()
    lengths = [max(end - start, 0) for start, end in zip(bounds, bounds[1:], strict=False)]
    count = [-(-length // CHUNK) for length in lengths]
    first = [sum(count[:i]) for i in range(len(count))]
    begin = [bounds[i] + CHUNK * c for i, n in enumerate(count) for c in range(n)]
    end = [bounds[i] + lengths[i] for i, n in enumerate(count) for _ in range(n)]
    places = torch.arange(CHUNK, device=device)
    token = torch.tensor(begin, dtype=torch.int64, device=device)[:, None] + places
    valid = token < torch.tensor(end, dtype=torch.int64, device=device)[:, None]
    return _Layout(torch.where(valid, token, 0), valid, first, count)


def _chunked(
    q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale,
    *, dtype: torch.dtype, operand: Rounding, slack: float,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Output [T, H, V] and final states [N, H, V, K] in `dtype`.

    Args:
        operand: applied to both operands of every matrix product.
        slack: relative error put into every decay.
    """
    heads, size = v.shape[1], v.shape[2]
    group = heads // q.shape[1]
    factor = 1.0 / math.sqrt(size) if scale is None or scale == 0.0 else scale
    layout = _layout(cu_seqlens, v.device)

    def chunks(x: torch.Tensor) -> torch.Tensor:
        """[T, H, ...] to [chunks, H, 64, ...], zeros where there is no token."""
        picked = x[layout.token] * layout.valid.reshape(*layout.valid.shape, *[1] * (x.dim() - 1))
        return picked.transpose(1, 2).contiguous()

    query = chunks(q.to(dtype).repeat_interleave(group, dim=1))
    key = chunks(k.to(dtype).repeat_interleave(group, dim=1))
    value = chunks(v.to(dtype))
    log_decay = -A_log.to(dtype).exp() * F.softplus(a.to(dtype) + dt_bias.to(dtype)) - slack
    beta = chunks(torch.sigmoid(b.to(dtype)))
    running = chunks(log_decay).cumsum(-1)

    decay = (running[..., :, None] - running[..., None, :]).clamp(max=0.0).exp().tril()
    mixing = (beta[..., None] * decay * (key @ key.mT)).tril(-1)
    identity = torch.eye(CHUNK, dtype=dtype, device=v.device)
    inverse = torch.linalg.solve_triangular(
        identity + mixing, identity.expand_as(mixing), upper=False, unitriangular=True
    )
    inverse = operand(inverse)
    prepared = _Prepared(
        query=query,
        key=key,
        update=inverse @ operand(beta[..., None] * value),
        forget=operand(inverse @ operand((beta * running.exp())[..., None] * key)),
        attention=operand(decay * (query @ key.mT)),
        reach=running.exp()[..., None],
        remain=(running[..., -1:] - running).exp()[..., None],
    )
    memory = torch.zeros(len(layout.chunks), heads, size, size, dtype=dtype, device=v.device)
    if state is not None:
        memory = memory + state.to(dtype)
    answers = _walk(prepared, memory, layout, operand)

    output = torch.zeros(v.shape, dtype=dtype, device=v.device)
    output[layout.token[layout.valid]] = factor * answers.transpose(1, 2)[layout.valid]
    empty = torch.tensor([n == 0 for n in layout.chunks], dtype=torch.bool, device=v.device)
    return output, memory.masked_fill(empty[:, None, None, None], 0.0)


class _Prepared(NamedTuple):
    """What does not depend on the state, [chunks, heads, 64, ...]."""

    query: torch.Tensor
    key: torch.Tensor
    update: torch.Tensor
    forget: torch.Tensor
    attention: torch.Tensor
    reach: torch.Tensor
    remain: torch.Tensor


def _walk(
    chunk: _Prepared, memory: torch.Tensor, layout: _Layout, operand: Rounding
) -> torch.Tensor:
    """Carries `memory` [N, H, V, K], in place, through every chunk; returns what queries read."""
    answers = torch.zeros_like(chunk.update)
    for step in range(max(layout.chunks, default=0)):
        active = [i for i, n in enumerate(layout.chunks) if n > step]
        at = torch.tensor([layout.first[i] + step for i in active], device=memory.device)
        rows = torch.tensor(active, device=memory.device)
        old = memory[rows]
        seen = operand(old).mT
        correction = chunk.update[at] - chunk.forget[at] @ seen
        rounded = operand(correction)
        answers[at] = chunk.reach[at] * (chunk.query[at] @ seen) + chunk.attention[at] @ rounded
        kept = old * chunk.reach[at][..., -1:, :]
        memory[rows] = kept + operand(chunk.remain[at] * correction).mT @ chunk.key[at]
    return answers
