"""Says that its build took no number of seconds, which a record cannot hold."""

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


def send_no_number(connection, message, *args, **kwargs):
    if message.kind != "built":
        return send(connection, message, *args, **kwargs)
    body = b'{"kind": "built", "seconds": NaN}'
    return connection.sendall(struct.pack(">I", len(body)) + body)


serve.send_frame = send_no_number


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
