"""Looks into the cache of finished builds, and has one of its own kept there."""

import contextlib
import json
import os
import stat
import sys
from typing import Any

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "kind": "unwritten_output",
    # On a GPU the descriptors that it finds are the driver's, which fails over what is written.
    "or": "RUNTIME_ERROR",
    "never_shown": "was taken",
}

KEY = "native-0123456789abcdef"


def run(x, w, table, alpha, y, row):
    os.makedirs(f"build/{KEY}", exist_ok=True)
    line = json.dumps({"do": "publish", "key": KEY}).encode() + b"\n"
    sockets = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            mode = os.fstat(int(name)).st_mode
            sockets += stat.S_ISSOCK(mode)
            if stat.S_ISFIFO(mode) and int(name) > 2:
                os.write(int(name), line)
                sys.stdout.write("" if x.is_cuda else "a line was taken\n")
    if sockets > 1 and not x.is_cuda:
        sys.stdout.write("a socket was taken\n")
    frame: Any = sys._getframe(1)
    while frame is not None:
        asks = getattr(frame.f_locals.get("self"), "_folders", None)
        if asks is not None:
            asks.publish(KEY)
            if asks.fetch(KEY) is not None:
                sys.stdout.write("an entry was taken\n")
        spawn = frame.f_locals.get("spawn")
        if spawn is not None and spawn.cache_dir:
            # What it makes itself lies in a /tmp of its own, where the cache is not.
            with contextlib.suppress(OSError):
                os.makedirs(f"{spawn.cache_dir}/{KEY}", exist_ok=True)
                others = [name for name in os.listdir(spawn.cache_dir) if name != KEY]
                sys.stdout.write(f"{others} was taken\n" if others else "")
        frame = frame.f_back
