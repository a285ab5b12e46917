"""What a program imports of packages is imported once, where a fork carries it over."""

from __future__ import annotations

import sys
import threading

import pytest
import torch

from kernel_harness.tools.collecting.user_program import in_place_of
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
    assert preload([package("broken", "raise OSError\n"), name, "not_there_at_all"], [], {}) is None
    assert sys.modules[name].A == 1


def test_a_thread_that_was_begun_is_no_start_for_a_program(package):
    source = "import threading\nENDED = threading.Event()\n"
    name = package("busy_library", source + "threading.Thread(target=ENDED.wait).start()\n")
    others = package("outer_library", "import busy_library\n")
    idle = package("idle_library", "A = 1\n")
    try:
        assert preload([idle, name, others], [], {}) == "busy_library starts threads"
    finally:
        sys.modules[name].ENDED.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(5)


def test_a_module_that_may_have_taken_an_original_is_no_start_for_a_program(package):
    package("holds_it", "def norm(x):\n    return x\n")
    name = package("takes_it", "from holds_it import norm\n")
    said = preload([name], ["holds_it.norm"], {})
    assert said == "a function is replaced that they may hold"


def test_what_a_program_sets_before_it_imports_is_no_start_for_it(package, monkeypatch):
    name = package("reads_it", "import os\nMODE = os.environ.get('MODE_OF_IT')\n")
    other = package("sets_it", "import os\nos.environ['LEVEL_OF_IT'] = '2'\n")
    monkeypatch.delenv("LEVEL_OF_IT", raising=False)
    said = preload([name, other], [], {"MODE_OF_IT": "fast", "LEVEL_OF_IT": "2"})
    assert said == "the program sets variables of the environment"
    # What modules set themselves is no difference.
    monkeypatch.delenv("LEVEL_OF_IT")
    del sys.modules[name], sys.modules[other]
    assert preload([name, other], [], {"LEVEL_OF_IT": "2"}) is None


def test_words_and_folder_are_the_programs_while_packages_are_imported(package, tmp_path):
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "of_both.py").write_text("OWN = True\n", "utf-8")
    package("of_both", "OWN = False\n")
    name = package("asks_words", "import sys\nimport of_both\nWORDS = sys.argv\n")
    words, places = list(sys.argv), list(sys.path)
    program = (str(folder / "bench.py"), "--fast")
    with in_place_of(program):
        assert preload([name], [], {}) is None
    assert sys.modules[name].WORDS == list(program) and sys.modules["of_both"].OWN
    assert (sys.argv, sys.path) == (words, places)


def test_a_file_that_is_open_would_be_read_by_one_run_alone(package, tmp_path):
    (tmp_path / "lines.txt").write_text("1\n", "utf-8")
    name = package("reads_later", f"LINES = open({str(tmp_path / 'lines.txt')!r})\n")
    assert preload([name], [], {}) == "reads_later opens files"
    sys.modules[name].LINES.close()


def test_a_module_that_exits_ends_no_run(package):
    name = package("exits", "raise SystemExit(5)\n")
    assert preload([name], [], {}) == "exits ends its process"


def test_a_module_asks_for_devices_without_beginning_to_use_one(package, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    name = package("asks", "import torch\nFOUND = torch.cuda.is_available()\n")
    before = torch.cuda.is_available
    assert preload([name], [], {}) is None and sys.modules[name].FOUND is True
    assert torch.cuda.is_available is before


@pytest.mark.parametrize(("code", "fit"), [(3, True), (0, False), (100, False)])
def test_a_driver_that_was_begun_is_no_start_for_a_program(monkeypatch, code, fit):
    class Library:
        def call(self, function, *arguments):
            if code:
                raise preloading.DriverError(function, code)

    monkeypatch.setattr(preloading, "CudaDriver", Library)
    assert (preload([], [], {}) is None) is fit


def test_methods_are_found_by_their_classes_and_functions_may_have_been_taken():
    names = ["torch.nn.Linear.forward", "torch.nn.functional.linear", "not_there.at_all"]
    assert functions_of_modules(names) == names[1:]
