"""What the gated delta rule over prompts must give, in double precision, and what a kernel gives.

The recurrence is rewritten in chunks of 64 tokens, so that a prompt of 8192 tokens costs 128 serial
steps and not 8192. Within a chunk that starts from state S, with L the running sum of log decays:

    (I + M) U = beta * (V - exp(L) * K S^T)      M[t, s] = beta_t exp(L_t - L_s) k_t . k_s,  s < t
    out       = scale * (exp(L) * Q S^T + (exp(L_t - L_s) q_t . k_s)_{s <= t} U)
    S'        = exp(L_end) S + (exp(L_end - L_s) u_s)^T K

which is exact, for I + M is unit lower triangular (Yang et al., Gated Delta Networks, 2024; the
formulas here are derived anew). Every exponent is at most 0, so nothing overflows.

On a GPU a serial step costs what its launches cost. So only states go from chunk to chunk, all
sequences abreast; all else is done for all chunks at once, before or after. Where nothing is
rounded on the way, S' = S A + B, with A and B known before, and a step is one launch.

It knows nothing of tolerances.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F

CHUNK = 64
DECAY_SLACK = 2.0**-20
"""Relative error granted to every token's decay, for hardware exp2 and log2."""

Rounding = Callable[[torch.Tensor], torch.Tensor]
Outputs = dict[str, torch.Tensor]


def oracle(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale) -> Outputs:
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
    return _exact(_in_chunks(q, k, v, a, b, cu_seqlens), state, A_log, dt_bias, scale)


def trusted(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale) -> Outputs:
    """Computes both outputs as an honest tensor-core kernel would.

    Every operand of a matrix product is rounded to bfloat16, products accumulate in float32, gates
    and the state between chunks are float32, the output is bfloat16.

    Args: as for `oracle`.

    Returns:
        `output` in bfloat16 and `new_state` in float32.
    """
    return _rounded(_in_chunks(q, k, v, a, b, cu_seqlens), state, A_log, dt_bias, scale)


def oracle_and_trusted(
    q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale
) -> tuple[Outputs, Outputs]:
    """Computes what both do, from tokens put into chunks once; arguments as for `oracle`."""
    tokens = _in_chunks(q, k, v, a, b, cu_seqlens)
    others = (state, A_log, dt_bias, scale)
    return _exact(tokens, *others), _rounded(tokens, *others)


class _Layout(NamedTuple):
    """Where chunks lie: all first ones, then all second ones, the longest sequence first.

    So a step's chunks are a slice, and the states that go on from it are the first of their slice.
    """

    token: torch.Tensor
    """[chunks, 64] the token of each place; the number of tokens where there is none."""
    active: list[int]
    """By step, how many sequences have a chunk."""
    order: torch.Tensor
    """Numbers of the sequences that have tokens, the longest first."""
    sequences: int


