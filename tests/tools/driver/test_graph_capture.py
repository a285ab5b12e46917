"""A capture that was begun is ended, and what it made is given back."""

import pytest

from kernel_harness.tools.driver.graph_capture import (
    destroy_executable,
    executable_of,
    launch_graph,
)
from kernel_harness.tools.driver.library import DriverError

from .fakes import FakeDriver


def test_what_is_enqueued_becomes_a_graph_that_is_ready():
    driver = FakeDriver()
    executable = executable_of(driver, 7, lambda: driver.call("enqueue"))
    launch_graph(driver, executable, 7)
    destroy_executable(driver, executable)
    assert driver.names() == [
        "cuStreamBeginCapture_v2",
        "enqueue",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphUpload",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]
    assert executable


@pytest.mark.parametrize(
    ("failing", "ended"),
    [
        ("enqueue", True),
        ("cuStreamEndCapture", True),
        ("cuGraphInstantiateWithFlags", True),
        ("cuStreamBeginCapture_v2", False),
    ],
)
def test_a_failure_leaves_no_stream_in_capture_and_no_graph(failing, ended):
    driver = FakeDriver({failing: 900})
    with pytest.raises(DriverError, match="900"):
        executable_of(driver, 7, lambda: driver.call("enqueue"))
    names = driver.names()
    assert ("cuStreamEndCapture" in names) == ended
    assert ("cuGraphDestroy" in names) == (failing in ("enqueue", "cuGraphInstantiateWithFlags"))
