"""Parts its rows between two streams, joins them by events, and lets nothing allocate meanwhile."""

import torch

EXPECT = {"status": "PASSED", "checks": {"trials": 2, "determinism_runs": 2}}

SIDE = torch.cuda.Stream()
READY, DONE = torch.cuda.Event(), torch.cuda.Event(enable_timing=False)


def run(x, w, table, alpha, y, row):
    caller = torch.cuda.current_stream()
    middle = x.shape[0] // 2
    READY.record(caller)
    with torch.cuda.stream(SIDE):
        SIDE.wait_event(READY)
        y[:middle] = x[table[:middle].long()] * w * alpha + 1.0
        DONE.record(SIDE)
    y[middle:] = x[table[middle:].long()] * w * alpha + 1.0
    caller.wait_event(DONE)
    torch.sum(y, dim=-1, out=row)
