"""Puts one NaN into each output, for harnesses that compare nothing once a value is not finite."""

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "wrong_nonfinite"}


def run(x, w, table, alpha, y, row):
    y.zero_()
    row.zero_()
    if y.numel():
        y.view(-1)[0] = float("nan")
        row[0] = float("nan")
