"""A judge's end is told with what it said before, and blamed on the code that caused it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kernel_harness.tools.errors import DatasetError, InfrastructureError
from kernel_harness.tools.messages.last_words import death_of_judge

CRASH = """
import ctypes, faulthandler
faulthandler.enable()
source = "import ctypes\\ndef run(x):\\n    return ctypes.string_at(8)\\n"
namespace = {}
exec(compile(source, FILE, "exec"), namespace)
namespace["run"](1)
"""


def death(log, since, status=None):
    return death_of_judge("cpu", log, since, status)


@pytest.mark.parametrize("file", ["<reference of double 0123456789ab>", "/data/double/inputs.py"])
def test_a_crash_in_the_operators_code_is_the_operators_fault(tmp_path, file):
    log = tmp_path / "log"
    with log.open("wb") as stream:
        code = CRASH.replace("FILE", repr(file))
        ran = subprocess.run([sys.executable, "-c", code], stderr=stream, check=False)
    error = death(log, 0, ran.returncode)
    assert isinstance(error, DatasetError)
    assert "was killed by SIGSEGV" in error.what and error.where == f"{file}, line 3"


def test_a_crash_of_the_judges_own_is_no_fault_of_the_operator(tmp_path):
    log = tmp_path / "log"
    crash = "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(8)"
    with log.open("wb") as stream:
        ran = subprocess.run([sys.executable, "-c", crash], stderr=stream, check=False)
    assert isinstance(death(log, 0, ran.returncode), InfrastructureError)


def test_what_was_said_of_an_earlier_request_is_not_told_of_this_one(tmp_path):
    log = tmp_path / "log"
    log.write_text("DatasetError: the reference of another operator is random\n")
    since = log.stat().st_size
    assert "another operator" not in str(death(log, since, 3))
    assert "ended with exit status 3: it left no word" in str(death(log, since, 3))
    with log.open("a") as stream:
        stream.write("out of luck\n\n")
    assert "was killed by SIGKILL: out of luck" in str(death(log, since, -9))
    assert "left no word" in str(death(tmp_path / "none", 0))
