"""A Python that has imported much: what runs in it starts in hundredths of a second, as by itself.

Of the seconds that a small program of torch takes, nearly all are that import. Here one process has
it, and is forked for every program: each finds the modules as their import left them, whatever
those before it did. Tests of how a program is started take `sys.executable`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IMPORTED = (
    "torch",
    "torch._dynamo",
    "torch.export._trace",
    "torch.profiler",
    "pydantic",
    "kernel_harness.tools.collecting.tracing",
    "kernel_harness.tools.model_level.steps",
)
CLIENT = """#!{python} -SI
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as stream:
    stream.connect({address!r})
    asked = [sys.argv[1:], os.getcwd(), dict(os.environ)]
    socket.send_fds(stream, [b"!"], [0, 1, 2])
    stream.sendall(json.dumps(asked).encode() + b"\\n")
    status = int(stream.recv(16))
if status >= 0:
    sys.exit(status)
if -status == signal.SIGINT:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
os.kill(os.getpid(), -status)
"""
"""Stands for the interpreter: hands on its words, folder, environment and standard streams."""


class WarmPython:
    """A process that forks itself, and a file that is started as an interpreter of Python's is.

    Args:
        folder: for that file.
        imported: names of the modules that it imports.
    """

    def __init__(self, folder: Path, imported: Sequence[str] = IMPORTED) -> None:
        self.path = folder / "python"
        address = str(folder / "socket")
        self.path.write_text(CLIENT.format(python=sys.executable, address=address), "utf-8")
        self.path.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(16)
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(listener.fileno()), *imported],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def serve(listener: socket.socket) -> None:
    """Has a fork of this process look after each that connects, until standard input ends."""
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        stream, _ = listener.accept()
        if not os.fork():
            listener.close()
            os._exit(_looked_after(stream))
        stream.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _looked_after(stream: socket.socket) -> int:
    """Runs what is asked for in a fork, which ends when the one that asked for it does."""
    _, streams, _, _ = socket.recv_fds(stream, 1, 3)
    words, folder, environment = json.loads(stream.makefile("rb").readline())
    pid = os.fork()
    if not pid:
        stream.close()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(folder)
        os.environ.clear()  # noqa: TID251
        os.environ.update(environment)  # noqa: TID251
        os._exit(_run(words, environment.get("PYTHONPATH", "")))
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([stream, ended], [], [])
    if ended not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        stream.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    return 0


def _run(words: list[str], places: str) -> int:
    """Runs `[-P] -m MODULE …` or `[-P] FILE …`; its exit status."""
    alone = words[0] == "-P"
    words = words[alone:]
    by_module = words[0] == "-m"
    sys.argv = words[by_module:]
    sys.path[:0] = [place for place in places.split(os.pathsep) if place]
    if not alone:
        sys.path.insert(0, os.getcwd() if by_module else str(Path(words[0]).resolve().parent))
    status: Any = 0
    try:
        if by_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        status = 1
    if status is not None and not isinstance(status, int):
        sys.stderr.write(f"{status}\n")
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status or 0


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    serve(socket.socket(fileno=int(sys.argv[1])))
