"""Asks whoever keeps finished builds to keep one of its own, and writes into the cache itself."""

import contextlib
import json
import os
import sys
from typing import Any

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "kind": "unwritten_output",
    # On a GPU the pipes that it finds are the driver's, which fails over what is written there.
    "or": "RUNTIME_ERROR",
    "never_shown": "was taken",
}

KEY = "native-0123456789abcdef"


def run(x, w, table, alpha, y, row):
    os.makedirs("build/poison", exist_ok=True)
    line = json.dumps({"key": KEY, "folder": "build/poison", "when": "now"}).encode() + b"\n"
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            kind = os.readlink(f"/proc/self/fd/{name}")
            if kind.startswith("pipe:") and int(name) > 2:
                os.write(int(name), line)
                sys.stdout.write("" if x.is_cuda else "a line was taken\n")
    frame: Any = sys._getframe(1)
    while frame is not None:
        room = frame.f_locals.get("self")
        if room is not None and type(room).__name__ == "_Room":
            cache = room._folders.cache
            with contextlib.suppress(OSError):
                os.makedirs(f"{cache}/{KEY}")
                sys.stdout.write("a folder was taken\n")
        frame = frame.f_back
