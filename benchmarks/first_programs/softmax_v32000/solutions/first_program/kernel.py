"""A softmax over long rows as a first Triton program writes it: a program walks one row thrice."""

import triton
import triton.language as tl


@triton.jit
def _softmax(logits_ptr, probabilities_ptr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * COLUMNS
    lane = tl.arange(0, BLOCK)
    most = tl.full([BLOCK], float("-inf"), tl.float32)
    for begin in range(0, COLUMNS, BLOCK):
        column = begin + lane
        x = tl.load(logits_ptr + row + column, mask=column < COLUMNS, other=float("-inf"))
        most = tl.maximum(most, x)
    greatest = tl.max(most, axis=0)
    total = tl.zeros([BLOCK], tl.float32)
    for begin in range(0, COLUMNS, BLOCK):
        column = begin + lane
        x = tl.load(logits_ptr + row + column, mask=column < COLUMNS, other=float("-inf"))
        total += tl.exp(x - greatest)
    scale = 1.0 / tl.sum(total, axis=0)
    for begin in range(0, COLUMNS, BLOCK):
        column = begin + lane
        inside = column < COLUMNS
        x = tl.load(logits_ptr + row + column, mask=inside, other=0.0)
        tl.store(probabilities_ptr + row + column, tl.exp(x - greatest) * scale, mask=inside)


def run(logits, probabilities):
    """Writes probabilities; both tensors are contiguous."""
    tokens, vocabulary = logits.shape
    block = 1024
    _softmax[(tokens,)](logits, probabilities, COLUMNS=vocabulary, BLOCK=block)
