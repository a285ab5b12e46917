"""Runs a small program while it is imported, as build tools are asked for their versions."""

import subprocess

EXPECT = {"status": "PASSED"}

VERSION = subprocess.run(["/bin/echo", "1"], capture_output=True, text=True, check=True).stdout


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + float(VERSION))
    row.copy_(y.sum(dim=-1))
