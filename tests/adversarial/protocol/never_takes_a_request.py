"""Answers rightly, but only looks at requests and takes none, until the judge's stream is full."""

import json
import os
import socket
import struct
import sys
from typing import Any

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "kind": "protocol",
    "claim": "speaks_only_when_asked",
    "checks": {"trials": 400},
    "long": True,
}


def judge():
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                return socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
    raise RuntimeError("there is no judge")


def arena():
    frame: Any = sys._getframe(2)
    while True:
        found = getattr(frame.f_locals.get("self"), "_arena", None)
        if found is not None:
            return found
        frame = frame.f_back


def look(connection, skipped):
    """The request after so many bytes, once it is there."""
    while True:
        seen = connection.recv(1 << 20, socket.MSG_PEEK)[skipped:]
        if len(seen) >= 4:
            length = struct.unpack(">I", seen[:4])[0]
            if len(seen) >= 4 + length:
                return json.loads(seen[4 : 4 + length]), skipped + 4 + length


def answer(connection):
    body = b'{"kind": "called"}'
    connection.sendall(struct.pack(">I", len(body)) + body)


def tensor(place, ref):
    from kernel_harness.tools.messages.candidate import TensorRef

    return place.tensor(TensorRef(**ref))


def run(x, w, table, alpha, y, row):
    connection, place, skipped = judge(), arena(), 0
    answer(connection)
    while True:
        asked, skipped = look(connection, skipped)
        if asked["kind"] != "call":
            continue
        x, w, table = (tensor(place, ref) for ref in asked["arguments"][:3])
        alpha = asked["arguments"][3]["value"]
        result = x[table.long()] * w * alpha + 1.0
        for name in ("snapshots", "late"):
            for ref, value in zip(asked[name], (result, result.sum(dim=-1)), strict=False):
                tensor(place, ref).copy_(value)
        answer(connection)
