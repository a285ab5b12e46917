"""Replaces itself by a program that ends successfully."""

import os

EXPECT = {"status": "RUNTIME_ERROR", "kind": "crash"}


def run(x, w, table, alpha, y, row):
    os.execv("/bin/true", ["/bin/true"])
