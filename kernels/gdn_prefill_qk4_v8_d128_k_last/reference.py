import math

import torch
import torch.nn.functional as F


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    """The gated delta rule over every token of several sequences laid end to end.

    Sequence i owns the tokens cu_seqlens[i] ... cu_seqlens[i + 1] - 1 and starts from state[i].
    Per token and value head h, with the query and key head h // (num_v_heads // num_q_heads) and
    a state S of shape [V, K]:

        decay = exp(-exp(A_log) * softplus(a + dt_bias))      beta = sigmoid(b)
        S     = decay * S
        S     = S + beta * (v - S k) k^T
        out   = scale * S q

    All arithmetic is in float32. A scale of None or 0 means 1 / sqrt(head_size); a state of None
    means zeros. Queries and keys are used as they come, without normalisation. A sequence without
    tokens has no output and leaves zeros, not its initial state, in new_state.
    """
    total_seq_len, num_q_heads, head_size = q.shape
    num_v_heads = v.shape[1]
    num_seqs = cu_seqlens.shape[0] - 1
    heads_per_group = num_v_heads // num_q_heads
    if scale is None or scale == 0.0:
        scale = 1.0 / math.sqrt(head_size)

    decay = torch.exp(-torch.exp(A_log.float()) * F.softplus(a.float() + dt_bias.float()))
    beta = torch.sigmoid(b.float())
    queries = q.float().repeat_interleave(heads_per_group, dim=1)
    keys = k.float().repeat_interleave(heads_per_group, dim=1)
    values = v.float()
    output = torch.zeros(
        total_seq_len, num_v_heads, head_size, dtype=torch.bfloat16, device=q.device
    )
    new_state = torch.zeros(
        num_seqs, num_v_heads, head_size, head_size, dtype=torch.float32, device=q.device
    )

    bounds = cu_seqlens.tolist()
    for i in range(num_seqs):
        start, end = bounds[i], bounds[i + 1]
        if end <= start:
            continue
        memory = new_state[i].clone() if state is None else state[i].float().clone()
        for t in range(start, end):
            memory = decay[t, :, None, None] * memory
            recalled = torch.einsum("hvk,hk->hv", memory, keys[t])
            correction = beta[t, :, None] * (values[t] - recalled)
            memory = memory + torch.einsum("hv,hk->hvk", correction, keys[t])
            output[t] = (scale * torch.einsum("hvk,hk->hv", memory, queries[t])).to(torch.bfloat16)
        new_state[i] = memory
    return output, new_state
