"""Reports a fault whose kind fills a frame, so that the record fills its reader's memory."""

import json
import os
import struct

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "kind": "protocol",
    "claim": "speaks_only_when_asked",
    "never_shown": "PASSED PASSED PASSED PASSED PASSED PASSED PASSED PASSED ",
}


def run(x, w, table, alpha, y, row):
    fault = {"kind": "PASSED " * 100_000, "message": "x"}
    body = json.dumps({"kind": "called", "fault": fault}).encode()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), struct.pack(">I", len(body)) + body)
        except OSError:
            continue
