"""What is launched on the default stream is enqueued on the captured stream, and only that."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from kernel_harness.tools.candidate.recording import default_stream, launch_calls
from kernel_harness.tools.candidate.recording.default_stream import DefaultStreamMirror
from kernel_harness.tools.driver.structures import LaunchConfig

from ...driver.fakes import FakeDriver

CAPTURED, OTHER = 0xCA9, 0x777
DEFAULTS = [None, 1]


def enter(mirror: DefaultStreamMirror, number: int, said: Any) -> None:
    mirror.entered(number, ctypes.addressof(said))


def launch(stream: int | None) -> Any:
    said = launch_calls.LaunchCall(function=0xF, shared_bytes=96, stream=stream)
    said.parameters, said.extra = 0xAA0, 0
    said.grid[:], said.block[:] = (4, 2, 1), (128, 1, 1)
    return said


@pytest.mark.parametrize("stream", DEFAULTS)
@pytest.mark.parametrize(
    ("number", "function"),
    [
        (launch_calls.LAUNCH, "cuLaunchKernel"),
        (launch_calls.LAUNCH_COOPERATIVE, "cuLaunchCooperativeKernel"),
    ],
)
def test_a_launch_on_the_default_stream_is_enqueued_on_the_captured_one(number, function, stream):
    driver = FakeDriver()
    enter(DefaultStreamMirror(driver, CAPTURED), number, launch(stream))
    ((name, given),) = driver.calls
    assert name == function
    assert given[:10] == (0xF, 4, 2, 1, 128, 1, 1, 96, CAPTURED, 0xAA0)


def test_a_launch_with_attributes_keeps_them_and_leaves_the_callers_own_alone():
    driver = FakeDriver()
    config = LaunchConfig(stream=None, shared_bytes=64, attribute_count=3)
    config.grid[:] = (7, 1, 1)
    said = launch_calls.LaunchExCall(ctypes.pointer(config), 0xF, 0xAA0, 0)
    seen: list[tuple[int, int, int]] = []

    def call(function: str, *arguments: Any) -> None:
        other = arguments[0]._obj
        seen.append((other.stream, other.attribute_count, other.grid[0]))

    driver.call = call  # pyright: ignore[reportAttributeAccessIssue]
    enter(DefaultStreamMirror(driver, CAPTURED), launch_calls.LAUNCH_EX, said)
    assert seen == [(CAPTURED, 3, 7)]
    assert config.stream is None


@pytest.mark.parametrize("number", default_stream._MEMSETS)
def test_a_memset_on_the_default_stream_is_enqueued_too(number):
    driver = FakeDriver()
    name, layout = default_stream._MEMSETS[number]
    said = layout(address=0x1000, value=9, count=33, stream=None)
    enter(DefaultStreamMirror(driver, CAPTURED), number, said)
    assert driver.calls == [(name, (0x1000, 9, 33, CAPTURED))]


@pytest.mark.parametrize(
    "number", [default_stream.COPY, default_stream.COPY_ON_DEVICE, default_stream.COPY_FROM_HOST]
)
def test_a_copy_on_the_default_stream_is_enqueued_too(number):
    driver = FakeDriver()
    said = default_stream._Copy(0x2000, 0x1000, 64, None)
    enter(DefaultStreamMirror(driver, CAPTURED), number, said)
    assert driver.calls == [("cuMemcpyAsync", (0x2000, 0x1000, 64, CAPTURED))]


def test_what_goes_to_another_stream_is_captured_or_not_without_this():
    driver = FakeDriver()
    mirror = DefaultStreamMirror(driver, CAPTURED)
    enter(mirror, launch_calls.LAUNCH, launch(OTHER))
    enter(mirror, launch_calls.LAUNCH, launch(CAPTURED))
    enter(mirror, default_stream.COPY, default_stream._Copy(0x2000, 0x1000, 64, OTHER))
    assert not driver.calls and mirror.fault is None


@pytest.mark.parametrize("number", default_stream.WAITS)
def test_a_wait_for_the_device_is_why_the_call_cannot_be_replayed(number):
    mirror = DefaultStreamMirror(FakeDriver(), CAPTURED)
    assert number in mirror.numbers
    mirror.entered(number, 0)
    assert mirror.fault and "waits for the device" in mirror.fault


def test_a_launch_that_the_driver_refuses_is_a_reason_and_no_exception_in_its_callback():
    driver = FakeDriver(failing={"cuLaunchKernel": 1})
    mirror = DefaultStreamMirror(driver, CAPTURED)
    enter(mirror, launch_calls.LAUNCH, launch(None))
    assert mirror.fault and "cuLaunchKernel" in mirror.fault
