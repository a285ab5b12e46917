"""A linear layer as a first Triton program writes it: one tile of y for a program, small tiles."""

import triton
import triton.language as tl


@triton.jit
def _linear(
    x_ptr, weight_ptr, y_ptr, tokens,
    INNER: tl.constexpr, OUTER: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = row < tokens
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for begin in range(0, INNER, STEP):
        term = begin + tl.arange(0, STEP)
        left = tl.load(
            x_ptr + row[:, None] * INNER + term[None, :], mask=inside[:, None], other=0.0
        )
        right = tl.load(weight_ptr + column[:, None] * INNER + term[None, :])
        total += tl.dot(left, tl.trans(right))
    place = y_ptr + row[:, None] * OUTER + column[None, :]
    tl.store(place, total.to(tl.bfloat16), mask=inside[:, None])


def run(x, weight, y):
    """Writes y; every tensor is contiguous."""
    tokens, inner = x.shape
    outer = weight.shape[0]
    rows, columns, step = 32, 32, 32
    _linear[(triton.cdiv(tokens, rows), outer // columns)](
        x, weight, y, tokens, INNER=inner, OUTER=outer, ROWS=rows, COLUMNS=columns, STEP=step
    )
