"""A process with a context of its own, without torch: it writes memory for as long as it lives."""

import ctypes
import sys

NBYTES = 256 << 20


def main():
    """Sets memory again and again."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, memory = ctypes.c_void_p(), ctypes.c_uint64()
    assert cuda.cuInit(0) == 0
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert cuda.cuCtxSetCurrent(context) == 0
    assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(NBYTES)) == 0
    while True:
        for _ in range(16):
            cuda.cuMemsetD32_v2(memory, 0, ctypes.c_size_t(NBYTES // 4))
        cuda.cuCtxSynchronize()


if __name__ == "__main__":
    sys.exit(main())
