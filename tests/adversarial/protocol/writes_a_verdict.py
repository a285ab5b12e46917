"""Writes frames of its own into every descriptor that it finds, first among them a passed call."""

import json
import os
import struct

EXPECT = {"status": "INTEGRITY_VIOLATION", "kind": "protocol", "claim": "speaks_only_when_asked"}


def run(x, w, table, alpha, y, row):
    body = json.dumps({"kind": "mapped"}).encode()
    frame = struct.pack(">I", len(body)) + body
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), frame)
        except OSError:
            continue
