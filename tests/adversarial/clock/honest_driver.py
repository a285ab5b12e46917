"""Launches its kernel by the driver's own function, through ctypes, on the caller's stream."""

import ctypes

import torch

from ._rows import ROWS, affine_rows

EXPECT = {"status": "PASSED", "needs": "cuda", "sealed": True, "parts": ["_rows.py"]}

_kept = {}


def function_of(x, w, table, alpha, y, row):
    """The driver's handle of the compiled kernel."""
    m = x.shape[0]
    compiled = affine_rows.warmup(x, w, table, alpha, y, row, m, N=64, ROWS=ROWS, WORK=0, grid=(1,))
    compiled._init_handles()
    return compiled


def run(x, w, table, alpha, y, row):
    m = x.shape[0]
    if not m:
        return
    if m not in _kept:
        _kept[m] = function_of(x, w, table, alpha, y, row)
    compiled = _kept[m]
    # Triton adds two pointers of its own, to scratch that this kernel does not use.
    values = [ctypes.c_void_p(t.data_ptr()) for t in (x, w, table)]
    values += [ctypes.c_float(alpha), ctypes.c_void_p(y.data_ptr())]
    values += [ctypes.c_void_p(row.data_ptr()), ctypes.c_int(m)]
    values += [ctypes.c_void_p(), ctypes.c_void_p()]
    places = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    blocks, threads = (-(-m // ROWS), 1, 1), (32 * compiled.metadata.num_warps, 1, 1)
    shared = compiled.metadata.shared
    code = ctypes.CDLL("libcuda.so.1").cuLaunchKernel(
        ctypes.c_void_p(compiled.function), *blocks, *threads, shared, stream, places, None
    )
    assert code == 0, f"cuLaunchKernel failed with {code}"
