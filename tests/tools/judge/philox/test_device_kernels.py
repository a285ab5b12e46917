"""The kernels give the definition's values: their PTX is executed here, instruction by instruction.

The driver is a fake one that executes what is launched, on the tensors' own memory.
"""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from typing import Any

import numpy as np
import pytest
import torch

from kernel_harness.tools.driver.cubin import read_cubin
from kernel_harness.tools.judge.philox import device_kernels
from kernel_harness.tools.judge.philox.blocks import blocks, round_keys, words_by_part
from kernel_harness.tools.judge.philox.device_kernels import (
    CHUNK,
    PARAMETERS,
    PhiloxKernels,
    Stream,
    kernels_on,
)
from kernel_harness.tools.judge.philox.generator import PhiloxGenerator, usable_source
from kernel_harness.tools.judge.philox.kernel_source import THREADS, source
from kernel_harness.tools.schema.drawn_inputs import RandomGenerator

from ...driver.fakes import FakeDriver
from ...runner.test_device_kernels import compiler
from .ptx_emulator import Memory, entry, launch

CPU = torch.device("cpu")
KERNELS = ("philox_words", "philox_uniforms", "philox_normals", "philox_quantiles")
TABLE_BYTES = {
    "philox_words": 0,
    "philox_uniforms": 0,
    "philox_normals": 16_384,
    "philox_quantiles": 65_536,
}
STREAM = Stream(0xFEDC_BA98_7654_3210, 0xFFFF_FFFE)


class EmulatedDriver(FakeDriver):
    """Executes kernels on the host.

    Args:
        faulty: inverts the first word that each kernel writes.
    """

    def __init__(self, *, faulty: bool = False, failing: dict[str, int] | None = None) -> None:
        super().__init__(failing)
        self.faulty = faulty
        self.grids: list[int] = []

    def _cuLaunchKernelEx(self, config: Any, function: Any, _pointers: Any, extra: Any) -> None:
        name, shape = self.functions[function.value], config._obj
        nbytes = ctypes.c_size_t.from_address(extra[3]).value
        parameters = ctypes.string_at(extra[1], nbytes)
        out, table, chunks, *_ = PARAMETERS.unpack(parameters)
        memory = Memory()
        written = memory.add(out, _bytes_at(out, CHUNK * chunks))
        if TABLE_BYTES[name]:
            memory.add(table, _bytes_at(table, TABLE_BYTES[name]))
        self.grids.append(shape.grid[0])
        launch(
            source().decode(),
            name,
            grid=shape.grid[0],
            threads=shape.block[0],
            parameters=parameters,
            memory=memory,
            shared_bytes=shape.shared_bytes,
        )
        if self.faulty:
            _bytes_at(written, 4)[:] ^= 0xFF


def _bytes_at(address: int, nbytes: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))


def kernels(**options: Any) -> PhiloxKernels:
    return PhiloxKernels(EmulatedDriver(**options), CPU)


@pytest.fixture
def few_threads(monkeypatch):
    """Blocks of a warp, so that few values need several of them."""
    monkeypatch.setattr(device_kernels, "THREADS", 32)
    monkeypatch.setattr(device_kernels, "COMPARED", 301)


def test_they_are_compared_with_the_definition_before_they_are_used(few_threads):
    assert kernels_on(CPU, EmulatedDriver)[1] == ""
    none, reason = kernels_on(CPU, lambda: EmulatedDriver(faulty=True))
    assert none is None
    assert "words and uniform values and normal values and e4m3 values differ" in reason


def test_where_they_cannot_run_torch_s_generator_is_used_and_the_reason_said():
    _, reason = kernels_on(CPU, lambda: EmulatedDriver(failing={"cuModuleLoadData": 222}))
    assert "cuModuleLoadData failed with CUDA error 222" in reason
    source_there = usable_source(torch.device("cuda", 99))
    assert source_there.generator is RandomGenerator.TORCH
    assert "the kernels of Philox do not run on this device" in source_there.note


@pytest.mark.parametrize("shape", [(), (0,), (1,), (4,), (5,), (3, 0), (7, 11), (203,)])
def test_every_value_is_the_same_as_without_a_gpu(few_threads, shape):
    here, there = PhiloxGenerator(8, CPU), PhiloxGenerator(8, CPU, kernels())
    for _ in range(2):
        for draw in (
            lambda v: v.normal("x", shape),
            lambda v: v.uniform("x", shape),
            lambda v: v.integers("x", -5, 1_000, shape),
            lambda v: v.normal_e4m3("w", shape, 106.5).view(torch.uint8),
        ):
            one, other = draw(here), draw(there)
            assert one.shape == other.shape == shape
            assert one.numpy().tobytes() == other.numpy().tobytes()


def test_more_chunks_than_threads_are_all_written(few_threads):
    driver = EmulatedDriver()
    count = 4 * 32 * 8 * 2 + 4
    PhiloxKernels(driver, CPU).words(STREAM, count)
    assert driver.grids == [8], "two blocks on each of four multiprocessors"
    words = PhiloxKernels(driver, CPU).words(STREAM, count)
    defined = np.concatenate([w for _, w in words_by_part(STREAM.key, STREAM.number, count)])
    assert words.numpy().tobytes() == defined.tobytes()


def test_positions_beyond_32_bits_are_other_blocks():
    """A tensor of 64 GiB is no test; the counter of a thread that far is."""
    first = (1 << 32) - 1
    out = np.zeros(2 * CHUNK, np.uint8)
    memory = Memory()
    begin = 0x7000_0000_0000
    memory.add(begin + CHUNK * first, out)
    parameters = PARAMETERS.pack(begin, 0, first + 2, STREAM.number, *round_keys(STREAM.key))
    text = source().decode()
    start = "add.u64 %chunk, %chunk, %at;"
    assert text.count(start) == len(KERNELS)
    launch(
        text.replace(start, f"{start}\n    add.u64 %chunk, %chunk, {first};"),
        "philox_words",
        grid=1,
        threads=2,
        parameters=parameters,
        memory=memory,
        shared_bytes=0,
    )
    expected = blocks(STREAM.key, STREAM.number, np.array([first, first + 1], np.uint64))
    assert out.tobytes() == expected.tobytes()


def test_the_parameters_packed_are_those_declared():
    for name in KERNELS:
        places, _ = entry(source().decode(), name)
        assert places == {"p_out": 0, "p_table": 8, "p_chunks": 16, "p_number": 24, "p_keys": 28}
        assert PARAMETERS.size == 28 + 80 == struct.calcsize("<QQQI20I")


@pytest.mark.skipif(compiler() is None, reason="needs ptxas")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_they_compile_without_memory_for_registers(tmp_path, architecture):
    text, out = tmp_path / "kernels.ptx", tmp_path / "kernels.cubin"
    text.write_bytes(source())
    command = [compiler(), "-v", f"-arch={architecture}", str(text), "-o", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert read_cubin(out.read_bytes()).kernels >= set(KERNELS)
    used = [int(n) for n in re.findall(r"Used (\d+) registers", ran.stderr)]
    assert len(used) == len(KERNELS) and max(used) <= 65_536 // THREADS // 3
    assert ran.stderr.count(" 0 bytes spill stores") == len(KERNELS)


@pytest.mark.parametrize("address", [0x5000, 0x2000_0008])
def test_the_emulator_finds_stray_and_unaligned_accesses(address):
    memory = Memory()
    memory.add(0x2000_0000, np.zeros(64, np.uint8))
    with pytest.raises(AssertionError, match="outside|aligned"):
        memory.write(address, bytes(16))
