"""Keeps the beginning and the end of a candidate's output."""

from __future__ import annotations

import os
import threading

LOG_HEAD = 4_000
LOG_TAIL = 4_000


class LogPipe:
    """Reads a candidate's output in a thread and keeps its beginning and end."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_inheritable(self.write, False)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0
        self._thread = threading.Thread(target=self._drain, daemon=True, name="candidate-log")
        self._thread.start()

    def started(self) -> None:
        """Closes this process's copy of the write end, once the candidate has its own."""
        os.close(self.write)

    def text(self) -> str:
        """The output, without its middle when it is long."""
        left_out = self._total - len(self._head) - len(self._tail)
        gap = f"\n… {left_out} bytes cut …\n" if left_out > 0 else ""
        return self._head.decode("utf-8", "replace") + gap + self._tail.decode("utf-8", "replace")

    def join(self) -> None:
        """Waits until every writer has closed the pipe."""
        self._thread.join(timeout=1.0)

    def _drain(self) -> None:
        while part := os.read(self._read, 1 << 16):
            self._total += len(part)
            left = max(LOG_HEAD - len(self._head), 0)
            self._head += part[:left]
            self._tail += part[left:]
            del self._tail[:-LOG_TAIL]
        os.close(self._read)
