"""Where there is no GPU, a candidate that loads CUDA kernels of its own is told what is missing."""

from __future__ import annotations

import math

import pytest
import torch

from kernel_harness.tools.candidate.cpu.kernel_libraries import holds_kernels, is_installed

KERNELS = b"\x7fELF" + bytes(600) + b"\0.nv_fatbin\0"
LOADS = """
import ctypes, pathlib
pathlib.Path("k.so").write_bytes({content!r})
{guard}
def run(x, out):
    out.copy_(x)
"""
PLAIN = "ctypes.CDLL('./k.so')"
GUARDED = "try: ctypes.CDLL('./k.so')\nexcept OSError: pass"


def test_a_library_with_device_code_is_told_from_others(tmp_path):
    for name, content in (("k.so", KERNELS), ("h.so", KERNELS[:300]), ("t.txt", KERNELS[4:])):
        (tmp_path / name).write_bytes(content)
    assert holds_kernels(tmp_path / "k.so") and holds_kernels(str(tmp_path / "k.so").encode())
    assert not any(holds_kernels(tmp_path / name) for name in ("h.so", "t.txt", "absent.so"))
    assert is_installed(torch.__file__) and not is_installed(tmp_path / "k.so")
    assert is_installed(getattr(math, "__file__", None) or torch.__file__)


@pytest.mark.process
def test_loading_one_needs_a_gpu(candidate):
    built = candidate.build({"kernel.py": LOADS.format(content=KERNELS, guard=PLAIN)})
    assert built.fault is not None and built.fault.kind == "needs_gpu"
    assert "k.so holds CUDA kernels" in built.fault.message


@pytest.mark.process
def test_who_does_without_it_is_judged_and_told_that_a_gpu_s_machine_would_not(candidate):
    built = candidate.build({"kernel.py": LOADS.format(content=KERNELS, guard=GUARDED)})
    assert built.fault is None
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is None and torch.equal(snapshot, torch.ones(2))
    assert "calls './k.so' by ctypes" in called.interpreted.signs


@pytest.mark.process
def test_a_library_of_the_host_alone_is_no_matter_of_the_machine(candidate):
    built = candidate.build({"kernel.py": LOADS.format(content=KERNELS[:300], guard=PLAIN)})
    assert built.fault is not None and built.fault.kind == "exception"
