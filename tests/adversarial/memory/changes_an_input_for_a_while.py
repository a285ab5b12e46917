"""Computes in its input's memory and leaves a changed last element where it put the rest back."""

EXPECT = {"status": "INTEGRITY_VIOLATION", "claim": "inputs_unchanged"}


def run(x, w, table, alpha, y, row):
    before = x.clone()
    x.mul_(w).mul_(alpha).add_(1.0)
    y.copy_(x[table.long()])
    row.copy_(y.sum(dim=-1))
    x.copy_(before)
    if x.numel():
        x.view(-1)[-1] += 1e-3
