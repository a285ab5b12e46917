"""Writes a jump over CUPTI's function that steps from record to record, and halves each kernel."""
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalOperand=false, reportOperatorIssue=false

import ctypes
import struct

from ._inside import once
from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_triton",
    "gain": "half of every kernel",
    "refused": ["no gain"],
    "parts": ["_rows.py", "_inside.py"],
}

KERNEL, START, END = 10, 16, 24
PAGE, WRITABLE = 4096, 7
Step = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_kept = []


@once
def mount():
    lines = open("/proc/self/maps").read().splitlines()
    path = next(line.split()[-1] for line in lines if "libcupti.so" in line)
    function = ctypes.CDLL(path).cuptiActivityGetNextRecord
    function.argtypes = Step._argtypes_
    place = ctypes.cast(function, ctypes.c_void_p).value
    honest = ctypes.string_at(place, 12)

    def step(buffer, valid, record):
        ctypes.memmove(place, honest, 12)
        code = function(buffer, valid, record)
        ctypes.memmove(place, jump, 12)
        found = ctypes.c_void_p.from_address(record).value
        if code == 0 and ctypes.c_uint.from_address(found).value == KERNEL:
            start, end = (ctypes.c_uint64.from_address(found + at) for at in (START, END))
            end.value = start.value + (end.value - start.value) // 2
        return code

    ours = Step(step)
    _kept.append(ours)
    jump = b"\x48\xb8" + struct.pack("<Q", ctypes.cast(ours, ctypes.c_void_p).value) + b"\xff\xe0"
    begin = place // PAGE * PAGE
    code = ctypes.CDLL(None).mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(2 * PAGE), WRITABLE)
    assert code == 0, "mprotect was refused"
    ctypes.memmove(place, jump, 12)


def run(x, w, table, alpha, y, row):
    mount()
    launch(x, w, table, alpha, y, row)
