"""The gated delta rule over prompts in chunks of 64 tokens, with PyTorch's batched products.

Chunks of one length are prepared together; the state then walks through them, all sequences
abreast. float32 throughout, so that it is exact rather than fast; runs on any device.
"""

import math

import torch
import torch.nn.functional as F

CHUNK = 64


@torch.no_grad()
def run(q, k, v, state, A_log, a, dt_bias, b, cu_seqlens, scale):
    """Returns the output in bfloat16 and the new state in float32."""
    heads, size = v.shape[1], v.shape[2]
    group = heads // q.shape[1]
    if scale is None or scale == 0.0:
        scale = 1.0 / math.sqrt(size)
    bounds = cu_seqlens.tolist()
    sequences = len(bounds) - 1
    longest = max((bounds[i + 1] - bounds[i] for i in range(sequences)), default=0)
    output = torch.zeros_like(v)
    memory = torch.zeros(sequences, heads, size, size, device=v.device)
    alive = [i for i in range(sequences) if bounds[i + 1] > bounds[i]]
    if state is not None:
        memory[alive] = state[alive]

    log_decay = -A_log.exp() * F.softplus(a.float() + dt_bias)
    beta = torch.sigmoid(b.float())
    for offset in range(0, longest, CHUNK):
        rows = [i for i in alive if bounds[i] + offset < bounds[i + 1]]
        start = torch.tensor([bounds[i] + offset for i in rows], device=v.device)
        end = torch.tensor([bounds[i + 1] for i in rows], device=v.device)
        # No sequence of this round has more tokens left than this, so short ones stay cheap.
        width = min(CHUNK, longest - offset)
        place = start[:, None] + torch.arange(width, device=v.device)
        valid = place < end[:, None]
        token = torch.where(valid, place, 0)

        def cut(x, token=token, valid=valid):
            shape = valid.shape + (1,) * (x.dim() - 1)
            return (x[token].float() * valid.reshape(shape)).transpose(1, 2)

        key = cut(k).repeat_interleave(group, dim=1)
        query = cut(q).repeat_interleave(group, dim=1)
        answer, memory[rows] = _chunk(query, key, cut(v), cut(log_decay), cut(beta), memory[rows])
        output[token[valid]] = (scale * answer.transpose(1, 2)[valid]).to(output.dtype)
    return output, memory


def _chunk(query, key, value, log_decay, beta, memory):
    """One chunk of every sequence: [N, H, C, D] vectors, [N, H, C] gates, [N, H, V, K] states."""
    running = log_decay.cumsum(-1)
    decay = (running[..., :, None] - running[..., None, :]).clamp(max=0.0).exp().tril()
    reach = running.exp()[..., None]
    mixing = (beta[..., None] * decay * torch.matmul(key, key.mT)).tril(-1)
    known = beta[..., None] * (value - reach * torch.matmul(key, memory.mT))
    # The diagonal is taken as one, so the matrix solved with is the identity plus mixing.
    update = torch.linalg.solve_triangular(mixing, known, upper=False, unitriangular=True)
    answer = reach * torch.matmul(query, memory.mT)
    answer += torch.matmul(decay * torch.matmul(query, key.mT), update)
    remain = (running[..., -1:] - running).exp()[..., None]
    memory = memory * reach[..., -1:, :] + torch.matmul((remain * update).mT, key)
    return answer, memory
