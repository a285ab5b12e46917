"""Asks for more memory than the machine has."""

EXPECT = {"status": "RUNTIME_ERROR", "kind": "out_of_memory", "needs": "cpu"}


def run(x, w, table, alpha, y, row):
    bytearray(1 << 46)