def _layout(cu_seqlens: torch.Tensor, tokens: int) -> _Layout:
    bounds, device = cu_seqlens.tolist(), cu_seqlens.device
    chunks = [-(-max(end - start, 0) // CHUNK) for start, end in pairwise(bounds)]
    order = sorted((i for i, n in enumerate(chunks) if n), key=lambda i: -chunks[i])
    active = [sum(n > step for n in chunks) for step in range(max(chunks, default=0))]
    begin = [bounds[i] + CHUNK * step for step, n in enumerate(active) for i in order[:n]]
    end = [bounds[i + 1] for n in active for i in order[:n]]
    first, stop = torch.tensor([begin, end], dtype=torch.int64, device=device)[..., None]
    token = first + torch.arange(CHUNK, device=device)
    numbers = torch.tensor(order, dtype=torch.int64, device=device)
    return _Layout(torch.where(token < stop, token, tokens), active, numbers, len(chunks))


class _Tokens(NamedTuple):
    """What tokens bring, as given; zeros where there is none."""

    layout: _Layout
    shape: torch.Size
    """[tokens, heads, V]"""
    query: torch.Tensor
    """[chunks, query heads, 64, K], as `key`."""
    key: torch.Tensor
    value: torch.Tensor
    """[chunks, heads, 64, V]"""
    a: torch.Tensor
    """[chunks, heads, 64], as `b`."""
    b: torch.Tensor


def _in_chunks(q, k, v, a, b, cu_seqlens) -> _Tokens:
    tokens, heads, size = v.shape
    layout = _layout(cu_seqlens, tokens)
    joined = torch.cat([q.flatten(1), k.flatten(1), v.flatten(1), a, b], dim=1)
    picked = F.pad(joined, (0, 0, 0, 1))[layout.token]
    widths = [q.shape[1] * size, k.shape[1] * size, heads * size, heads, heads]
    *vectors, a, b = picked.split(widths, dim=-1)
    query, key, value = (x.unflatten(-1, (-1, size)).transpose(1, 2) for x in vectors)
    return _Tokens(layout, v.shape, query, key, value, a.mT.contiguous(), b.mT.contiguous())


class _Prepared(NamedTuple):
    """What does not depend on the state, [chunks * heads, 64, ...]."""

    query: torch.Tensor
    key: torch.Tensor
    update: torch.Tensor
    forget: torch.Tensor
    attention: torch.Tensor
    reach: torch.Tensor
    """[chunks * heads, 64, 1], as `remain`: decay since the chunk's start, and until its end."""
    remain: torch.Tensor

    @property
    def kept(self) -> torch.Tensor:
        """[chunks * heads, 1, 1] the decay over a whole chunk."""
        return self.reach[:, -1:]


def _prepared(
    tokens: _Tokens, A_log, dt_bias, *, dtype: torch.dtype, operand: Rounding, slack: float
) -> _Prepared:
    """Computes in `dtype` all that can be known of every chunk before its state is.

    Args:
        operand: applied to both operands of every matrix product.
        slack: relative error put into every decay.
    """

    def of_heads(x: torch.Tensor) -> torch.Tensor:
        """[chunks * heads, 64, ...] in `dtype`, once for each head that shares it."""
        wide = x.to(dtype, memory_format=torch.contiguous_format)
        return wide.repeat_interleave(tokens.shape[1] // x.shape[1], dim=1).flatten(0, 1)

    query, key = of_heads(tokens.query), of_heads(tokens.key)
    value = tokens.value.to(dtype, memory_format=torch.contiguous_format).flatten(0, 1)
    rate = -A_log.to(dtype).exp()[:, None]
    log_decay = rate * F.softplus(tokens.a.to(dtype) + dt_bias.to(dtype)[:, None]) - slack
    absent = (tokens.layout.token == tokens.shape[0])[:, None]
    running = log_decay.masked_fill(absent, 0.0).cumsum(-1).flatten(0, 1)[..., None]
    beta = torch.sigmoid(tokens.b.to(dtype)).flatten(0, 1)[..., None]
    reach = running.exp()

    decay = (running - running.mT).clamp(max=0.0).exp().tril()
    # The solver takes ones for the diagonal, whatever stands there.
    mixing = beta * decay * (key @ key.mT)
    identity = torch.eye(CHUNK, dtype=dtype, device=key.device).expand_as(mixing)
    inverse = torch.linalg.solve_triangular(mixing, identity, upper=False, unitriangular=True)
    inverse = operand(inverse)
    return _Prepared(
        query=query,
        key=key,
        update=inverse @ operand(beta * value),
        forget=operand(inverse @ operand(beta * reach * key)),
        attention=operand(decay * (query @ key.mT)),
        reach=reach,
        remain=(running[:, -1:] - running).exp(),
    )


def _exact(tokens: _Tokens, state, A_log, dt_bias, scale) -> Outputs:
    chunk = _prepared(tokens, A_log, dt_bias, dtype=torch.float64, operand=lambda x: x, slack=0.0)
    first = _first_states(state, tokens, torch.float64)
    remaining = chunk.remain * chunk.key
    identity = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device)
    carried = torch.baddbmm(chunk.kept * identity, chunk.forget.mT, remaining, alpha=-1.0)
    added = chunk.update.mT @ remaining

    def advance(old: torch.Tensor, rows: slice) -> torch.Tensor:
        return torch.baddbmm(added[rows], old, carried[rows])

    before, final = _walk(first, tokens, advance)
    corrections = torch.baddbmm(chunk.update, chunk.forget, before.mT, alpha=-1.0)
    output = _output(tokens, chunk, before, corrections, scale)
    return {"output": output, "new_state": final}


def _rounded(tokens: _Tokens, state, A_log, dt_bias, scale) -> Outputs:
    chunk = _prepared(
        tokens, A_log, dt_bias, dtype=torch.float32, operand=_round_to_bfloat16, slack=DECAY_SLACK
    )
    first = _first_states(state, tokens, torch.float32)
    made = [chunk.update[:0]]

    def advance(old: torch.Tensor, rows: slice) -> torch.Tensor:
        seen = _round_to_bfloat16(old).mT
        made.append(torch.baddbmm(chunk.update[rows], chunk.forget[rows], seen, alpha=-1.0))
        remaining = _round_to_bfloat16(chunk.remain[rows] * made[-1])
        return torch.baddbmm(old * chunk.kept[rows], remaining.mT, chunk.key[rows])

    before, final = _walk(first, tokens, advance)
    corrections = _round_to_bfloat16(torch.cat(made))
    output = _output(tokens, chunk, _round_to_bfloat16(before), corrections, scale)
    return {"output": output.to(torch.bfloat16), "new_state": final}


def _round_to_bfloat16(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16).to(x.dtype)


def _first_states(state, tokens: _Tokens, dtype: torch.dtype) -> torch.Tensor:
    """[sequences with tokens * heads, V, K], the longest sequence first."""
    (_, heads, size), order = tokens.shape, tokens.layout.order
    if state is None:
        return torch.zeros(len(order) * heads, size, size, dtype=dtype, device=order.device)
    return state[order].to(dtype).flatten(0, 1)


def _walk(
    first: torch.Tensor,
    tokens: _Tokens,
    advance: Callable[[torch.Tensor, slice], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Carries states through every chunk.

    Args:
        advance: the states after the chunks of a slice, from those before.

    Returns:
        States before every chunk [chunks * heads, V, K], and the last of each sequence, zeros where
        it has no token.
    """
    heads, layout = tokens.shape[1], tokens.layout
    states, before, ended = first, [first[:0]], []
    for start, end in pairwise(accumulate((n * heads for n in layout.active), initial=0)):
        ended.append(states[end - start :])
        before.append(states[: end - start])
        states = advance(before[-1], slice(start, end))
    final = first.new_zeros(layout.sequences, heads, *first.shape[1:])
    final[layout.order] = torch.cat([states, *reversed(ended)]).unflatten(0, (-1, heads))
    return torch.cat(before), final


def _output(
    tokens: _Tokens,
    chunk: _Prepared,
    before: torch.Tensor,
    corrections: torch.Tensor,
    scale: float | None,
) -> torch.Tensor:
    """What the queries read, [tokens, heads, V]."""
    count, heads, size = tokens.shape
    factor = 1.0 / math.sqrt(size) if scale is None or scale == 0.0 else scale
    read = chunk.reach * (chunk.query @ before.mT)
    answers = factor * torch.baddbmm(read, chunk.attention, corrections)
    # One row more, for places where there is no token.
    output = answers.new_zeros(count + 1, heads, size)
    output[tokens.layout.token] = answers.unflatten(0, (-1, heads)).transpose(1, 2)
    return output[:count]
