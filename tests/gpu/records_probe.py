"""Says which ways of recording a process's activities work on this device; prints what each saw.

    python tests/gpu/records_probe.py [--device 0] [--only NAME]

Each way runs in a process of its own, because CUPTI can be set up once only: marked copies around
a kernel and a memset, as the runner makes them, with CUPTI through ctypes before or after the
context, with a subscriber, with external correlation ids, and through the package `cupti`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from ctypes import byref, c_int, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from kernel_harness.tools.driver import cupti, library, modules
from kernel_harness.tools.driver.cupti import ActivityRecorder, Cupti, ModuleCallbacks
from kernel_harness.tools.driver.modules import LaunchShape, PreparedLaunch
from kernel_harness.tools.runner.spans import LEAST_MARKER_BYTES, times_of

ROUNDS = 20
FLUSHED = 100 << 20
EXTERNAL, CUSTOM, DRIVER_CALLS, RUNTIME_CALLS = 39, 3, 4, 5
LIMIT_S = 20
KERNEL = b"""
.version 8.0
.target sm_80
.address_size 64
.visible .entry turns() {
    .reg .u32 %r<3>;
    .reg .pred %p;
    mov.u32 %r1, 2000;
again:
    sub.u32 %r1, %r1, 1;
    setp.ne.u32 %p, %r1, 0;
    @%p bra again;
    ret;
}
\0"""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def mapped_libraries() -> list[str]:
    """The files of CUPTI that are mapped into this process."""
    lines = [line.split(None, 5) for line in Path("/proc/self/maps").read_text().splitlines()]
    return sorted({line[5] for line in lines if len(line) == 6 and "libcupti" in line[5]})


class LoudCupti(Cupti):
    """Prints what every function returned, the first time it is called."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def call(self, function: str, *arguments: Any) -> None:
        """Calls it and says the result."""
        words = " ".join(str(getattr(a, "value", "…")) for a in arguments)
        result = "ok"
        try:
            super().call(function, *arguments)
        except cupti.CuptiError as error:
            result = str(error)
            raise
        finally:
            if (line := f"{function} {words}"[:80]) not in self._said and len(self._said) < 24:
                self._said.add(line)
                say(f"   {line}: {result}")


class Work:
    """What is recorded: a flush, a marker, a kernel, a marker; on one stream."""

    def __init__(self, driver: library.Driver) -> None:
        self.driver = driver
        self.stream = library.new_stream(driver)
        self.flushed = library.allocate(driver, FLUSHED)
        self.marker = library.allocate(driver, 4096)
        module = modules.load(driver, KERNEL)
        function = modules.function_of(driver, module, "turns")
        shape = LaunchShape(grid=(1, 1, 1), block=(32, 1, 1))
        self.launch = PreparedLaunch(function or 0, shape, b"", self.stream)

    def mark(self) -> None:
        nbytes = LEAST_MARKER_BYTES
        library.copy(self.driver, self.marker + 2048, self.marker, nbytes, self.stream)

    def rounds(self, before: Any = None, after: Any = None) -> None:
        for number in range(ROUNDS):
            library.fill(self.driver, self.flushed, 0, FLUSHED, self.stream)
            self.mark()
            self.driver.call("cuStreamSynchronize", c_void_p(self.stream))
            if before:
                before(number + 1)
            self.launch.launch(self.driver)
            if after:
                after()
            self.mark()
        library.synchronize(self.driver)


def spans(recorder: ActivityRecorder) -> str:
    found = recorder.collect()
    times = times_of(found, LEAST_MARKER_BYTES, [None] * ROUNDS, [0] * ROUNDS)
    kept = sorted(t.span_ns for t in times if t.span_ns is not None)
    middle = kept[len(kept) // 2] if kept else None
    return f"spans {len(kept)} of {ROUNDS}, median {middle} ns; counts {dict(recorder.counts)}"


def by_ctypes(device: int, *, first: bool = False, subscriber: bool = False) -> None:
    driver = library.CudaDriver()
    bound = LoudCupti()
    version = c_uint()
    bound.call("cuptiGetVersion", byref(version))
    say(f"   CUPTI {version.value}")
    recorder = ActivityRecorder(bound) if first else None
    callbacks = ModuleCallbacks(bound, lambda *_: None) if subscriber else None
    library.start(driver, device)
    work = Work(driver)
    recorder = recorder or ActivityRecorder(bound)
    work.rounds()
    say(f"   {spans(recorder)}; mapped {mapped_libraries()}")
    work.rounds()
    say(f"   again: {spans(recorder)} {'' if callbacks is None else 'with a subscriber'}")


def by_external_ids(device: int, kinds: tuple[int, ...]) -> None:
    driver = library.CudaDriver()
    bound = LoudCupti()
    library.start(driver, device)
    work = Work(driver)
    recorder = ActivityRecorder(bound)
    for kind in (EXTERNAL, *kinds):
        bound.call("cuptiActivityEnable", c_uint(kind))
    last = c_uint64()
    work.rounds(
        lambda number: bound.call(
            "cuptiActivityPushExternalCorrelationId", c_int(CUSTOM), c_uint64(number)
        ),
        lambda: bound.call("cuptiActivityPopExternalCorrelationId", c_int(CUSTOM), byref(last)),
    )
    say(f"   {spans(recorder)}; 'other' counts external ids and API calls")


def by_package(device: int) -> None:
    from cupti import cupti as package  # pyright: ignore[reportMissingImports]

    driver = library.CudaDriver()
    library.start(driver, device)
    work = Work(driver)
    delivered: list[Any] = []
    package.activity_register_callbacks(lambda: (1 << 20, 0), delivered.extend)
    for kind in ("CONCURRENT_KERNEL", "MEMCPY", "MEMSET"):
        package.activity_enable(getattr(package.ActivityKind, kind))
    work.rounds()
    package.activity_flush_all(1)
    lengths = [a.end - a.start for a in delivered if "KERNEL" in str(a.kind)]
    say(f"   {len(delivered)} records, kernels {sorted(lengths)[:3]} ns")
    say(f"   mapped {mapped_libraries()}")


WAYS = {
    "ctypes, after the context": lambda device: by_ctypes(device),
    "ctypes, before the context": lambda device: by_ctypes(device, first=True),
    "ctypes, with a subscriber": lambda device: by_ctypes(device, subscriber=True),
    "external ids alone": lambda device: by_external_ids(device, ()),
    "external ids, driver calls": lambda device: by_external_ids(device, (DRIVER_CALLS,)),
    "external ids, runtime calls": lambda device: by_external_ids(device, (RUNTIME_CALLS,)),
    "package cupti": by_package,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--here", action="store_true", help="run the one way in this process")
    options = parser.parse_args()
    for name, way in WAYS.items():
        if options.only not in name:
            continue
        if options.here:
            way(options.device)
            continue
        begin = time.monotonic()
        say(f"== {name}")
        command = [sys.executable, __file__, "--here", "--only", name]
        command += ["--device", str(options.device)]
        try:
            ended = subprocess.run(command, timeout=LIMIT_S, check=False, stderr=subprocess.STDOUT)
            say(f"   ended with {ended.returncode} after {time.monotonic() - begin:.1f} s")
        except subprocess.TimeoutExpired:
            say(f"   did not end within {LIMIT_S} s")


if __name__ == "__main__":
    main()
