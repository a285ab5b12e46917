"""What one gated delta step must give, in double precision, and what a good kernel gives.

Both are the reference's recurrence over all sequences and heads at once. It knows nothing of
tolerances, and cannot promise more than its inputs hold: they come already rounded to the declared
dtypes, so that rounding is nobody's error.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

DECAY_SLACK = 2.0**-18
"""Relative error that hardware exp2 and log2 (both about 2^-22) leave in exp(-exp(A) softplus(x)),
for exp(A) up to 16. Granted to every element of the state, so that fast gates pass on any data."""
BETA_SLACK = 2.0**-20


def oracle(q, k, v, state, A_log, a, dt_bias, b, scale) -> dict[str, torch.Tensor]:
    """Computes both outputs in float64.

    Args:
        q, k: bfloat16 [B, 1, 4, 128].
        v: bfloat16 [B, 1, 8, 128].
        state: float32 [B, 8, V, K] or None for zeros.
        A_log, dt_bias: float32 [8].
        a, b: bfloat16 [B, 1, 8].
        scale: factor of the output; 0 or None means 1 / sqrt(128).

    Returns:
        `output` [B, 1, 8, 128] and `new_state` [B, 8, V, K], both float64.
    """
    decay, beta = _gates(A_log, a, dt_bias, b, torch.float64)
    output, new_state = _step(q, k, v, state, decay, beta, scale, torch.float64)
    return {"output": output, "new_state": new_state}


def trusted(q, k, v, state, A_log, a, dt_bias, b, scale) -> dict[str, torch.Tensor]:
    """Computes both outputs as an honest kernel would: float32 throughout, bfloat16 output.

    The gates carry the error of the hardware's approximate exponential and logarithm at its worst,
    so that a kernel which uses them is not blamed.

    Args: as for `oracle`.

    Returns:
        `output` in bfloat16 and `new_state` in float32.
    """
    decay, beta = _gates(A_log, a, dt_bias, b, torch.float32)
    decay, beta = decay * (1.0 - DECAY_SLACK), beta * (1.0 + BETA_SLACK)
    output, new_state = _step(q, k, v, state, decay, beta, scale, torch.float32)
    return {"output": output.to(torch.bfloat16), "new_state": new_state}


def _gates(A_log, a, dt_bias, b, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Decay and update gate of each sequence and head, [B, 8]."""
    rate = A_log.to(dtype).exp() * F.softplus(a[:, 0].to(dtype) + dt_bias.to(dtype))
    return torch.exp(-rate), torch.sigmoid(b[:, 0].to(dtype))


def _step(q, k, v, state, decay, beta, scale, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    heads, size = v.shape[2], v.shape[3]
    group = heads // q.shape[2]
    query = q[:, 0].to(dtype).repeat_interleave(group, dim=1)
    key = k[:, 0].to(dtype).repeat_interleave(group, dim=1)
    if state is None:
        state = torch.zeros(v.shape[0], heads, size, size, device=v.device)
    memory = state.to(dtype) * decay[..., None, None]
    recalled = (memory @ key[..., None]).squeeze(-1)
    correction = beta[..., None] * (v[:, 0].to(dtype) - recalled)
    memory = memory + correction[..., None] * key[..., None, :]
    factor = 1.0 / math.sqrt(size) if scale is None or scale == 0.0 else scale
    output = factor * (memory @ query[..., None]).squeeze(-1)
    return output[:, None], memory
