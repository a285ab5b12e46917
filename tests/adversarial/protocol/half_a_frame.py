"""Begins a frame and never ends it."""

import os
import struct
import time

EXPECT = {"status": "TIMEOUT", "kind": "timeout", "plan": {"call_timeout_s": 0.8}}


def run(x, w, table, alpha, y, row):
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), struct.pack(">I", 1000) + b'{"kind": ')
        except OSError:
            continue
    time.sleep(60)
