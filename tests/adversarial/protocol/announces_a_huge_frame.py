"""Announces a frame of four gigabytes to make the judge allocate it."""

import os

EXPECT = {"status": "INTEGRITY_VIOLATION", "kind": "protocol", "claim": "speaks_only_when_asked"}


def run(x, w, table, alpha, y, row):
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), b"\xff\xff\xff\xff" + b"x" * 4096)
        except OSError:
            continue
