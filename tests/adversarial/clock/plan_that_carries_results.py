"""Makes the call before it is recorded, and records two copies of what it gave."""

from ._inside import capturing, module, once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "all of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}

_last, _results = [], []


@once
def mount():
    recorder = module("candidate.recording.recorder").CallRecorder
    honest = recorder.record

    def record(self, call, *arguments):
        call()
        _results[:] = [kept.clone() for kept in _last]
        return honest(self, call, *arguments)

    recorder.record = record


def run(x, w, table, alpha, y, row):
    mount()
    if capturing() and _results:
        y.copy_(_results[0])
        row.copy_(_results[1])
        return
    launch(x, w, table, alpha, y, row)
    _last[:] = [y, row]
