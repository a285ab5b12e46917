"""The runner's own kernels are what their launches expect."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from kernel_harness.tools.driver.cubin import read_cubin
from kernel_harness.tools.runner import device_kernels
from kernel_harness.tools.runner.device_kernels import (
    LOCAL_SCRUBS,
    SCRUB_THREADS,
    SOURCE,
    DeviceKernels,
)

from ..driver.fakes import FakeDriver

PARAMETER_BYTES = {
    "spin": 8,
    "read_buffer": 24,
    "demote_lines": 16,
    "scrub_shared": 16,
} | dict.fromkeys(LOCAL_SCRUBS.values(), 16)


def entries() -> dict[str, str]:
    """The declaration of each kernel's parameters."""
    return dict(re.findall(r"\.entry (\w+)\((.*?)\)", SOURCE.read_text(), re.DOTALL))


def test_the_parameters_packed_are_those_declared():
    sizes = {"u32": 4, "u64": 8}
    for name, declared in entries().items():
        at = 0
        for kind in re.findall(r"\.param \.(u\d+)", declared):
            at = -(-at // sizes[kind]) * sizes[kind] + sizes[kind]
        assert at == PARAMETER_BYTES[name], name
    assert entries().keys() == PARAMETER_BYTES.keys()


def test_each_frame_is_as_large_as_its_name_says():
    source = SOURCE.read_text()
    for nbytes, name in LOCAL_SCRUBS.items():
        body = source[source.index(f".entry {name}(") :]
        assert f"frame[{nbytes}]" in body.split("}", 1)[0]
        assert f".maxntid {SCRUB_THREADS}," in body


def test_their_file_is_read_before_the_process_is_confined(monkeypatch):
    monkeypatch.setattr(device_kernels, "SOURCE", Path("/out/of/sight"))
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a confined process opens a file"))
    driver = FakeDriver()
    DeviceKernels(driver, 0, 5)
    (image,) = (given[1] for name, given in driver.calls if name == "cuModuleLoadData")
    assert image == device_kernels.CODE


def compiler() -> str | None:
    found = find_spec("triton")
    places = list(found.submodule_search_locations or []) if found else []
    own = [Path(place, "backends/nvidia/bin/ptxas") for place in places]
    return next((str(p) for p in own if p.is_file()), shutil.which("ptxas"))


@pytest.mark.skipif(compiler() is None, reason="needs ptxas")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_they_compile_and_all_of_a_multiprocessor_s_threads_fit(tmp_path, architecture):
    out = tmp_path / "kernels.cubin"
    command = [compiler(), "-v", f"-arch={architecture}", str(SOURCE), "-o", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert read_cubin(out.read_bytes()).kernels >= entries().keys()
    used = re.findall(r"entry function '(scrub_local\w+)'.*?Used (\d+) registers", ran.stderr, re.S)
    assert {name for name, _ in used} == set(LOCAL_SCRUBS.values())
    assert all(int(registers) <= 32 for _, registers in used)


def test_what_waits_for_all_blocks_is_launched_as_one_that_fits_at_once():
    driver = FakeDriver()
    kernels = DeviceKernels(driver, 0, 5)
    kernels.scrub(0, 0xA5)
    asked = [a for name, a in driver.calls if name == "cuOccupancyMaxActiveBlocksPerMultiprocessor"]
    assert [(threads, shared) for _, _, threads, shared in asked] == [(1024, 232_448), (512, 0)]
    resets = [a for name, a in driver.calls if name == "cuMemsetD32Async"]
    assert len(resets) == len(driver.launched()) == 2, "the counter begins at nothing each time"


def test_lines_are_demoted_from_the_beginning_of_the_first_one():
    driver = FakeDriver()
    kernels = DeviceKernels(driver, 0, 5)
    kernels.demote(0x1000 + 40, 100)
    kernels.demote(0x1000 + 40, 100)
    ((begin, nbytes),) = kernels._demotions
    assert begin == 0x1000 and begin + nbytes == 0x1000 + 140
    assert driver.names().count("cuLaunchKernelEx") == 2
