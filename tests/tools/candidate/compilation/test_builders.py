"""From sources to a function: what builds, how failures are told, what is kept for later."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.candidate.compilation.compile_flags import (
    light_header_serves,
    needs_every_caster,
)
from kernel_harness.tools.messages.candidate import BuildRequest
from kernel_harness.tools.messages.frames import EXCERPT_CHARACTERS

pytestmark = pytest.mark.process

TORCH = {"language": "cpp", "binding": "torch", "entry_point": "main.cpp::run"}
EXTENSION_SOURCE = """
#include <Python.h>
#define PASTE(a, b) a##b
#define INIT(name) PASTE(PyInit_, name)
static PyObject* run(PyObject*, PyObject* arguments) {
  PyObject *x, *out;
  if (!PyArg_ParseTuple(arguments, "OO", &x, &out)) return nullptr;
  PyObject* doubled = PyObject_CallMethod(x, "mul", "i", 2);
  return doubled ? PyObject_CallMethod(out, "copy_", "O", doubled) : nullptr;
}
static PyMethodDef methods[] = {{"run", run, METH_VARARGS, ""}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "extension", "", -1, methods};
PyMODINIT_FUNC INIT(TORCH_EXTENSION_NAME)() { return PyModule_Create(&module); }
"""


def test_sources_form_a_package_with_relative_imports(candidate):
    sources = {
        "pkg/kernel.py": "from .parts.scale import BY\ndef run(x, out):\n    out.copy_(x * BY)\n",
        "pkg/parts/scale.py": "from ..base import TWO\nBY = TWO\n",
        "pkg/base.py": "TWO = 2\n",
    }
    assert candidate.build(sources, entry_point="pkg/kernel.py::run").fault is None
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is None and torch.equal(snapshot, torch.full((2,), 2.0))


@pytest.mark.parametrize("path", ["kernel.v2.py", "v1.0/k.py", "v1.0/try.2/kernel.v2.py"])
def test_a_source_may_have_dots_in_its_name_and_a_byte_order_mark(candidate, path):
    text = "from .base import TWO\ndef run(x, out):\n    out.copy_(x * TWO)\n"
    beside = str(Path(path).parent / "base.py")
    sources = {path: "\ufeff" + text, beside: "TWO = 2\n"}
    built = candidate.build(sources, entry_point=f"{path}::run")
    assert built.fault is None
    _, (snapshot,) = candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert torch.equal(snapshot, torch.full((2,), 2.0))


@pytest.mark.parametrize(
    ("sources", "options", "kind", "words"),
    [
        (
            {"kernel.py": "def run(x, out)\n    pass\n"},
            {},
            "syntax_error",
            ["kernel.py, line 1", "def run(x, out)\n", "^"],
        ),
        ({"kernel.py": "import no_such_thing\n"}, {}, "import_error", ["no_such_thing"]),
        (
            {"kernel.py": "from base import A\n", "base.py": "A = 1\n"},
            {},
            "import_error",
            ["from .base import"],
        ),
        ({"kernel.py": "import reference\n"}, {}, "import_error", ["beside the sources"]),
        ({"kernel.py": "1 / 0\n"}, {}, "exception", ["(kernel.py:1 in <module>: 1 / 0)"]),
        ({"kernel.py": "def walk(x, out): ...\n"}, {}, "entry_point", ["walk"]),
        ({"kernel.py": "run = 3\n"}, {}, "entry_point", ["not callable"]),
        ({"kernel.py": "def run(x): ...\n"}, {}, "signature", ["run(x)", "2 positional"]),
        ({"kernel.py": "def run(x, out, *, k): ...\n"}, {}, "signature", ["'k'"]),
        ({"kernel.py": ""}, {"entry_point": "other.py::run"}, "entry_point", ["kernel.py"]),
        ({"kernel.py": ""}, {"entry_point": "kernel.py"}, "entry_point", ["file::function"]),
        ({"../kernel.py": ""}, {"entry_point": "../kernel.py::run"}, "source_path", [".."]),
        ({"kernel.rs": ""}, {"language": "rust", "entry_point": "kernel.rs::run"}, "language", []),
        ({"kernel.py": "raise SystemExit(0)\n"}, {}, "exit", ["0"]),
        ({"main.cpp": "int x;"}, {**TORCH, "binding": None}, "binding", ["PYBIND11_MODULE"]),
    ],
)
def test_each_way_a_build_fails_is_named_with_its_place(candidate, sources, options, kind, words):
    built = candidate.build(sources, **options)
    assert built.fault is not None and built.fault.kind == kind
    told = f"{built.fault.message}\n{built.fault.excerpt}"
    assert all(word in told for word in words), told
    assert str(candidate.private) not in told


def test_defaults_and_star_arguments_fit_any_count(candidate):
    for source in ("def run(*tensors): ...\n", "def run(x, out, block=4): ...\n"):
        assert (
            candidate.build({"kernel.py": source}, content_hash=source.encode().hex()).fault is None
        )


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compile_error_is_cut_to_the_compilers_first_words(candidate):
    built = candidate.build({"main.cpp": "\n\nint unknown = nowhere;\n"}, **TORCH)
    assert built.fault is not None and built.fault.kind == "compile_error"
    assert "main.cpp:3" in built.fault.excerpt and "nowhere" in built.fault.excerpt
    assert len(built.fault.excerpt) <= EXCERPT_CHARACTERS


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_library_is_kept_and_found_again(interpreting):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cache = Path(folder, "cache")
        cache.mkdir()
        for attempt in (1, 2):
            end = interpreting.spawn(Path(folder, str(attempt)), cache_dir=str(cache))
            built = end.build({"main.cpp": EXTENSION_SOURCE}, **TORCH)
            assert built.fault is None, built.fault
            assert built.cached is (attempt == 2)
            called, (snapshot,) = end.call([torch.ones(3)], [torch.zeros(3)])
            assert called.fault is None and torch.equal(snapshot, torch.full((3,), 2.0))
            end.close()
        assert sorted(p.name.partition("-")[0] for p in cache.iterdir()) == ["native", "object"]


def test_candidate_code_has_no_way_into_the_cache(interpreting):
    """Once any of its code runs, its only socket is the judge's, and the cache is not there."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cache = Path(folder, "cache")
        (cache / "native-of-another").mkdir(parents=True)
        (cache / "native-of-another" / "kernel.so").write_bytes(b"elf")
        end = interpreting.spawn(Path(folder, "one"), cache_dir=str(cache))
        source = (
            "import os, stat\n"
            "kinds = [os.fstat(int(fd)).st_mode for fd in os.listdir('/proc/self/fd')\n"
            "         if os.path.exists(f'/proc/self/fd/{fd}')]\n"
            "assert sum(map(stat.S_ISSOCK, kinds)) == 1, kinds\n"
            "def run(x, out): ...\n"
        )
        built = end.build({"kernel.py": source})
        assert built.fault is None, built.fault
        for number, probe in enumerate(
            (
                f"open({str(cache / 'x')!r}, 'w')\n",
                f"open({str(cache / 'native-of-another' / 'kernel.so')!r}, 'rb')\n",
                f"import os; os.listdir({str(cache)!r})\n",
            )
        ):
            source = f"{probe}def run(x, out): ...\n"
            built = end.build({"kernel.py": source}, content_hash=f"{number:040x}")
            assert built.fault is not None and built.fault.kind == "exception"
            assert re.search("PermissionError|FileNotFoundError|Read-only", built.fault.message)
        end.close()
        assert [path.name for path in cache.iterdir()] == ["native-of-another"]


