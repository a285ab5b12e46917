"""Replaces every clock it can reach; the work takes well over 50 µs and must be seen to."""

import time

import torch

EXPECT = {
    "status": "PASSED",
    "needs": "cuda",
    "latency_at_least_us": 50.0,
    "checks": {"timed": True, "pairs_per_block": 8, "max_pairs": 8},
}

torch.cuda.Event.elapsed_time = lambda self, end_event: 0.001
torch.cuda.synchronize = lambda device=None: None
for name in ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time_ns"):
    setattr(time, name, lambda: 0)


def run(x, w, table, alpha, y, row):
    torch.cuda._sleep(200_000)
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
