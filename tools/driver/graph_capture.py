"""Work that is enqueued on a stream, captured into a graph that one call launches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from ctypes import byref, c_int, c_ulonglong, c_void_p

from .library import Driver, DriverError

RELAXED = 2
"""CU_STREAM_CAPTURE_MODE_RELAXED: other calls of this process stay allowed meanwhile."""


def executable_of(driver: Driver, stream: int, enqueue: Callable[[], None]) -> int:
    """Captures what `enqueue` puts on the stream; returns a graph that is ready to be launched.

    Nothing of it runs. The graph's memory on the device is there once the call returns, so that the
    first launch takes no longer than the later ones.

    Raises:
        DriverError: when something that was enqueued cannot be captured; the stream is usable.
    """
    graph = _captured(driver, stream, enqueue)
    try:
        executable = c_void_p()
        driver.call("cuGraphInstantiateWithFlags", byref(executable), graph, c_ulonglong(0))
    finally:
        driver.call("cuGraphDestroy", graph)
    driver.call("cuGraphUpload", executable, c_void_p(stream))
    return executable.value or 0


def launch_graph(driver: Driver, executable: int, stream: int) -> None:
    """Enqueues the whole graph on the stream."""
    driver.call("cuGraphLaunch", c_void_p(executable), c_void_p(stream))


def destroy_executable(driver: Driver, executable: int) -> None:
    """Gives back a graph that is not running."""
    driver.call("cuGraphExecDestroy", c_void_p(executable))


def _captured(driver: Driver, stream: int, enqueue: Callable[[], None]) -> c_void_p:
    graph = c_void_p()
    driver.call("cuStreamBeginCapture_v2", c_void_p(stream), c_int(RELAXED))
    try:
        enqueue()
    except BaseException:
        # A capture that was begun has to be ended, or the stream stays in it.
        with contextlib.suppress(DriverError):
            driver.call("cuStreamEndCapture", c_void_p(stream), byref(graph))
        if graph.value:
            driver.call("cuGraphDestroy", graph)
        raise
    driver.call("cuStreamEndCapture", c_void_p(stream), byref(graph))
    return graph
