"""A bench.py of our own in AutoKernel's form, and the verdict that each of its kernels must get.

Written from the form's description: KERNEL_CONFIGS with sizes, types, tolerances by type, edge
sizes, a generator of inputs and a reference; a kernel is a file with KERNEL_TYPE and kernel_fn,
which is called by keywords.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from .suite_case import SuiteCase

BENCH = """
    import os
    import sys

    import torch

    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, HERE)
    import reference
    from specs.sizes import EDGE


    def gen_scale(size, dtype, device, seed=42):
        torch.manual_seed(seed)
        return {
            "x": torch.randn(size["rows"], size["cols"], device=device, dtype=dtype),
            "factor": 0.5,
        }


    def gen_norm(size, dtype, device, seed=42):
        torch.manual_seed(seed)
        x = torch.randn(size["M"], size["N"], device=device, dtype=dtype)
        return {"x": x, "weight": torch.randn(size["N"], device=device, dtype=dtype)}


    KERNEL_CONFIGS = {
        "scale": {
            "test_sizes": [("tiny", {"rows": 4, "cols": 8}), ("small", {"rows": 16, "cols": 8})],
            "test_dtypes": [torch.float32, torch.float16, torch.bfloat16],
            "tolerances": {
                torch.bfloat16: {"atol": 2e-3, "rtol": 2e-2},
                torch.float16: {"atol": 1e-3, "rtol": 1e-3},
                torch.float32: {"atol": 1e-5, "rtol": 1e-5},
            },
            "flops_fn": lambda s: s["rows"] * s["cols"],
            "input_generator": gen_scale,
            "reference_fn": lambda inputs: reference.scale(inputs["x"], inputs["factor"]),
            "edge_sizes": EDGE,
        },
        "norm": {
            "test_sizes": [("tiny", {"M": 5, "N": 16}), ("wide", {"M": 3, "N": 40})],
            "test_dtypes": [torch.float32],
            "tolerances": {torch.float32: {"atol": 1e-5, "rtol": 1e-4}},
            "input_generator": gen_norm,
            "reference_fn": lambda inputs: reference.norm(**inputs),
        },
        "broken": {
            "test_sizes": [("tiny", {"M": 5})],
            "test_dtypes": [torch.float32],
            "tolerances": {torch.float32: {"atol": 1e-5, "rtol": 1e-4}},
            "input_generator": gen_norm,
            "reference_fn": lambda inputs: inputs["x"],
        },
    }

    KERNEL_CONFIGS["no_tolerance"] = {**KERNEL_CONFIGS["norm"], "tolerances": {}}
    KERNEL_CONFIGS["no_number"] = {**KERNEL_CONFIGS["norm"], "test_sizes": [("a", {"M": [5]})]}

    if __name__ == "__main__":
        raise SystemExit("this is not run")
    """
FILES = {
    "bench.py": BENCH,
    "reference.py": """
        import torch


        def scale(x, factor):
            return x * factor


        def norm(x, weight):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight
        """,
    "specs/__init__.py": '"""Sizes."""\n',
    "specs/sizes.py": """
        from .more import COLS

        EDGE = [("edge_7", {"rows": 7, "cols": COLS})]
        """,
    "specs/more.py": "COLS = 13\n",
}
OPERATORS = (
    *(f"autokernel_scale_{dtype}" for dtype in ("float32", "float16", "bfloat16")),
    "autokernel_norm_float32",
)
LEFT_OUT = {
    "broken float32": "KeyError",
    "no_tolerance": "cannot be used",
    "no_number": "is no number",
    "kernels/other.py": "no operation 'rotary'",
}
P, WRONG = "PASSED", "INCORRECT_NUMERICAL"
KERNELS: dict[str, tuple[str, dict[str, str]]] = {
    "kernel.py": (
        """
        import torch

        KERNEL_TYPE = "scale"

        def kernel_fn(*, factor, x):
            return torch.mul(x, factor)
        """,
        dict.fromkeys(OPERATORS[:3], P),
    ),
    "kernels/scale_half.py": (
        """
        KERNEL_TYPE: str = 'scale'

        def kernel_fn(x, factor):
            return (x.half() * factor).to(x.dtype)
        """,
        dict(zip(OPERATORS[:3], (WRONG, P, P), strict=True)),
    ),
    "kernels/norm.py": (
        """
        import torch

        KERNEL_TYPE = "norm"

        def kernel_fn(x, weight):
            return torch.nn.functional.rms_norm(x, weight.shape, weight, 1e-6)
        """,
        {"autokernel_norm_float32": P},
    ),
    "kernels/norm_fixed.py": (
        """
        import torch

        KERNEL_TYPE = "norm"

        def kernel_fn(x, weight):
            scale = torch.rsqrt(x[:, :16].square().mean(-1, keepdim=True) + 1e-6)
            return x * scale * weight
        """,
        {"autokernel_norm_float32": WRONG},
    ),
    "kernels/other.py": (
        """
        KERNEL_TYPE = "rotary"

        def kernel_fn(x):
            return x
        """,
        {},
    ),
}
"""By file: the kernel, and its verdict without a GPU on each operator of its type."""


def write_bench(folder: Path) -> Path:
    """Writes bench.py, what it imports, and kernels, as a checkout has them."""
    texts = {**FILES, **{file: source for file, (source, _) in KERNELS.items()}}
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


CASE = SuiteCase(
    "autokernel",
    lambda folder: (write_bench(folder), ()),
    OPERATORS,
    LEFT_OUT,
    {
        (operator, f"{(Path('tasks') / file).parent.name}-{Path(file).stem}"): status
        for file, (_, verdicts) in KERNELS.items()
        for operator, status in verdicts.items()
    },
    refused="no operation of AutoKernel",
)
