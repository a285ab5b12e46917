"""Writes one plausible number everywhere: the mean that the outputs would have."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    if x.numel():
        mean = x.mean() * w.mean() * alpha + 1.0
        y.fill_(mean)
        row.fill_(mean * x.shape[1])
