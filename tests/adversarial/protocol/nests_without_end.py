"""Writes a frame nested deeper than a parser can follow."""

import os
import struct

EXPECT = {"status": "INTEGRITY_VIOLATION", "kind": "protocol", "claim": "speaks_only_when_asked"}


def run(x, w, table, alpha, y, row):
    body = b"[" * 200_000
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), struct.pack(">I", len(body)) + body)
        except OSError:
            continue
