"""A `kernel-harness` whose imports are paid once: each command is a fork of a process with them.

A page's commands are dozens, and importing the server is most of what each costs. A small program
of that name, first on the reader's PATH, hands its arguments, environment, folder and open files to
a process that stands ready; a fork of it runs the command line as it is, and ends with its status.

    python standing.py SOCKET          stands ready until its standard input is closed
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

ASKS = """#!{python} -IS
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    said = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    asked.sendmsg([len(said).to_bytes(4, "big")], files)
    asked.sendall(said)
    status = asked.recv(1)
sys.exit(status[0] if status else 70)
"""
FILES = 3


def write_program(folder: Path, address: Path) -> None:
    """Writes the program that asks the process at an address."""
    program = folder / "kernel-harness"
    program.write_text(ASKS.format(python=sys.executable, address=str(address)), encoding="utf-8")
    program.chmod(0o755)


def _stand(address: str) -> None:
    from kernel_harness.server import app
    from kernel_harness.server.cli import main as cli
    from kernel_harness.tools import harness

    assert app and cli and harness
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    while True:
        asked, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(asked)
        asked.close()


def _end_with_the_tests() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _answer(asked: socket.socket) -> None:
    from kernel_harness.server.cli import main as cli

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, extra, _, _ = asked.recvmsg(4, socket.CMSG_SPACE(FILES * array.array("i").itemsize))
    files = array.array("i")
    files.frombytes(extra[0][2][: FILES * files.itemsize])
    said = b""
    while len(said) < int.from_bytes(head, "big"):
        said += asked.recv(1 << 16)
    words, environment, folder = json.loads(said)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()  # noqa: TID251 - the command's own, from here on
    os.environ.update(environment)  # noqa: TID251
    try:
        status = cli.run(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    asked.sendall(bytes([status]))
    os._exit(status)


if __name__ == "__main__":
    _stand(sys.argv[1])
