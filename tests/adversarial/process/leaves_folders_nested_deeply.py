"""Answers with zeros, leaves folders nested deeper than a recursive removal goes, and exits.

Its failure must stay its own: a removal that fails in the judge would make it the harness's.
"""

import os

EXPECT = {"long": True, "status": "RUNTIME_ERROR", "kind": "crash"}


def run(x, w, table, alpha, y, row):
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    os._exit(3)
