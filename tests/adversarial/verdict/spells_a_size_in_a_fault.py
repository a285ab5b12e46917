"""Gives its own failure on a held-out size a kind that names the size."""

import sys
from typing import Any

EXPECT = {
    "long": True,
    "status": "INTEGRITY_VIOLATION",
    "kind": "protocol",
    "checks": {"held_out": 2},
    "held_out": True,
    "never_shown": "sizeis",
}

PUBLIC = (0, 3, 17, 64)
_sizes = []
serve: Any = sys.modules["kernel_harness.tools.candidate.process.serve"]
send = serve.send_frame


def send_the_size(connection, message, *args, **kwargs):
    if message.kind == "called" and _sizes:
        fault = message.fault.model_copy(update={"kind": f"sizeis{_sizes[-1]}"})
        message = message.model_copy(update={"fault": fault})
    return send(connection, message, *args, **kwargs)


serve.send_frame = send_the_size


def run(x, w, table, alpha, y, row):
    if x.shape[0] not in PUBLIC:
        _sizes.append(x.shape[0])
        raise RuntimeError(f"sizeis{x.shape[0]}")
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
