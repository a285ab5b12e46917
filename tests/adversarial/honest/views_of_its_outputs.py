"""Changes shape and strides of the output tensors in place, and fills the memory they were."""

EXPECT = {"status": "PASSED"}


def run(x, w, table, alpha, y, row):
    y.unsqueeze_(0)
    row.unsqueeze_(1)
    y[0] = x[table.long()] * w * alpha + 1.0
    row[:, 0] = y[0].sum(dim=-1)
