"""Hands the recorder another cubin: same name, grid and parameters, half of the blocks."""

from ._inside import module, once
from ._skipping import affine_of

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py", "_skipping.py"],
}


_compiled = []


@once
def mount():
    log = module("candidate.recording.module_log").ModuleLog
    honest = log.candidates

    def candidates(self, name, handle):
        found = honest(self, name, handle)
        every = [c.data for c in self.loaded if b"affine\0" in c.data and c.data not in found]
        return every[:1] if name == "affine" and every else found

    log.candidates = candidates


def run(x, w, table, alpha, y, row):
    mount()
    if not _compiled:
        affine_of(x, w, table, alpha, y, row, True)  # so that its cubin is loaded
        _compiled.append(True)
    affine_of(x, w, table, alpha, y, row, False)
