"""The choice between CUDA programs bound by torch: one library, a namespace for each. Pure.

Each part keeps its own binding, so that nothing has to be known of how its function is declared:
its module is made under the part's name, and the entry passes a call on to the function in it. That
costs the call one look at a shape and one call of Python's more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from string import Template

from .cpp_namespace import COMPILED, in_namespace, shared_linkage
from .cpp_namespace import why_not as why_no_namespace
from .parts import Choice, Part

ENTRY_FILE = "main.cpp"
_MODULE_NAME = "TORCH_EXTENSION_NAME"
_MODULE = re.compile(rf"\bPYBIND11_MODULE\s*\(\s*{_MODULE_NAME}\b|\(\s*{_MODULE_NAME}\s*\)\s*\(\)")


def why_not(parts: Sequence[Part]) -> str:
    """Why the parts do not fit into one library; empty when they do."""
    sharing: list[str] = []
    for part in parts:
        who = f"{part.node.name} ({part.node.candidate_id})"
        if sum(map(_modules, part.files.values())) != 1:
            words = f"PYBIND11_MODULE({_MODULE_NAME}, …)"
            return f"{who} exports its function in another way than by one {words}"
        if not part.solution.entry_function.isidentifier():
            return f"{part.solution.spec.entry_point!r}, the entry of {who}, is no function"
        if words := why_no_namespace(part.files):
            return f"In {who} {words}"
        if any(map(shared_linkage, part.files.values())):
            sharing.append(who)
    if len(sharing) > 1:
        return f"{' and '.join(sharing)} have functions by C's linkage, or operators of torch's"
    return ""


def _modules(text: str) -> int:
    """How many modules of the extension's own name a source makes; parts' are of other names."""
    return 0 if f"#define {_MODULE_NAME}" in text else len(_MODULE.findall(text))


def cuda_files(choice: Choice, parts: Sequence[Part]) -> Mapping[str, str]:
    """The entry, and each part's files in a folder of its own.

    Compiled ones have the part's name: torch's own builder calls objects by the file alone.
    """
    files = {ENTRY_FILE: _entry(choice, parts)}
    for part in parts:
        opening = f"#undef {_MODULE_NAME}\n#define {_MODULE_NAME} {part.name}\n"
        for path, text in in_namespace(part.files, part.name, opening).items():
            place = PurePosixPath(part.name, path)
            if path.endswith(COMPILED):
                place = place.with_name(f"{part.name}_{place.name}")
            files[str(place)] = text
    return files


def _entry(choice: Choice, parts: Sequence[Part]) -> str:
    names = [part.name for part in parts]
    comment = [
        f"Chooses by {choice.axis} between candidates of the archive, each in its own namespace.",
        "",
        *choice.described,
        "Archive it with all of them as its parents.",
    ]
    calls = [
        f"    if (size <= {bound}) return {_CALL.format(part.name)};" for bound, part in choice.upto
    ]
    calls.append(f"    return {_CALL.format(choice.last.name)};")
    found = " &&\n".join(
        f'        ({part.name} = function_of(PyInit_{part.name}(), spec, "{part.name}",'
        f' "{part.solution.entry_function}"))'
        for part in parts
    )
    return _ENTRY.substitute(
        comment="\n".join(f"// {line}".rstrip() for line in comment),
        declared="\n".join(f"PyObject* PyInit_{name}();" for name in names),
        functions="\n".join(f"static PyObject* {name};" for name in names),
        argument=choice.argument,
        dimension=choice.dimension,
        calls="\n".join(calls),
        found=found,
    )


_CALL = "PyObject_Vectorcall({}, arguments, count, names)"
_ENTRY = Template(
    """\
$comment
#include <Python.h>

extern "C" {
$declared
}

$functions

// The function of a part's module, which pybind11 3 leaves to be made of its definition.
static PyObject* function_of(PyObject* made, PyObject* own_spec, const char* part,
                             const char* name) {
    if (!made) return nullptr;
    if (PyObject_TypeCheck(made, &PyModuleDef_Type)) {
        PyModuleDef* definition = reinterpret_cast<PyModuleDef*>(made);
        PyObject* kind = reinterpret_cast<PyObject*>(Py_TYPE(own_spec));
        PyObject* spec = PyObject_CallFunction(kind, "sO", part, Py_None);
        made = spec ? PyModule_FromDefAndSpec(definition, spec) : nullptr;
        if (!made || PyObject_SetAttrString(made, "__spec__", spec) < 0) return nullptr;
        if (PyModule_ExecDef(made, definition) < 0) return nullptr;
    }
    return PyObject_GetAttrString(made, name);
}

// Calls the candidate that was the fastest at this size.
static PyObject* run(PyObject*, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    if (count <= $argument) {
        PyErr_SetString(PyExc_TypeError, "run takes its arguments by position");
        return nullptr;
    }
    PyObject* shape = PyObject_GetAttrString(arguments[$argument], "shape");
    PyObject* length = shape ? PySequence_GetItem(shape, $dimension) : nullptr;
    const long long size = length ? PyLong_AsLongLong(length) : -1;
    Py_XDECREF(length);
    Py_XDECREF(shape);
    if (PyErr_Occurred()) return nullptr;
$calls
}

static int find_functions(PyObject* module) {
    PyObject* spec = PyObject_GetAttrString(module, "__spec__");
    const bool found = spec &&
$found;
    Py_XDECREF(spec);
    return found ? 0 : -1;
}

static PyMethodDef methods[] = {
    {"run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(run)),
     METH_FASTCALL | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(find_functions)}, {0, nullptr}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "dispatching", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

#define JOINED(a, b) a##b
#define INIT(name) JOINED(PyInit_, name)
PyMODINIT_FUNC INIT(TORCH_EXTENSION_NAME)() { return PyModuleDef_Init(&definition); }
"""
)