ASSEMBLED = """
#define PASTE_(a, b) a##b
PASTE_(as, m)(".data\\n.globl carried\\ncarried: .inc" "bin \\"impl.cpp\\", 0, 1\\n.text");
extern "C" char carried;
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_source_that_is_read_unseen_is_never_an_earlier_candidate_s(interpreting):
    """What names no file as any directive does is compiled where only its key's texts lie."""
    main = ASSEMBLED + EXTENSION_SOURCE.replace('"i", 2', '"i", (int)carried')
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cache = Path(folder, "cache")
        cache.mkdir()
        for number, first in enumerate("/ "):
            end = interpreting.spawn(Path(folder, str(number)), cache_dir=str(cache))
            sources = {"main.cpp": main, "impl.cpp": f"{first}{'/' if first == '/' else ''}\n"}
            built = end.build(sources, content_hash=f"{number:040x}", **TORCH)
            assert built.fault is None, built.fault
            called, (snapshot,) = end.call([torch.ones(3)], [torch.zeros(3)])
            assert called.fault is None
            assert torch.equal(snapshot, torch.full((3,), float(ord(first))))
            end.close()


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.long
def test_a_changed_kernel_beside_an_unchanged_binding_is_compiled_alone(interpreting):
    def kept(cache: Path) -> set[str]:
        return {path.name for path in cache.iterdir() if path.name.startswith("object-")}

    changes = [
        {"kernel.cpp": '#include "by.h"\nint by() { return BY; }', "by.h": "#define BY 2"},
        {"kernel.cpp": '#include "by.h"\nint by() { return +BY; }', "by.h": "#define BY 2"},
        # A header may be included by any file, so all are made anew.
        {"kernel.cpp": '#include "by.h"\nint by() { return +BY; }', "by.h": "#define BY 3"},
    ]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        cache = Path(folder, "cache")
        cache.mkdir()
        new: list[int] = []
        for number, sources in enumerate(changes):
            before = kept(cache)
            end = interpreting.spawn(Path(folder, str(number)), cache_dir=str(cache))
            binding = EXTENSION_SOURCE.replace('"i", 2', '"i", by()')
            sources["main.cpp"] = f"int by();\n{binding}"
            built = end.build(sources, content_hash=f"{number:040x}", **TORCH)
            assert built.fault is None and not built.cached, built.fault
            called, (snapshot,) = end.call([torch.ones(3)], [torch.zeros(3)])
            assert called.fault is None
            assert torch.equal(snapshot, torch.full((3,), 3.0 if number == 2 else 2.0))
            end.close()
            new.append(len(kept(cache) - before))
        assert new == [2, 1, 2]


