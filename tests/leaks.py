"""Candidates that try to leave something behind, and a look at the machine for what they left."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

MARK = "kernel-harness-leak"
"""In the names of processes and files that candidates here leave."""

GONE_WITHIN_S = 20.0

_RIGHT = """

def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
    if not done:
        done.append(1)
        try:
            leak()
        except OSError:
            pass
"""

_HEADER = f"""
import ctypes, os, signal, socket, subprocess, sys, threading, time

MARK = {MARK!r}
done = []
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)", MARK]


def named():
    ctypes.CDLL(None).prctl(15, MARK[-15:].encode(), 0, 0, 0)


def child(act):
    if os.fork() == 0:
        try:
            act()
        finally:
            os._exit(0)

"""

_LEAKS = {
    "daemon": """
def leak():
    def act():
        os.setsid()
        child(lambda: os.execv(SLEEP[0], SLEEP))
    child(act)
""",
    "fork_without_exec": """
def leak():
    def act():
        os.setsid()
        named()
        child(lambda: (named(), time.sleep(600)))
    child(act)
""",
    "child_that_ignores_signals": """
def leak():
    def act():
        named()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        os.setpgid(0, 0)
        time.sleep(600)
    child(act)
""",
    "stopped_child": """
def leak():
    def act():
        named()
        os.setsid()
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(600)
    child(act)
""",
    "session_of_its_own": """
def leak():
    subprocess.Popen(SLEEP, start_new_session=True, stdout=subprocess.DEVNULL)
""",
    "chain_of_forks": """
def leak():
    def act():
        os.setsid()
        named()
        while True:
            time.sleep(0.005)
            if os.fork():
                os._exit(0)
    child(act)
""",
    "thread_without_end": """
def leak():
    def act():
        while True:
            time.sleep(0.01)
    threading.Thread(target=act, daemon=False).start()
""",
    "files": """
def leak():
    for place in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~"), os.getcwd()):
        try:
            os.makedirs(os.path.join(place, MARK, "deeper"), exist_ok=True)
            with open(os.path.join(place, MARK, "deeper", MARK), "w") as file:
                file.write("left")
        except OSError:
            pass
""",
    "shared_memory": """
def leak():
    ctypes.CDLL(None).shmget(0x6B68, 1 << 20, 0o1666)
    held = os.memfd_create(MARK, 0)
    os.truncate(held, 1 << 20)
    child(lambda: (named(), os.setsid(), time.sleep(600)))
""",
    "socket_that_listens": """
def leak():
    def act():
        named()
        os.setsid()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind("\\0" + MARK)
        listening.listen()
        time.sleep(600)
    child(act)
""",
}

LEAKS = {name: _HEADER + source + _RIGHT for name, source in _LEAKS.items()}
"""By name, sources whose outputs are right and that leave something behind in their first call."""

_HOLDS_A_GIBIBYTE = (
    "import ctypes, time; cuda = ctypes.CDLL('libcuda.so.1'); cuda.cuInit(0); "
    "context = ctypes.c_void_p(); cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0); "
    "cuda.cuCtxSetCurrent(context); held = ctypes.c_uint64(); "
    "cuda.cuMemAlloc_v2(ctypes.byref(held), ctypes.c_size_t(1 << 30)); "
)
_FILLS_IT = "[cuda.cuMemsetD32_v2(held, 0, ctypes.c_size_t(1 << 28)) for _ in iter(int, 1)]"

DEVICE_LEAKS = {
    name: LEAKS["daemon"]
    .replace("import time; time.sleep(600)", _HOLDS_A_GIBIBYTE + last)
    .replace("    child(act)\n", "    child(act)\n    time.sleep(2)\n")
    for name, last in {
        "memory_of_a_child": "time.sleep(600)",
        "work_of_a_child": _FILLS_IT,
    }.items()
}
"""The same, of work and memory on the device."""


def left_behind(judge: int, cache: Path) -> set[str]:
    """What leaking candidates left on this machine, in words.

    Args:
        judge: id of its process.
        cache: its cache folder.
    """
    return {*_processes(), *_files(judge, cache), *_sockets(), *_segments(), *_zombies(judge)}


def standing(judge: int) -> tuple[int, int]:
    """How many processes descend from a judge, and how many private folders there are for them."""
    return len(descendants(judge)), len(private_folders(judge))


def settled(judge: int, cache: Path, before: tuple[int, int]) -> set[str]:
    """What is left once the trial's processes have ended, as they do beside its report.

    Args:
        before: what was standing before the trial.
    """
    deadline = time.monotonic() + GONE_WITHIN_S
    while True:
        found, now = left_behind(judge, cache), standing(judge)
        if now[0] > before[0]:
            found.add(f"{now[0]} processes where {before[0]} were")
        if now[1] > before[1]:
            found.add(f"{now[1]} folders where {before[1]} were")
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def private_folders(judge: int) -> list[Path]:
    """The folders of candidates and runners of a judge."""
    owners = {str(pid) for pid in (judge, *descendants(judge))}
    every = Path(tempfile.gettempdir()).glob("kernel-harness-candidate-*")
    return [folder for folder in every if folder.name.split("-")[3] in owners]


def descendants(judge: int) -> list[int]:
    """Ids of the processes that descend from the judge."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if (status := _read(folder / "stat")) is not None:
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    found = {judge}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {judge})


def _processes() -> set[str]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        words = f"{_read(folder / 'cmdline')} {_read(folder / 'comm')}"
        if MARK in words or MARK[-15:] in words:
            found.add(f"process {folder.name}: {words[:80]}")
    return found


def _zombies(judge: int) -> set[str]:
    states = {pid: _read(Path(f"/proc/{pid}/stat")) or "" for pid in descendants(judge)}
    return {f"zombie {pid}" for pid, stat in states.items() if ") Z " in stat}


def _files(judge: int, cache: Path) -> set[str]:
    places = [Path("/dev/shm"), Path("/var/tmp"), Path("/tmp"), Path.home(), cache]
    found = {str(p) for place in places if place.is_dir() for p in place.glob(f"*{MARK}*")}
    for folder in [*private_folders(judge), cache]:
        for path, folders, files in os.walk(folder):
            found |= {f"{path}/{name}" for name in (*folders, *files) if MARK in name}
    return found


def _sockets() -> set[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()
    return {f"socket {line}" for line in lines if MARK in line}


def _segments() -> set[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {f"segment {line}" for line in lines if line.split()[0] == str(0x6B68)}


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return None
