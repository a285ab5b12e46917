"""Compilers run side by side, in order, and within limits, whatever a source asks them to read."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compilation import toolchain
from kernel_harness.tools.candidate.faults import CandidateError
from kernel_harness.tools.confinement import landlock

CXX = shutil.which("g++")
pytestmark = pytest.mark.process


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_answers_come_in_the_order_of_the_commands():
    commands = [python(f"print({n})") for n in range(11)]
    commands[5] = python("raise SystemExit(1)")
    ran = toolchain.run(commands)
    assert [r.output.strip() for r in ran] == [*"01234", "", *"6789", "10"]
    assert [r.ok for r in ran] == [n != 5 for n in range(11)]
    assert toolchain.run([]) == []


def test_a_command_that_is_killed_says_so():
    (ran,) = toolchain.run([python("import os; os.kill(os.getpid(), 9)")])
    assert not ran.ok and "ended by signal 9" in ran.output


EXPANDING = {
    "macros": "#define A int x; int x;\n#define B A A A A A A A A\n#define C B B B B B B B B\n"
    "#define D C C C C C C C C\n#define E D D D D D D D D\n#define F E E E E E E E E\n"
    "#define G F F F F F F F F\n#define H G G G G G G G G\n#define I H H H H H H H H\nI I I I\n",
    "includes": "#if __INCLUDE_LEVEL__ < 100\n#include __FILE__\n#include __FILE__\n#endif\n",
    "templates": "template <int A, int B> struct T {\n"
    "  static constexpr int v = T<A - 1, 2 * B>::v + T<A - 1, 2 * B + 1>::v;\n};\n"
    "template <int B> struct T<0, B> { static constexpr int v = 1; };\nint x = T<28, 0>::v;\n",
}


@pytest.mark.skipif(not CXX, reason="g++ is not installed")
@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        *((kind, "time") for kind in EXPANDING),
        *((kind, "memory") for kind in ("macros", "templates")),
        ("macros", "file"),
    ],
)
def test_text_that_expands_without_end_meets_a_limit_and_is_told_so(
    tmp_path: Path, monkeypatch, kind: str, limit: str
):
    monkeypatch.setattr(toolchain, "MOST_MEMORY_BYTES", (96 if limit == "memory" else 2048) << 20)
    monkeypatch.setattr(toolchain, "LEAST_MEMORY_BYTES", 0)
    monkeypatch.setattr(toolchain, "FILE_BYTES", (1 if limit == "file" else 256) << 20)
    monkeypatch.setattr(toolchain, "_patience", toolchain._Patience())
    toolchain.allow(0.5 if limit == "time" else 60.0)
    (tmp_path / "k.cpp").write_text(EXPANDING[kind])
    how = ["-E"] if limit == "file" else ["-c"]
    command = [str(CXX), *how, str(tmp_path / "k.cpp"), "-o", str(tmp_path / "k.o")]
    before = time.monotonic()
    (ran,) = toolchain.run([command])
    assert not ran.ok and ran.stopped and time.monotonic() - before < 30.0
    assert ran.output.startswith("error: the compiler") and toolchain.EXPANDS in ran.output
    assert {"time": "time", "memory": "memory", "file": "1 MiB"}[limit] in ran.output


def sleepers() -> list[str]:
    """The numbers of the processes that the late command started."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if b"time.sleep(97)" in Path(f"/proc/{number}/cmdline").read_bytes():
                found.append(number)
    return found


def test_a_command_that_is_late_is_ended_with_all_that_it_started(monkeypatch):
    monkeypatch.setattr(toolchain, "_patience", toolchain._Patience())
    toolchain.allow(1.0)
    child = [sys.executable, "-c", "import time; time.sleep(97)"]
    ran = toolchain.run([python(f"import subprocess; subprocess.run({child})"), python("print(1)")])
    assert "time was used up" in ran[0].output and ran[1].output == "1\n"
    assert (ran[0].late, ran[1].late) == (True, False)
    toolchain.refuse_late(ran[1:])
    with pytest.raises(CandidateError) as refused:
        toolchain.refuse_late(ran)
    assert refused.value.fault.kind == "build_timeout"
    ends = time.monotonic() + 10.0  # a killed process is listed until it is gone
    while sleepers() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not sleepers()


def test_memory_is_limited(monkeypatch):
    monkeypatch.setattr(toolchain, "LEAST_MEMORY_BYTES", 0)
    monkeypatch.setattr(toolchain, "MOST_MEMORY_BYTES", 1 << 30)
    (ran,) = toolchain.run([python("bytearray(2 << 30)")])
    assert not ran.ok and "MemoryError" in ran.output


@pytest.mark.skipif(not CXX, reason="g++ is not installed")
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom", "/proc/self/maps"])
def test_a_source_includes_no_device_and_no_process(tmp_path: Path, path: str, monkeypatch):
    if not landlock.abi():
        pytest.skip("this kernel has no Landlock")
    monkeypatch.setattr(toolchain, "MOST_MEMORY_BYTES", 1 << 30)
    (tmp_path / "k.cpp").write_text(f'#include "{path}"\nint x;\n')
    command = [str(CXX), "-c", str(tmp_path / "k.cpp"), "-o", str(tmp_path / "k.o")]
    (ran,) = toolchain.run([command])
    assert not ran.ok and "Permission denied" in ran.output


@pytest.mark.skipif(not CXX, reason="g++ is not installed")
def test_an_ordinary_source_compiles(tmp_path: Path):
    (tmp_path / "k.cpp").write_text("#include <vector>\nstd::vector<int> x;\n")
    command = [str(CXX), "-c", str(tmp_path / "k.cpp"), "-o", str(tmp_path / "k.o")]
    assert toolchain.run([command, python("pass")])[0].ok and (tmp_path / "k.o").is_file()
    assert os.access(tmp_path / "k.o", os.R_OK)
