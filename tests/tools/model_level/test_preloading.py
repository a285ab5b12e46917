"""What a program imports of packages is imported once, where a fork carries it over."""

from __future__ import annotations

import sys
import threading

import pytest
import torch

from kernel_harness.tools.model_level import preloading
from kernel_harness.tools.model_level.preloading import (
    functions_of_modules,
    imported_since,
    preload,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a module of an installed package, and gives back its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(preloading, "INSTALLED", (tmp_path,))
    written: list[str] = []

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source, "utf-8")
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_modules_of_installed_packages_are_told_in_order(package):
    inner, outer = package("of_another", "A = 1\n"), package("a_library", "import of_another\n")
    known = frozenset(sys.modules)
    __import__(outer)
    assert imported_since(known, []) == [inner, outer]
    assert imported_since(known, ["a_library.norm"]) == [inner]
    assert imported_since(frozenset(sys.modules), []) == []


def test_the_programs_own_modules_are_its_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_layers.py").write_text("", "utf-8")
    known = frozenset(sys.modules)
    __import__("own_layers")
    assert "own_layers" in sys.modules and imported_since(known, []) == []
    del sys.modules["own_layers"]


def test_what_is_imported_is_there_and_what_cannot_be_is_left_out(package):
    name = package("a_library", "A = 1\n")
    assert preload([package("broken", "raise OSError\n"), name, "not_there_at_all"], []) is None
    assert sys.modules[name].A == 1


def test_a_thread_that_was_begun_is_no_start_for_a_program(package):
    source = "import threading\nENDED = threading.Event()\n"
    name = package("busy_library", source + "threading.Thread(target=ENDED.wait).start()\n")
    try:
        assert preload([name], []) == "they start threads"
    finally:
        sys.modules[name].ENDED.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(5)


def test_a_module_that_may_have_taken_an_original_is_no_start_for_a_program(package):
    package("holds_it", "def norm(x):\n    return x\n")
    name = package("takes_it", "from holds_it import norm\n")
    said = preload([name], ["holds_it.norm"])
    assert said == "a function is replaced that they may hold"


def test_a_module_asks_for_devices_without_beginning_to_use_one(package, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    name = package("asks", "import torch\nFOUND = torch.cuda.is_available()\n")
    before = torch.cuda.is_available
    assert preload([name], []) is None and sys.modules[name].FOUND is True
    assert torch.cuda.is_available is before


@pytest.mark.parametrize(("code", "fit"), [(3, True), (0, False), (100, False)])
def test_a_driver_that_was_begun_is_no_start_for_a_program(monkeypatch, code, fit):
    class Library:
        def call(self, function, *arguments):
            if code:
                raise preloading.DriverError(function, code)

    monkeypatch.setattr(preloading, "CudaDriver", Library)
    assert (preload([], []) is None) is fit


def test_methods_are_found_by_their_classes_and_functions_may_have_been_taken():
    names = ["torch.nn.Linear.forward", "torch.nn.functional.linear", "not_there.at_all"]
    assert functions_of_modules(names) == names[1:]
