"""The templates by name, each as a solution that compiles and computes nothing yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import unknown_name
from ...schema.flashinfer_trace import Definition, Solution
from . import cuda, python


@dataclass(frozen=True)
class Kind:
    """How a template is built and called.

    Attributes:
        sources: makes its files.
        dependencies: packages that it needs.
    """

    language: str
    entry_point: str
    sources: Callable[[Definition], dict[str, str]]
    binding: str | None = None
    dependencies: tuple[str, ...] = ()


KINDS = {
    "triton": Kind("triton", "kernel.py::run", lambda d: {"kernel.py": python.triton_source(d)}),
    "torch": Kind("cuda", "binding.cpp::run", cuda.torch_sources, "torch", ("torch",)),
    "tvm_ffi": Kind("cuda", "kernel.cu::run", cuda.tvm_ffi_sources, "tvm-ffi", ("apache-tvm-ffi",)),
    "nvrtc": Kind("python", "kernel.py::run", cuda.nvrtc_sources, None, ("torch",)),
}


def template_solution(definition: Definition, name: str) -> Solution:
    """The template of this name for an operator.

    Raises:
        RequestError: when there is none of that name.
    """
    kind = KINDS.get(name.replace("-", "_"))
    if kind is None:
        raise unknown_name("template", name, KINDS)
    return Solution.model_validate(
        {
            "name": f"{definition.name}_{name}_template",
            "definition": definition.name,
            "author": "template",
            "spec": {
                "language": kind.language,
                "binding": kind.binding,
                "target_hardware": ["cuda"],
                "entry_point": kind.entry_point,
                "destination_passing_style": True,
                "dependencies": list(kind.dependencies),
            },
            "sources": [{"path": p, "content": c} for p, c in kind.sources(definition).items()],
        }
    )
