"""Dereferences a null pointer."""

import ctypes

EXPECT = {"status": "RUNTIME_ERROR", "kind": "crash", "words": "SIGSEGV"}


def run(x, w, table, alpha, y, row):
    ctypes.string_at(0)
