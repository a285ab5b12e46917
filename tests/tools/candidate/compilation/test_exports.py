"""What C++ sources export, read where no GPU can load them."""

from __future__ import annotations

import pytest

from kernel_harness.tools.candidate.compilation.exports import check_exports
from kernel_harness.tools.candidate.faults import CandidateError
from kernel_harness.tools.messages.candidate import BuildRequest

RUN = "void run(torch::Tensor x, torch::Tensor y, torch::Tensor out) { k<<<1, 1>>>(); }\n"
MODULE = 'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }\n'


def request(text: str, entry: str = "kernel.cu::run", inputs: int = 2, dps: bool = True):
    sources = [{"path": "kernel.cu", "content": text}, {"path": "binding.py", "content": ""}]
    spec = {
        "language": "cuda", "target_hardware": ["cuda"], "entry_point": entry,
        "destination_passing_style": dps,
    }  # fmt: skip
    solution = {"name": "s", "definition": "d", "author": "a", "spec": spec, "sources": sources}
    return BuildRequest.of(
        solution, content_hash="0" * 64, argument_count=inputs, output_count=1, cuda_arch=None
    )


@pytest.mark.parametrize(
    "text",
    [
        RUN + MODULE,
        RUN + MODULE.replace("&run", '&run, "adds; two"'),
        RUN.replace("void run", "namespace n { void run")
        + "}\n"
        + MODULE.replace("&run", "&n::run"),
        "PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {\n"
        '  m.def("run", [](torch::Tensor x, std::map<int, int> y, torch::Tensor o) {});\n}\n',
        RUN + "TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);\n",
        RUN.replace("out)", "out, int64_t blocks = 3)")
        + MODULE.replace(
            "&run", '&run, py::arg("x"), py::arg("y"), py::arg("out"), py::arg("blocks") = 3'
        ),
        "#define EXPORT(f) m.def(#f, &f)\nPYBIND11_MODULE(E, m) { EXPORT(run); }",
        'TORCH_LIBRARY(mine, m) { m.def("run", &other); }',
        RUN.replace("void", "template <int N> void") + RUN + MODULE,
        "PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def(name(), &run); }",
    ],
)
def test_what_is_exported_as_it_is_called_or_cannot_be_read_is_accepted(text):
    check_exports(request(text))


@pytest.mark.parametrize(
    ("text", "entry", "kind", "words"),
    [
        (RUN + MODULE, "kernel.cu::kernel", "entry_point", "the sources export run"),
        (RUN, "kernel.cu::run", "entry_point", "export nothing"),
        (RUN + "// " + MODULE, "kernel.cu::run", "entry_point", "export nothing"),
        (RUN + MODULE, "binding.py::run", "entry_point", "no C++ or CUDA file"),
        (RUN.replace(", torch::Tensor out", "") + MODULE, "kernel.cu::run", "signature", "takes 2"),
        (
            'PYBIND11_MODULE(E, m) { m.def("run", [](torch::Tensor x) { return x; }); }',
            "kernel.cu::run",
            "signature",
            "called with 3",
        ),
        (
            RUN.replace(", torch::Tensor out", "") + "TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);",
            "kernel.cu::run",
            "signature",
            "takes 2",
        ),
        (
            RUN + "TVM_FFI_DLL_EXPORT_TYPED_FUNC(decode, run);",
            "kernel.cu::run",
            "entry_point",
            "the sources export decode",
        ),
    ],
)
def test_what_is_not_exported_or_takes_other_arguments_is_refused(text, entry, kind, words):
    with pytest.raises(CandidateError, match=words.replace("+", r"\+")) as caught:
        check_exports(request(text, entry))
    assert caught.value.fault.kind == kind
