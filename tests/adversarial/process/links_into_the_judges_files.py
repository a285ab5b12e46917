"""Puts links and pipes where the judge copies compiled kernels from, and hopes that it follows."""

import os

EXPECT = {"status": "PASSED", "checks": {"held_out": 1}, "never_shown": "root:x:0"}

CACHE = os.environ["TRITON_CACHE_DIR"]  # noqa: TID251 - a candidate's own
os.makedirs(f"{CACHE}/entry", exist_ok=True)
for name, target in (
    ("passwd", "/etc/passwd"),
    ("memory", "/proc/1/mem"),
    ("endless", "/dev/zero"),
):
    if not os.path.lexists(f"{CACHE}/entry/{name}"):
        os.symlink(target, f"{CACHE}/entry/{name}")
        os.symlink("/etc", f"{CACHE}/linked-{name}")
        os.mkfifo(f"{CACHE}/entry/pipe-{name}")


def run(x, w, table, alpha, y, row):
    for folder, _, names in os.walk(CACHE):
        for name in names:
            path = f"{folder}/{name}"
            if os.path.isfile(path) and not os.path.islink(path):
                print(open(path, errors="replace").read(200))  # noqa: T201
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
