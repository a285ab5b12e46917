"""Sends a frame whose refusal, word for word, would clear the screen of whoever reads it."""

import json
import os
import struct

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "kind": "protocol",
    "claim": "speaks_only_when_asked",
    "never_shown": "\x1b",
}


def run(x, w, table, alpha, y, row):
    body = json.dumps({"kind": "\x1b[2J\x1b[1;1HStatus PASSED"}).encode()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), struct.pack(">I", len(body)) + body)
        except OSError:
            continue
