"""The scratch allocator gives addresses of its reservation, and gives freed ones again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_harness.tools import driver
from kernel_harness.tools.driver.scratch_library import COMPILERS, build_library
from kernel_harness.tools.messages.launch_plan import RESERVATION_BASE

FAKE_DRIVER = """
#include <stdint.h>
#include <stddef.h>
typedef unsigned long long flags;
static uint64_t sizes[4096];
static flags made;
uint64_t held;
int fails;
int cuMemCreate(flags *h, size_t n, void *p, flags f)
{ *h = ++made; sizes[made] = n; held += n; return 0; }
int cuMemRelease(flags h) { held -= sizes[h]; return 0; }
int cuMemUnmap(uint64_t a, size_t n) { return 0; }
int cuMemMap(uint64_t a, size_t n, size_t o, flags h, flags f) { return 0; }
int cuMemSetAccess(uint64_t a, size_t n, void *d, size_t c) { return fails; }
int cuMemAddressReserve(uint64_t *g, size_t n, size_t l, uint64_t a, flags f) { *g = a; return 0; }
int cuThreadExchangeStreamCaptureMode(int *m) { return 0; }
"""
SETUP = """
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
driver = ctypes.CDLL("libcuda.so.1")
def held(): return ctypes.c_uint64.in_dll(driver, "held").value
"""
USE = (
    SETUP
    + """
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
)
MANY_SHAPES = (
    SETUP
    + """
MIB = 1 << 20
kept = alloc(1000, 1)
for number in range(40):
    shape = [(100 + 7 * number) * MIB, (300 - 5 * number) * MIB, 512 * (number + 1)]
    for stream in (1, 2):  # an ordinary call, and one that is captured
        given = [alloc(n, stream) for n in shape]
        spans = sorted(zip(given, shape))
        assert all(a + n <= b for (a, n), (b, _) in zip(spans, spans[1:])), "they overlap"
        assert kept + 1024 <= spans[0][0]
        for address in given:
            free(address)
        scratch.drain()
assert held() < 900 * MIB, held() / MIB
scratch.drain()
assert held() <= 512 * MIB, held() / MIB
assert [b.address for b in scratch.blocks() if b.live] == [kept]
print("done")
"""
)
REFUSED = (
    SETUP
    + """
first = alloc(1 << 20, 1)
before = held()
fails = ctypes.c_int.in_dll(driver, "fails")
fails.value = 2
assert alloc(1 << 30, 1) == 0 and scratch.failure == 2
assert held() == before, "memory that could not be opened is still held"
fails.value = 0
assert alloc(1 << 30, 1) > first
print("done")
"""
)

THREADS = """
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
void *kh_alloc(size_t, int, void *);
void kh_free(void *, size_t, int, void *);
void kh_drain(void);
int kh_setup(uint64_t, uint64_t);
#define MIB (1ull << 20)
#define UNITS (1u << 22)
static uint64_t base;
static _Atomic long owner[UNITS], wrong; /* of each 512 bytes */
static void hand(uint64_t address, size_t bytes, long from, long to)
{
    for (uint64_t u = (address - base) / 512; bytes; u++, bytes -= bytes < 512 ? bytes : 512)
        if (u >= UNITS || __atomic_exchange_n((long *)&owner[u], to, 5) != from) wrong++;
}
static void *work(void *number)
{
    long me = (long)number;
    unsigned seed = (unsigned)me;
    uint64_t given[64] = {0};
    size_t bytes[64];
    for (int i = 0; i < 20000; i++) {
        int k = rand_r(&seed) % 64;
        if (given[k]) {
            hand(given[k], bytes[k], me, 0);
            kh_free((void *)given[k], bytes[k], 0, NULL);
            given[k] = 0;
        } else {
            bytes[k] = 1 + (size_t)rand_r(&seed) % 40000;
            given[k] = (uint64_t)kh_alloc(bytes[k], 0, number);
            hand(given[k], bytes[k], 0, me);
        }
        if (i % 500 == 0) kh_drain();
    }
    return NULL;
}
int main(int count, char **arguments)
{
    pthread_t threads[4];
    base = strtoull(arguments[count - 1], NULL, 0);
    if (kh_setup(base, 4096 * MIB)) return 2;
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    return wrong != 0;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not any(map(shutil.which, COMPILERS)):
        pytest.skip("needs a C compiler")
    return tmp_path_factory.mktemp("allocator")


@pytest.fixture(scope="module")
def run(folder):
    """Runs a program in a process whose driver is a fake one that counts memory."""
    library = build_library(folder)
    assert build_library(folder) == library
    source = folder / "driver.c"
    source.write_text(FAKE_DRIVER)
    command = ["cc", "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source]
    subprocess.run(command, check=True)

    def ran(program):
        ended = subprocess.run(
            [sys.executable, "-c", program, str(library)],
            env={"LD_LIBRARY_PATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stdout.strip() or ended.stderr

    return ran


def test_memory_is_given_from_the_reservation_and_again_on_its_own_stream(run):
    assert run(USE) == "done"


def test_calls_of_many_shapes_share_the_memory_of_the_largest(run):
    assert run(MANY_SHAPES) == "done"


def test_memory_that_cannot_be_opened_is_not_held(run):
    assert run(REFUSED) == "done"


def test_threads_are_never_given_the_same_memory(run, folder):
    """Blocks move in their table as others are cut: an address was read after that."""
    source, program = folder / "threads.c", folder / "threads"
    source.write_text(THREADS)
    sources = [source, Path(driver.__file__).parent / "scratch.c"]
    subprocess.run(["cc", "-O1", "-o", program, *sources, "-ldl", "-lpthread"], check=True)
    ended = subprocess.run(
        [program, hex(RESERVATION_BASE)], env={"LD_LIBRARY_PATH": str(folder)}, check=False
    )
    assert ended.returncode == 0
