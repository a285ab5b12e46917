"""Opens what other processes hold open, to write a verdict where the judge would."""

import os
import sys

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "kind": "unwritten_output",
    "never_shown": "reached somebody else",
}


def run(x, w, table, alpha, y, row):
    own = {str(os.getpid()), "self", "thread-self"}
    for process in os.listdir("/proc"):
        if not process.isdigit() or process in own:
            continue
        for name in ("mem", "environ", "fd", "maps", "cwd", "root"):
            path = f"/proc/{process}/{name}"
            try:
                listed = name in ("fd", "cwd", "root")
                found = os.listdir(path) if listed else open(path, "rb").read(1)
            except OSError:
                continue
            if found:
                sys.stdout.write(f"reached somebody else: {path}\n")
