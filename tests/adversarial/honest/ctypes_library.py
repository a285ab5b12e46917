"""Calls a C library by ctypes on raw pointers, as bindings without torch's headers do."""

import ctypes

EXPECT = {
    "status": "PASSED",
    "needs": "cpu",
    "checks": {"held_out": 1, "determinism_runs": 2},
}

libc = ctypes.CDLL(None)
libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
libc.memcpy.restype = ctypes.c_void_p


def run(x, w, table, alpha, y, row):
    if y.numel():
        rows = (x[table.long()] * w * alpha + 1.0).contiguous()
        libc.memcpy(y.data_ptr(), rows.data_ptr(), 4 * y.numel())
    row.copy_(y.sum(dim=-1))
