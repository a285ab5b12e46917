"""A causal convolution as a first Triton program writes it: one token and a block of channels."""

import triton
import triton.language as tl


@triton.jit
def _conv(
    x_ptr, weight_ptr, bias_ptr, y_ptr,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < CHANNELS
    total = tl.load(bias_ptr + channel, mask=inside, other=0.0).to(tl.float32)
    for tap in range(WIDTH):
        before = token - (WIDTH - 1) + tap
        x = tl.load(x_ptr + before * CHANNELS + channel, mask=inside & (before >= 0), other=0.0)
        w = tl.load(weight_ptr + channel * WIDTH + tap, mask=inside, other=0.0)
        total += x.to(tl.float32) * w.to(tl.float32)
    y = total * tl.sigmoid(total)
    tl.store(y_ptr + token * CHANNELS + channel, y.to(tl.bfloat16), mask=inside)


def run(x, weight, bias, y):
    """Writes y; every tensor is contiguous."""
    tokens, channels = x.shape
    block = 128
    grid = (tokens, triton.cdiv(channels, block))
    _conv[grid](x, weight, bias, y, CHANNELS=channels, WIDTH=weight.shape[1], BLOCK=block)
