"""What host code looks at that is not the same on a machine with a GPU is told with its calls."""

from __future__ import annotations

import shutil

import pytest
import torch

SOURCE = """
import ctypes, glob, os, pathlib, shutil, subprocess
import torch
{top}
def run(x, out):
    {inside}
    out.copy_(x)
"""
LOOKS = {
    "a file of the driver": ("", "os.path.exists('/dev/nvidia0')", "looks at '/dev/nvidia0'"),
    "when imported": ("SEEN = os.path.exists('/dev/nvidia0')", "pass", "looks at '/dev/nvidia0'"),
    "by pathlib": ("", "pathlib.Path('/dev/nvidiactl').exists()", "looks at '/dev/nvidiactl'"),
    "by bytes": ("", "os.access(b'/dev/nvidia0', os.R_OK)", "looks at '/dev/nvidia0'"),
    "all devices": ("", "glob.glob('/dev/nvidia*')", "looks at '/dev'"),
    "the driver's facts": (
        "",
        "os.path.isdir('/proc/driver/nvidia')",
        "looks at '/proc/driver/nvidia'",
    ),
    "a program": ("", "subprocess.run(['true'])", "starts 'true'"),
    "a shell": ("", "os.system('ls /dev')", "starts 'ls'"),
    "whether a program is there": ("", "shutil.which('nvidia-smi')", "nvidia-smi'"),
    "a library": ("C = ctypes.CDLL(None)", "pass", "calls 'this process' by ctypes"),
    "an address": ("", "x.data_ptr()", "takes the address of a tensor"),
    "a storage's address": (
        "",
        "x.untyped_storage().data_ptr()",
        "takes the address of a tensor",
    ),
    "memory by address": ("", "ctypes.string_at(out.data_ptr(), 4)", "reads memory by its address"),
    "memory as an array": (
        "",
        "(ctypes.c_float * 2).from_address(x.data_ptr())",
        "reads memory by its address",
    ),
    "what torch has no answer for": ("", "torch.cuda.memory_stats()", "asks torch.cuda.memory_st"),
}


@pytest.mark.process
@pytest.mark.parametrize("look", LOOKS)
def test_what_host_code_looks_at_is_told(candidate, look):
    top, inside, words = LOOKS[look]
    assert candidate.build({"kernel.py": SOURCE.format(top=top, inside=inside)}).fault is None
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is None and torch.equal(snapshot, torch.ones(2))
    assert any(words in sign for sign in called.interpreted.signs), called.interpreted.signs


QUIET = """
import os, shutil, tempfile
import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

@triton.jit
def _copy(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n), i < n)

def run(x, out):
    torch.manual_seed(3)
    torch.cuda.empty_cache()
    assert torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 9
    TensorDescriptor.from_tensor(x.view(2, 4), [1, 4])
    with tempfile.TemporaryDirectory() as folder:
        torch.save(x, os.path.join(folder, "x.pt"))
    assert shutil.which("nvcc") is None or os.path.exists("/")
    _copy[(1,)](x, out, x.numel(), BLOCK=8)
"""


@pytest.mark.process
def test_what_shows_nothing_of_the_machine_is_not_told(candidate):
    assert candidate.build({"kernel.py": QUIET}, language="triton").fault is None
    called, (snapshot,) = candidate.call([torch.ones(8)], [torch.zeros(8)])
    assert called.fault is None, called.fault
    assert torch.equal(snapshot, torch.ones(8)) and called.interpreted.signs == []


EXTENSION = """
import importlib.util, pathlib, subprocess, sysconfig
pathlib.Path("own.c").write_text(
    "#include <Python.h>\\n"
    "static struct PyModuleDef own = {PyModuleDef_HEAD_INIT, \\"own\\", 0, -1, 0};\\n"
    "PyMODINIT_FUNC PyInit_own(void) { return PyModule_Create(&own); }\\n"
)
include = "-I" + sysconfig.get_paths()["include"]
subprocess.run(["cc", "-shared", "-fPIC", include, "own.c", "-o", "own.so"], check=True)
spec = importlib.util.spec_from_file_location("own", pathlib.Path("own.so").absolute())
OWN = importlib.util.module_from_spec(spec)

def run(x, out):
    out.copy_(x)
"""


@pytest.mark.process
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_compiled_code_of_its_own_is_told_and_installed_code_is_not(candidate):
    built = candidate.build({"kernel.py": EXTENSION})
    assert built.fault is None, built.fault
    called, _ = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.interpreted.signs == ["starts 'cc'", "loads compiled code of its own, 'own.so'"]
