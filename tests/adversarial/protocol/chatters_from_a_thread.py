"""Has a thread write passed calls all the time, so that an answer stands ready for each request."""

import json
import os
import struct
import threading
import time

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "or": "INCORRECT_NUMERICAL",
    "claim": "speaks_only_when_asked",
}

BODY = json.dumps({"kind": "called", "span_ns": 1, "host_ns": 1, "timer": "cupti"}).encode()


def chatter():
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                for _ in range(1000):
                    os.write(int(name), struct.pack(">I", len(BODY)) + BODY)
        except OSError:
            continue


threading.Thread(target=chatter, daemon=True).start()
time.sleep(0.05)


def run(x, w, table, alpha, y, row):
    time.sleep(0.1)
