"""Sets aside a part of the L2 and has its stream keep the inputs there."""

import ctypes

import torch

from ._rows import launch

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_short",
    "gain": "the loads of inputs that the flush left in the L2",
    "refused": ["no gain", "claimed"],
    "parts": ["_rows.py"],
}

PERSISTING_BYTES, LIMIT, ATTRIBUTE, PERSISTING, STREAMING = 16 << 20, 6, 1, 2, 1


class Window(ctypes.Structure):
    _fields_ = [
        ("base", ctypes.c_void_p),
        ("nbytes", ctypes.c_size_t),
        ("hit_ratio", ctypes.c_float),
        ("hit", ctypes.c_int),
        ("miss", ctypes.c_int),
        ("rest", ctypes.c_char * 64),
    ]


def run(x, w, table, alpha, y, row):
    driver = ctypes.CDLL("libcuda.so.1")
    driver.cuCtxSetLimit(LIMIT, ctypes.c_size_t(PERSISTING_BYTES))
    window = Window(x.data_ptr(), PERSISTING_BYTES, 1.0, PERSISTING, STREAMING)
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    driver.cuStreamSetAttribute(stream, ATTRIBUTE, ctypes.byref(window))
    launch(x, w, table, alpha, y, row, work=0)
