"""Uses up the slack of a criterion that lets one element of a hundred be anything."""

EXPECT = {"status": "INCORRECT_NUMERICAL"}


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    y.view(-1)[50::128] = 1e9
