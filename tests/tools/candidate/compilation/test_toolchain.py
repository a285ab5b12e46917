"""Compilers run side by side, in order, and within limits, whatever a source asks them to read."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compilation import toolchain
from kernel_harness.tools.candidate.sandbox import landlock

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
