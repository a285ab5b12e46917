"""Asks another machine for the answer."""

import socket

EXPECT = {"status": "RUNTIME_ERROR", "kind": "exception", "words": "PermissionError"}


def run(x, w, table, alpha, y, row):
    with socket.create_connection(("192.0.2.1", 443), timeout=1) as other:
        y.copy_(x * float(other.recv(8)))
