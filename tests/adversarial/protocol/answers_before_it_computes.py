"""Says that the call has returned, and computes while the judge is reading."""

import json
import os
import struct
import time

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


def run(x, w, table, alpha, y, row):
    body = json.dumps({"kind": "called", "span_ns": 1, "host_ns": 1, "timer": "cupti"}).encode()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), struct.pack(">I", len(body)) + body)
        except OSError:
            continue
    time.sleep(0.5)
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