def torch_request(source: str) -> BuildRequest:
    return BuildRequest(
        language="cpp",
        binding="torch",
        entry_point="main.cpp::run",
        destination_passing_style=True,
        sources=[{"path": "main.cpp", "content": source}],
        content_hash="0",
        argument_count=1,
        output_count=1,
    )


@pytest.mark.parametrize(
    ("source", "light", "casters"),
    [
        ("torch::Tensor f(torch::Tensor x) { return torch::empty_like(x); }", True, False),
        ("auto o = torch::zeros({2}, torch::dtype(torch::kFloat32));", True, False),
        ("void f(at::Tensor x, at::ScalarType type);", True, True),
        ("void f(torch::Tensor x, torch::IntArrayRef shape);", True, True),
        ("auto o = torch::softmax(x, 0);", False, False),
        ("torch::autograd::Variable v;", False, False),
    ],
)
def test_a_source_gets_the_headers_that_it_names(source, light, casters):
    request = torch_request(source)
    assert light_header_serves(request) is light
    assert needs_every_caster(request) is casters


@pytest.mark.skipif("tvm_ffi" in sys.modules, reason="tvm-ffi is loaded")
def test_a_missing_binding_library_says_what_to_install(candidate):
    try:
        import tvm_ffi  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        built = candidate.build({"main.cpp": "int x;"}, **{**TORCH, "binding": "tvm-ffi"})
        assert built.fault is not None and built.fault.kind == "toolchain"
        assert "pip install apache-tvm-ffi" in built.fault.message
    else:
        pytest.skip("tvm-ffi is installed")
