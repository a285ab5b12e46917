"""The scratch allocator gives addresses of its reservation, and gives freed ones again."""

import shutil
import subprocess
import sys

import pytest

from kernel_harness.tools.driver.scratch_library import COMPILERS, build_library

FAKE_DRIVER = """
#include <stdint.h>
#include <stddef.h>
typedef unsigned long long flags;
int cuMemCreate(flags *h, size_t n, void *p, flags f) { *h = 1; return 0; }
int cuMemMap(uint64_t a, size_t n, size_t o, flags h, flags f) { return 0; }
int cuMemSetAccess(uint64_t a, size_t n, void *d, size_t c) { return 0; }
int cuMemAddressReserve(uint64_t *g, size_t n, size_t l, uint64_t a, flags f) { *g = a; return 0; }
int cuThreadExchangeStreamCaptureMode(int *m) { return 0; }
"""
USE = """
import ctypes, sys
from pathlib import Path
from kernel_harness.tools.candidate.recording.allocator import ScratchAllocator
from kernel_harness.tools.messages.launch_plan import RESERVATION_BASE as BASE
scratch = ScratchAllocator(Path(sys.argv[1]))
library = ctypes.CDLL(sys.argv[1])
library.kh_alloc.restype = ctypes.c_uint64
size, pointer = ctypes.c_size_t, ctypes.c_uint64
def alloc(n, stream): return library.kh_alloc(size(n), 0, pointer(stream))
def free(p): library.kh_free(pointer(p), size(0), 0, pointer(0))
first, second = alloc(1000, 1), alloc(1000, 1)
assert (first, second) == (BASE, BASE + 1024)
free(first)
assert alloc(1000, 2) == BASE + 2048, "another stream's memory"
serial = scratch.serial()
assert alloc(1000, 1) == first, "the same stream's memory, again"
assert [b.serial for b in scratch.blocks() if b.address == first] == [serial]
library.kh_record_stream(pointer(first), pointer(2))
free(first)
assert alloc(1000, 1) not in (first, second), "another stream may still use it"
scratch.drain()
assert alloc(1000, 1) == first
large = alloc(300 << 20, 1)
assert large % 512 == 0
scratch.reserve(0)
assert scratch.failure == 0
live = {b.address for b in scratch.blocks() if b.live}
assert {first, second, large} <= live
print("done")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not any(map(shutil.which, COMPILERS)):
        pytest.skip("needs a C compiler")
    return tmp_path_factory.mktemp("allocator")


def test_memory_is_given_from_the_reservation_and_again_on_its_own_stream(folder):
    library = build_library(folder)
    assert build_library(folder) == library
    source = folder / "driver.c"
    source.write_text(FAKE_DRIVER)
    driver = folder / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", driver, source], check=True)
    ended = subprocess.run(
        [sys.executable, "-c", USE, str(library)],
        env={"LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.strip() == "done", ended.stderr
