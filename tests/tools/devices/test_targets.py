"""Targets are devices and architectures, by the names that people use."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from kernel_harness.tools.devices.targets import (
    architectures_of,
    compiled_targets,
    devices_of,
    meant,
    suits,
    targets_named,
)
from kernel_harness.tools.errors import RequestError

TABLE = Path(str(files("kernel_harness.kernels"))) / "hardware.json"
BOTH = ("sm_90", "sm_100")


def test_devices_and_architectures_are_named_in_any_spelling():
    names = ["b200", " NVIDIA_H200 ", "sm_100a", "SM90", "10.0", "100f"]
    assert targets_named(names, TABLE) == ("B200", "H200", "sm_100", "sm_90", "sm_100", "sm_100")
    assert targets_named([], Path("/nowhere")) == ()
    with pytest.raises(RequestError, match="B200"):
        targets_named(["B300X"], TABLE)


def test_an_architecture_stands_for_its_devices_where_floors_are_asked_for():
    assert devices_of(["sm_90"], TABLE) == ["H100-SXM", "H100-PCIe", "H200"]
    assert devices_of(["B200", "sm_100"], TABLE) == ["B200"]
    assert devices_of([], Path("/nowhere")) == []


def test_general_words_name_no_architecture():
    assert architectures_of(["cuda", "GPU", "whatever"]) == []
    assert architectures_of(["H100", "NVIDIA B200", "sm_120"]) == ["sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("asked", "hardware", "targets"),
    [
        ((), ["cuda"], ["sm_90", "sm_100"]),
        ((), ["B200"], ["sm_100"]),
        ((), ["sm_100a"], ["sm_100"]),
        (["B200"], ["cuda"], ["sm_100"]),
        (["H200", "sm_80"], ["cuda"], ["sm_90", "sm_80"]),
        (["H200"], ["B200"], ["sm_100"]),
        (["H200", "B200"], ["B200", "A100-SXM-80GB"], ["sm_100"]),
    ],
)
def test_a_candidate_is_compiled_for_what_is_asked_and_what_it_is_for(asked, hardware, targets):
    assert compiled_targets(asked, hardware, BOTH) == targets


def test_a_name_of_a_target_finds_the_device_that_is_meant():
    known = ["device", "H200", "B200"]
    assert [meant(name, known) for name in ("b200", "sm_100a", "NVIDIA H200")] == [
        "B200",
        "B200",
        "H200",
    ]
    assert meant("B300X", known) is None


def test_a_program_for_another_architecture_is_not_one_for_this_device():
    assert (
        suits(["cuda"], "9.0") and suits(["cuda", "cpu"], "NVIDIA B200") and suits(["sm_90"], None)
    )
    assert suits(["sm_90"], "9.0") and suits(["H200"], "NVIDIA H100 80GB HBM3")
    assert suits(["sm_100", "H100"], "NVIDIA H200") and suits(["sm_90"], "Some GPU")
    assert not suits(["sm_100"], "9.0") and not suits(["sm_90"], "NVIDIA B200")
