"""Someone who does what a page says, word for word, in a home of their own.

Writes the files it shows, types its commands, and compares what it promises. Ids and `…` in the
expected lines stand for whatever comes; an id that a page shows is the one that was given here
wherever it is used again.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from .fences import Block

SET_UP = {"make install", ". .venv/bin/activate"}
ID = re.compile(r"ev-\d{8}-\d{6}-[0-9a-f]{8}|\b[0-9a-f]{12}\b|\b[0-9a-f]{7}\b")
SERVE = re.compile(r"kernel-harness serve --http [^|&]*\n")
PORT = "8791"
FAILED = 1
UNAUTHORISED = 401
PATIENCE_S = 30.0


class Reader:
    """A reader with a home, a shell and an idea of what was promised.

    Args:
        home: stands for `~`, and is the current folder; data lie in it unless a page says where.
        programs: folders of programs that come before all others.
        budget_s: seconds for one evaluation: enough on a busy machine, too little for all of it.
    """

    def __init__(self, home: Path, *programs: Path, budget_s: int = 15) -> None:
        self.home = home
        self.exports: list[str] = []
        self.ids: dict[str, str] = {}
        self.output = ""
        places = [*map(str, programs), str(Path(sys.executable).parent)]
        self.environment = {
            "HOME": str(home),
            "KERNEL_HARNESS_DATA_DIR": str(home / "data"),
            "PATH": ":".join([*places, os.environ["PATH"]]),  # noqa: TID251 - the reader's own
            "OMP_NUM_THREADS": "1",
            "KERNEL_HARNESS_CPU_BUDGET_S": str(budget_s),
            "KERNEL_HARNESS_DEVICE": "cpu",
            "KERNEL_HARNESS_STATIC_TARGETS": "sm_90",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def follow(self, blocks: Iterable[Block]) -> None:
        """Does what the blocks ask for, but for those that need what a test has not."""
        for block in blocks:
            if block.needs is not None:
                continue
            if block.title is not None:
                self._edit(Path(block.title.replace("~", str(self.home), 1)), block)
            elif block.language == "bash" and SERVE.fullmatch(block.body):
                self._serve(block.body)
            elif block.language == "bash":
                self._type(block.body)
            elif block.language == "text":
                self._compare(block.body)

    def _edit(self, path: Path, block: Block) -> None:
        assert path.parent.is_dir(), f"there is no folder for {block.title}"
        if block.language != "diff":
            path.write_text(block.body, encoding="utf-8")
            return
        lines = block.body.splitlines()
        old, new = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
        text = path.read_text(encoding="utf-8")
        assert text.count("\n".join(old)) == 1, f"not once in {block.title}: {old}"
        path.write_text(text.replace("\n".join(old), "\n".join(new)), encoding="utf-8")

    def _type(self, body: str) -> None:
        lines = [line for line in body.splitlines() if line not in SET_UP]
        typed = ID.sub(lambda found: self.ids[found[0]], "\n".join(lines))
        done = subprocess.run(
            ["bash", "-c", "\n".join([*self.exports, typed])],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=280,
            check=False,
        )
        self.output = done.stdout
        self.exports += [line for line in lines if line.startswith("export ")]
        assert done.returncode in (0, FAILED), f"{typed}\n{self.output}"
        # The doctor fails where the machine lacks something grave, which is no fault of the page.
        if "doctor" not in typed:
            failed = self.output.startswith("INCORRECT")
            assert (done.returncode == FAILED) == failed, self.output

    def _serve(self, command: str) -> None:
        """Starts a server over HTTP, on a port that is free, and asks it something."""
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = str(found.getsockname()[1])
        words = shlex.split(command.replace("~", str(self.home)).replace(PORT, port))
        # The program itself, so that a signal reaches the server.
        words[0] = str(Path(sys.executable).with_name(words[0]))
        server = subprocess.Popen(words, cwd=self.home, env=self.environment)
        try:
            status = _status(f"http://127.0.0.1:{port}/mcp", server)
        finally:
            server.terminate()
            server.wait(timeout=20)
        assert (status == UNAUTHORISED) == ("--token-file" in words), status

    def _compare(self, body: str) -> None:
        at = 0
        for line in body.splitlines():
            pattern = re.compile(_loosened(line), re.MULTILINE)
            found = pattern.search(self.output, at)
            assert found, f"expected {line!r}\nin\n{self.output}"
            at = found.end()
            actual = [value for value in found.groups() if value]
            self.ids.update(zip(ID.findall(line), actual, strict=True))


def _status(address: str, server: subprocess.Popen[bytes]) -> int:
    """What a server that is just starting answers to a request without a token."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            return urllib.request.urlopen(address, timeout=PATIENCE_S).status
        except urllib.error.HTTPError as answer:
            return answer.code
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"no answer from {address}")


def _loosened(line: str) -> str:
    """A pattern for an expected line: ids are captured, `…` is anything, spaces are any width."""
    pattern = ""
    for part in re.split(rf"({ID.pattern}|\s*…\s*|\s+)", line):
        if ID.fullmatch(part):
            pattern += "(ev-[0-9a-f-]+)" if part.startswith("ev-") else "([0-9a-f]+)"
        elif "…" in part:
            pattern += ".*"
        else:
            pattern += r"\s+" if part.isspace() else re.escape(part)
    return pattern
