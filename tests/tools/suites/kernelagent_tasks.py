"""Problems of our own in KernelAgent's form, and the verdict that each of their kernels must get.

Written from the form's description: a folder with problem.py, as KernelBench has tasks, and kernels
as files with kernel_function, which takes the inputs and what of the model its test hands over.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from .suite_case import SuiteCase

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"
PROBLEMS = {
    "scaled_product": """
        class Model(nn.Module):
            def __init__(self, scale):
                super().__init__()
                self.scale = scale

            def forward(self, a, b):
                return (a @ b) * self.scale


        def get_inputs():
            return [torch.rand(24, 16), torch.rand(16, 8)]


        def get_init_inputs():
            return [0.5]
        """,
    "layer": """
        class Model(nn.Module):
            def __init__(self, width, out):
                super().__init__()
                self.inner = nn.Linear(width, out)

            def forward(self, x):
                return F.relu(self.inner(x))


        def get_inputs():
            return [torch.randn(9, 12)]


        def get_init_inputs():
            return [12, 5]
        """,
    "no_model": """
        def get_inputs():
            return []
        """,
}
LEFT_OUT = {"no_model": "Model"}
P, WRONG = "PASSED", "INCORRECT_NUMERICAL"
KERNELS: dict[tuple[str, str], tuple[str, str]] = {
    ("scaled_product", "kernel.py"): (
        """
        import torch

        def kernel_function(a, b, scale):
            return torch.mm(a, b).mul_(scale)
        """,
        P,
    ),
    ("scaled_product", "other_names.py"): (
        """
        def kernel_function(left, right, *, scale=0.25):
            return (left @ right) * scale
        """,
        P,
    ),
    ("scaled_product", "rounded.py"): (
        """
        def kernel_function(a, b):
            return (a.bfloat16().float() @ b.bfloat16().float()) * 0.5
        """,
        WRONG,
    ),
    ("scaled_product", "triton_kernel.py"): (
        """
        import torch
        import triton
        import triton.language as tl

        @triton.jit
        def product(a, b, out, scale, inner, width):
            row, column = tl.program_id(0), tl.program_id(1)
            total = 0.0
            for k in range(inner):
                total += tl.load(a + row * inner + k) * tl.load(b + k * width + column)
            tl.store(out + row * width + column, total * scale)

        def kernel_function(a, b, scale):
            out = torch.empty(a.shape[0], b.shape[1], device=a.device)
            product[out.shape](a, b, out, scale, a.shape[1], b.shape[1])
            return out
        """,
        P,
    ),
    ("layer", "kernel.py"): (
        """
        import torch

        def kernel_function(x, weight, bias=None):
            return torch.clamp_min(torch.addmm(bias, x, weight.t()), 0)
        """,
        P,
    ),
    ("layer", "whole_names.py"): (
        """
        def kernel_function(x, inner_weight, inner_bias):
            return (x @ inner_weight.t() + inner_bias).relu()
        """,
        P,
    ),
    ("layer", "without_bias.py"): (
        """
        def kernel_function(x, weight):
            return (x @ weight.t()).relu()
        """,
        WRONG,
    ),
    ("layer", "asks_too_much.py"): (
        """
        def kernel_function(x, weight, gamma):
            return x
        """,
        "RUNTIME_ERROR",
    ),
}
"""By problem and file: the kernel, and its verdict without a GPU."""


def write_problems(folder: Path) -> Path:
    """Writes the problems and their kernels as KernelAgent's folders have them."""
    for name, body in PROBLEMS.items():
        (folder / name).mkdir(parents=True)
        text = HEAD + dedent(body).lstrip("\n")
        (folder / name / "problem.py").write_text(text, encoding="utf-8")
        (folder / name / "test.py").write_text("from kernel import kernel_function\n")
    for (name, file), (source, _) in KERNELS.items():
        (folder / name / file).write_text(dedent(source).lstrip("\n"), encoding="utf-8")
    return folder


CASE = SuiteCase(
    "kernelagent",
    lambda folder: (write_problems(folder), ()),
    [f"kernelagent_{name}" for name in PROBLEMS if name not in LEFT_OUT],
    LEFT_OUT,
    {
        (f"kernelagent_{problem}", f"{problem}-{Path(file).stem}"): status
        for (problem, file), (_, status) in KERNELS.items()
    },
    refused="no problem of KernelAgent",
)
