"""Floods the judge with descriptors, which every process has few of."""

import os
import socket
import struct

EXPECT = {"status": "INTEGRITY_VIOLATION", "kind": "protocol", "claim": "speaks_only_when_asked"}


def run(x, w, table, alpha, y, row):
    body = b'{"kind": "mapped"}'
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as judge:
                    frame = struct.pack(">I", len(body)) + body
                    socket.send_fds(judge, [frame], [2] * 200)
        except OSError:
            continue
