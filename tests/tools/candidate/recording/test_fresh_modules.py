"""A cubin is loaded once, however often it is asked about."""

from __future__ import annotations

from typing import Any

from kernel_harness.tools.candidate.recording.fresh_modules import FreshModules

from ...driver.fakes import FakeDriver, give, make_cubin

INVALID_IMAGE = 200
NOT_FOUND = 500
CUBIN = make_cubin(("step",))


class Modules(FakeDriver):
    """A driver whose modules have one variable of four bytes."""

    def _cuModuleGetGlobal_v2(self, address: Any, nbytes: Any, _module: Any, name: bytes) -> None:
        give(address, 0x7F00)
        give(nbytes, 4)

    def _cuFuncGetAttribute(self, value: Any, *rest: Any) -> None:
        give(value, 10 + rest[0].value)


def test_a_cubin_is_loaded_once_for_all_that_is_asked_of_it():
    driver = Modules()
    fresh = FreshModules(driver)
    for _ in range(3):
        assert fresh.attributes(CUBIN, "step") == [10, 11, 12, 13, 14, 15, 16]
        assert [len(held) for held in fresh.contents(CUBIN, ["table"]).values()] == [4]
    assert driver.names().count("cuModuleLoadData") == 1
    assert driver.names().count("cuModuleGetFunction") == 1
    assert driver.names().count("cuModuleGetGlobal_v2") == 1


def test_a_cubin_that_does_not_load_agrees_with_nothing():
    driver = Modules({"cuModuleLoadData": INVALID_IMAGE})
    fresh = FreshModules(driver)
    assert fresh.attributes(CUBIN, "step") is None
    assert fresh.contents(CUBIN, ["table"]) == {}
    assert driver.names() == ["cuModuleLoadData"]


def test_what_a_cubin_has_not_is_none():
    fresh = FreshModules(
        Modules({"cuModuleGetFunction": NOT_FOUND, "cuModuleGetGlobal_v2": NOT_FOUND})
    )
    assert fresh.attributes(CUBIN, "other") is None
    assert fresh.contents(CUBIN, ["other"]) == {}
