"""The choice between compiled programs is one library in which none meets another's names."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from kernel_harness.tools.archive.search.dispatch.child import dispatching_child
from kernel_harness.tools.archive.search.record_holders import Band, VirtualBest
from kernel_harness.tools.archive.store.entry import Node
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.flashinfer_trace import Solution

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")

BY_PYTHON = """
#include <Python.h>
#include "said.h"
static PyObject* run(PyObject*, PyObject* arguments) {
    PyObject *x, *said;
    if (!PyArg_ParseTuple(arguments, "OO", &x, &said)) return nullptr;
    return PyObject_CallMethod(said, "append", "s", WORD);
}
static PyMethodDef methods[] = {{"run", run, METH_VARARGS, ""}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "extension", "", -1, methods};
#define PASTE(a, b) a##b
#define INIT(name) PASTE(PyInit_, name)
PyMODINIT_FUNC INIT(TORCH_EXTENSION_NAME)() { return PyModule_Create(&module); }
"""
BY_PYBIND = """
#include <pybind11/pybind11.h>
#include "said.h"
void run(pybind11::object x, pybind11::object said) { said.attr("append")(word()); }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""
SAID = """#pragma once
#include <string>
#define WORD "%s"
struct Word { std::string text = WORD; };
template <class T> struct Held { T held; };
std::string word();
"""
WORD = """#include "said.h"
std::string word() { return Held<Word>().held.text; }
"""


def sources(binding: str, word: str) -> dict[str, str]:
    """A program of three files; another has the same names, macros and templates in it."""
    return {"binding.cpp": binding, "said.h": SAID % word, "lib/word.cpp": WORD}


@pytest.fixture
def archived(bench, definition, trial):
    """Archives a program of some files, the first of which is its entry."""

    def archive(name: str, files: Mapping[str, str], **spec: object) -> Node:
        solution, record = trial(f"e-{name}")
        changed = solution.model_dump() | {"name": name}
        changed["sources"] = [{"path": path, "content": text} for path, text in files.items()]
        changed["spec"] |= {"language": "cpp", "binding": "torch"}
        changed["spec"] |= {"entry_point": f"{next(iter(files))}::run"} | spec
        mine = Solution.model_validate(changed)
        update = {"content_hash": mine.content_hash(), "signature": None}
        return bench.archive.add(
            solution=mine,
            evaluation=bench.archive.keys.signed(record.model_copy(update=update)),
            definition=definition,
            hypothesis="Compiled.",
        ).node

    return archive


@pytest.fixture
def joined(bench, definition, archived):
    """Makes the child of two programs, the first for up to 8 rows."""

    def join(first: Mapping[str, str], second: Mapping[str, str], **spec: object) -> Solution:
        small, large = archived("small", first), archived("large", second, **spec)
        bands = (Band(1, 4, small, 1.0, 2.0), Band(16, 64, large, 1.0, 1.0))
        return dispatching_child(
            bench.archive, definition, VirtualBest("m", large, bands, 1.0, 2.0)
        )

    return join


def built(child: Solution, folder: Path, *include: str) -> ModuleType:
    """The child's library as a builder makes one: each source by itself, without a GPU."""
    for source in child.sources:
        path = folder / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.content, "utf-8")
    compiled = [source.path for source in child.sources if source.path.endswith(".cpp")]
    assert len({Path(path).name for path in compiled}) == len(compiled)  # as torch's builder needs
    library = folder / "library.so"
    command = ["g++", "-shared", "-fPIC", "-O0", "-std=c++20", f"-I{folder}"]
    command += [f"-I{path}" for path in (sysconfig.get_path("include"), *include)]
    command += ["-DTORCH_EXTENSION_NAME=library", "-o", str(library)]
    subprocess.run([*command, *compiled], cwd=folder, check=True, timeout=240)
    loader = importlib.machinery.ExtensionFileLoader("library", str(library))
    spec = importlib.util.spec_from_loader("library", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def said_at(module: ModuleType, size: int) -> list[str]:
    said: list[str] = []
    module.run(SimpleNamespace(shape=(size, 64)), said)
    return said


@needs_compiler
def test_each_size_is_called_in_its_own_program(joined, tmp_path):
    child = joined(sources(BY_PYTHON, "small"), sources(BY_PYTHON, "large"))
    assert (child.spec.language, child.spec.binding) == ("cpp", "torch")
    module = built(child, tmp_path)
    assert [said_at(module, size) for size in (1, 8, 9, 99)] == [["small"]] * 2 + [["large"]] * 2
    shapes = [SimpleNamespace(shape=shape) for shape in ((), "a", None)]
    for wrong in ((), (object(), []), *((shape, []) for shape in shapes)):
        with pytest.raises((TypeError, AttributeError, IndexError)):
            module.run(*wrong)


@pytest.mark.long
@needs_compiler
def test_programs_bound_by_pybind_share_no_template_and_no_function(joined, tmp_path):
    """Of two definitions of one weak name the linker would take either without a word."""
    torch = pytest.importorskip("torch")
    child = joined(sources(BY_PYBIND, "small"), sources(BY_PYBIND, "large"))
    module = built(child, tmp_path, str(Path(torch.__file__).parent / "include"))
    assert (said_at(module, 1), said_at(module, 64)) == (["small"], ["large"])


@needs_compiler
@pytest.mark.long
def test_a_child_can_be_a_parent(joined, archived, bench, definition, tmp_path):
    inner = joined(sources(BY_PYTHON, "small"), sources(BY_PYTHON, "large"))
    files = {source.path: source.content for source in inner.sources}
    both = archived("both", files)
    huge = archived("huge", sources(BY_PYTHON, "huge"))
    bands = (Band(1, 64, both, 1.0, 2.0), Band(256, 256, huge, 1.0, 1.0))
    child = dispatching_child(bench.archive, definition, VirtualBest("m", huge, bands, 1.0, 2.0))
    module = built(child, tmp_path)
    assert [said_at(module, size)[0] for size in (1, 64, 999)] == ["small", "large", "huge"]


LINKED = 'extern "C" void start() {}\n'


@pytest.mark.parametrize(
    ("change", "spec", "words"),
    [
        (("PyMODINIT_FUNC", "PyMODINIT_FUNC"), {"binding": "tvm-ffi"}, "bound by tvm-ffi"),
        (("(TORCH_EXTENSION_NAME)", "(library)"), {}, "exports its function in another way"),
        (("#include <Python.h>", LINKED + "#include <Python.h>"), {}, "by C's linkage"),
        (("#include <Python.h>", "#include PYTHON"), {}, "what a macro names"),
        (("run", "run"), {"entry_point": "binding.cpp::a.b"}, "is no function"),
        (("run", "run"), {"destination_passing_style": False}, "some fill their outputs"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_words(joined, change, spec, words):
    other = sources(BY_PYTHON.replace(*change), "large")
    with pytest.raises(RequestError, match=words) as refused:
        joined(sources(LINKED + BY_PYTHON, "small"), other, **spec)
    assert "by hand" in str(refused.value)


def test_one_program_may_have_functions_by_c_s_linkage(joined):
    assert joined(sources(LINKED + BY_PYTHON, "small"), sources(BY_PYTHON, "large"))
