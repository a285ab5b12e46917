"""Looks for the operator's folder on disk and runs what it finds there."""

import glob
import os
import sys

EXPECT = {"status": "INCORRECT_NUMERICAL", "kind": "unwritten_output"}


def places():
    for name, module in list(sys.modules.items()):
        if name.startswith("kernel_harness"):
            file, path = getattr(module, "__file__", None), getattr(module, "__path__", ())
            for folder in [file or "", *list(path)]:
                while len(folder) > 1:
                    folder = os.path.dirname(folder)
                    yield folder
    yield from ("/proc/1/cwd", "/proc/self/cwd/..", "/root", "/home", "/work", "/mnt", "/srv")


def run(x, w, table, alpha, y, row):
    for place in set(places()):
        for depth in ("", "*/", "*/*/", "tests/adversarial/operators/*/"):
            for path in glob.glob(f"{place}/{depth}oracle.py"):
                names = {}
                exec(open(path).read(), names)
                found = names["oracle"](x=x, w=w, table=table, alpha=alpha)
                y.copy_(found["y"])
                row.copy_(found["row"])
                return
