"""Claims a time with four hundred digits, with which no statistics can reckon."""

import json
import struct
import sys
from typing import Any

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "kind": "protocol",
    "claim": "speaks_only_when_asked",
}

serve: Any = sys.modules["kernel_harness.tools.candidate.process.serve"]
send = serve.send_frame


def send_a_large_number(connection, message, *args, **kwargs):
    if message.kind != "called":
        return send(connection, message, *args, **kwargs)
    body = json.dumps({"kind": "called", "timer": "cupti", "span_ns": 10**400}).encode()
    return connection.sendall(struct.pack(">I", len(body)) + body)


serve.send_frame = send_a_large_number


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
