"""Computes on the host before its first kernel, where a clock of device activities sees nothing."""

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "claim": "no_hidden_host_work",
    "checks": {"timed": True, "pairs_per_block": 8, "max_pairs": 8},
}


def run(x, w, table, alpha, y, row):
    total = 0
    for number in range(200_000):
        total += number * number
    y.copy_(x[table.long()] * w * alpha + float(total > 0))
    row.copy_(y.sum(dim=-1))
