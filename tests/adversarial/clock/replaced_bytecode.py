"""Puts other bytecode into the function that reads a record, which nobody need look up again."""

from ._inside import module, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of every activity",
    "refused": ["no gain"],
    "parts": ["_rows.py", "_inside.py"],
}


def shorter(self, raw):
    kind = self._kinds.get(raw.kind, "kernel")
    return ActivityRecord(  # noqa: F821  # pyright: ignore[reportUndefinedVariable] - its new module has it
        start=raw.start,
        end=raw.start + (raw.end - raw.start) // 2,
        correlation=raw.correlation_id,
        stream=getattr(raw, "stream_id", 0),
        kind=kind,
        nbytes=0 if kind == "kernel" else int(getattr(raw, "bytes", 0)),
        raw=raw,
    )


@once
def mount():
    module("candidate.calls.cupti_records").Recorder._read.__code__ = shorter.__code__


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
