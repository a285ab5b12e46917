import math

import torch
import torch.nn.functional as F


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, scale):
    """One step of the gated delta rule for every sequence of a batch.

    Per value head h, with the query and key head h // (num_v_heads // num_q_heads) and a state S
    of shape [V, K]:

        decay = exp(-exp(A_log) * softplus(a + dt_bias))      beta = sigmoid(b)
        S     = decay * S
        S     = S + beta * (v - S k) k^T
        out   = scale * S q

    All arithmetic is in float32. A scale of None or 0 means 1 / sqrt(head_size); a state of None
    means zeros. Queries and keys are used as they come, without normalisation.
    """
    batch_size, seq_len, num_q_heads, head_size = q.shape
    num_v_heads = v.shape[2]
    heads_per_group = num_v_heads // num_q_heads
    if scale is None or scale == 0.0:
        scale = 1.0 / math.sqrt(head_size)
    if state is None:
        state = torch.zeros(batch_size, num_v_heads, head_size, head_size, device=q.device)

    decay = torch.exp(-torch.exp(A_log.float()) * F.softplus(a.float() + dt_bias.float()))
    beta = torch.sigmoid(b.float())
    output = torch.zeros(
        batch_size, seq_len, num_v_heads, head_size, dtype=torch.bfloat16, device=q.device
    )
    new_state = torch.zeros_like(state, dtype=torch.float32)

    for i in range(batch_size):
        for h in range(num_v_heads):
            query = q[i, 0, h // heads_per_group].float()
            key = k[i, 0, h // heads_per_group].float()
            value = v[i, 0, h].float()
            memory = decay[i, 0, h] * state[i, h].float()
            recalled = memory @ key
            memory = memory + torch.outer(beta[i, 0, h] * (value - recalled), key)
            output[i, 0, h] = (scale * (memory @ query)).to(torch.bfloat16)
            new_state[i, h] = memory
    return output, new_state
