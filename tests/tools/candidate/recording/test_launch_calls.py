"""What an ordinary call launches is read from the driver's callbacks, however it is launched."""

from __future__ import annotations

import ctypes
from ctypes import c_size_t, c_void_p
from typing import Any

import pytest

from kernel_harness.tools.candidate.recording import launch_calls
from kernel_harness.tools.candidate.recording.launch_calls import LaunchedKernel, LaunchWatch
from kernel_harness.tools.driver.library import INVALID_VALUE, DriverError
from kernel_harness.tools.driver.structures import LaunchConfig

from ...driver.fakes import FakeDriver, give

LAYOUT = ((0, 8), (8, 4), (16, 8))
PACKED = (0x100000000000).to_bytes(8, "little") + (7).to_bytes(4, "little") + b"\0" * 4 + b"x" * 8
FUNCTION, KERNEL = 0x55, 0x66
EXPECTED = LaunchedKernel("step", (4, 2, 1), (128, 1, 1), PACKED, LAYOUT)
SIMPLE = (
    *(launch_calls.LAUNCH, launch_calls.LAUNCH_BY_THREAD),
    *(launch_calls.LAUNCH_COOPERATIVE, launch_calls.LAUNCH_COOPERATIVE_BY_THREAD),
)


class NamingDriver(FakeDriver):
    """One function, known as a kernel of a library, too."""

    def _cuFuncGetName(self, name: Any, function: Any) -> None:
        if function.value != FUNCTION:
            raise DriverError("cuFuncGetName", 400)
        name._obj.value = b"step"

    def _cuKernelGetFunction(self, function: Any, kernel: Any) -> None:
        assert kernel.value == KERNEL
        give(function, FUNCTION)

    def _cuFuncGetParamInfo(self, _function: Any, index: Any, offset: Any, size: Any) -> None:
        if index.value >= len(LAYOUT):
            raise DriverError("cuFuncGetParamInfo", INVALID_VALUE)
        give(offset, LAYOUT[index.value][0])
        give(size, LAYOUT[index.value][1])


BUFFER = ctypes.create_string_buffer(PACKED, len(PACKED))
BEGIN = ctypes.addressof(BUFFER)
POINTERS = (c_void_p * 3)(*(BEGIN + offset for offset, _ in LAYOUT))
SIZE = c_size_t(len(PACKED))
EXTRA = (c_void_p * 5)(1, BEGIN, 2, ctypes.addressof(SIZE), 0)


def called(number: int, function: int, *, packed: bool = False) -> Any:
    """The parameters of one launch function, and what they point to."""
    if number in launch_calls.EX_CALLS:
        config = LaunchConfig()
        said: Any = launch_calls.LaunchExCall(config=ctypes.pointer(config), function=function)
    else:
        config = said = launch_calls.LaunchCall(function=function)
    config.grid[:], config.block[:] = (4, 2, 1), (128, 1, 1)
    if packed:
        said.extra = ctypes.addressof(EXTRA)
    else:
        said.parameters = ctypes.addressof(POINTERS)
    return said, config


def watched(number: int, said: Any, driver: FakeDriver | None = None) -> LaunchWatch:
    watch = LaunchWatch(driver or NamingDriver())
    assert number in watch.numbers
    watch.entered(number, ctypes.addressof(said[0]))
    return watch


@pytest.mark.parametrize("function", [FUNCTION, KERNEL])
@pytest.mark.parametrize("number", [*SIMPLE, *launch_calls.EX_CALLS])
def test_kernel_grid_and_parameters_are_read(number, function):
    assert watched(number, called(number, function)).launches == [EXPECTED]


@pytest.mark.parametrize("number", [launch_calls.LAUNCH, *launch_calls.EX_CALLS])
def test_a_packed_buffer_gives_the_same_parameters(number):
    assert watched(number, called(number, FUNCTION, packed=True)).launches == [EXPECTED]


def test_the_extra_of_a_cooperative_launch_is_not_read():
    """Its parameters end before it: what follows them is anything."""
    said, config = called(launch_calls.LAUNCH_COOPERATIVE, FUNCTION)
    said.extra = 0x10
    found = watched(launch_calls.LAUNCH_COOPERATIVE, (said, config))
    assert found.launches == [EXPECTED]


def test_a_launch_that_cannot_be_read_is_a_reason_and_no_exception_in_its_callback():
    driver = FakeDriver(failing={"cuFuncGetName": 400, "cuKernelGetFunction": 400})
    found = watched(launch_calls.LAUNCH, called(launch_calls.LAUNCH, FUNCTION), driver)
    assert found.fault and "cuKernelGetFunction" in found.fault and not found.launches
