"""A small folder in KernelBench's form, of tasks and candidates of our own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from .suite_case import SuiteCase

HEAD = "import torch\nimport torch.nn as nn\n\n\n"
TASKS = {
    "level1/1_Scaled_product.py": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()

            def forward(self, A, B):
                return torch.matmul(A, B) / 4

        M, K, N = 24, 32, 16

        def get_inputs():
            return [torch.rand(M, K), torch.rand(K, N)]

        def get_init_inputs():
            return []
        """,
    "level1/2_Times_a_number.py": """
        class Model(nn.Module):
            def forward(self, x, factor: float, turns: int, negate: bool):
                x = x * factor + turns
                return -x if negate else x

        def get_inputs():
            return [torch.randn(8, 12), 3.25, 2, True]

        def get_init_inputs():
            return []
        """,
    "level1/3_Where_is_the_largest.py": """
        class Model(nn.Module):
            def __init__(self, dim: int):
                super().__init__()
                self.dim = dim

            def forward(self, x):
                return torch.argmax(x, dim=self.dim)

        def get_inputs():
            return [torch.rand(6, 20)]

        def get_init_inputs():
            return [1]
        """,
    "level1/4_Loss_of_classes.py": """
        class Model(nn.Module):
            def forward(self, predictions, targets):
                return nn.functional.cross_entropy(predictions, targets)

        def get_inputs():
            return [torch.randn(32, 10), torch.randint(0, 10, (32,))]

        def get_init_inputs():
            return []
        """,
    "level1/5_Sum_under_a_mask.py": """
        class Model(nn.Module):
            def __init__(self, dim=1):
                super().__init__()
                self.dim = dim

            def forward(self, x, mask):
                return torch.cumsum(x * mask, dim=self.dim)

        def get_inputs():
            return [torch.randn(8, 16), torch.randint(0, 2, (8, 16)).bool()]

        def get_init_inputs():
            return [1]
        """,
    "level1/6_Half_precision_sum.py": """
        class Model(nn.Module):
            def forward(self, x):
                return x + x.mean(dim=-1, keepdim=True)

        def get_inputs():
            return [torch.randn(8, 32).half()]

        def get_init_inputs():
            return []
        """,
    "level1/7_Half_on_a_GPU.py": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.randn(16).cuda())

            def forward(self, x):
                return x * self.scale.half() + torch.ones(16, device="cuda:0").half()

        def get_inputs():
            return [torch.randn(8, 16, device="cuda", dtype=torch.float16)]

        def get_init_inputs():
            return []
        """,
    "level1/8_Parts_and_tables.py": """
        class Model(nn.Module):
            def forward(self, x, state, mask, kind, more):
                made = getattr(nn.functional, kind)(x * state[0] + state[1][0] * more["factor"])
                made = made + more["bias"] if mask is None else made
                return {"sum": made.sum(dim=1), "made": (made, None, [made * 2])}

        def get_inputs():
            state = (torch.randn(8, 16), [torch.randn(8, 16)])
            return [torch.randn(8, 16), state, None, "gelu", {"bias": torch.randn(16), "factor": 3}]

        def get_init_inputs():
            return []
        """,
    "level1/9_Written_in_place.py": """
        class Model(nn.Module):
            def forward(self, out0, shift):
                return out0.mul_(2).add_(shift)

        def get_inputs():
            return [torch.randn(8, 16), torch.randn(16)]

        def get_init_inputs():
            return []
        """,
    "level1/10_Seeds_of_its_own.py": """
        import random
        import numpy as np

        class Model(nn.Module):
            def forward(self, x, y, z):
                return x + y * z

        def get_inputs():
            torch.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            y = torch.from_numpy(np.random.rand(8, 16).astype(np.float32))
            return (v for v in (torch.randn(8, 16), y, torch.tensor([random.random()] * 16)))

        def get_init_inputs():
            return []
        """,
    "level1/11_Built_of_what_torch_has.py": """
        class Model(nn.Module):
            def __init__(self, dtype, activation, cut):
                super().__init__()
                self.dtype = dtype
                self.activation = activation()
                self.cut = cut
                self.calls = 0

            def forward(self, x):
                self.calls += 1
                made = self.activation(x.to(self.dtype)).clamp(max=self.cut[0])
                return made.float() * self.calls

        def get_inputs():
            return [torch.randn(8, 16)]

        def get_init_inputs():
            return [torch.float64, nn.GELU, (float("inf"),)]
        """,
    "level1/12_Wide_by_default.py": """
        torch.set_default_dtype(torch.float64)

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = nn.Linear(16, 12)

            def forward(self, x):
                return self.linear(x)

        def get_inputs():
            return [torch.randn(8, 16)]

        def get_init_inputs():
            return []
        """,
    "level1/13_Of_complex_numbers.py": """
        class Model(nn.Module):
            def forward(self, x):
                return torch.fft.rfft(x)

        def get_inputs():
            return [torch.randn(8, 16)]

        def get_init_inputs():
            return []
        """,
    "level2/1_Linear_and_norm.py": """
        class Model(nn.Module):
            def __init__(self, features, out, scale):
                super().__init__()
                self.linear = nn.Linear(features, out)
                self.norm = nn.BatchNorm1d(out)
                self.scale = nn.Parameter(torch.randn(scale))

            def forward(self, x):
                return self.norm(self.linear(x)) * self.scale

        def get_inputs():
            return [torch.rand(16, 24)]

        def get_init_inputs():
            return [24, 20, (20,)]
        """,
    "level2/2_Some_are_dropped.py": """
        class Model(nn.Module):
            def __init__(self, p):
                super().__init__()
                self.linear = nn.Linear(16, 16)
                self.dropout = nn.Dropout(p)

            def forward(self, x):
                return self.dropout(self.linear(x))

        def get_inputs():
            return [torch.randn(16, 16)]

        def get_init_inputs():
            return [0.5]
        """,
    "level2/3_Always_the_same.py": """
        class Model(nn.Module):
            def forward(self, x):
                x = torch.max(x, dim=1, keepdim=True).values
                return nn.functional.gelu(x - x.mean(dim=1, keepdim=True))

        def get_inputs():
            return [torch.randn(16, 16)]

        def get_init_inputs():
            return []
        """,
    "level2/4_None_is_dropped.py": """
        class Model(nn.Module):
            def __init__(self, p):
                super().__init__()
                self.linear = nn.Linear(16, 16)
                self.dropout = nn.Dropout(p)

            def forward(self, x):
                return self.dropout(self.linear(x))

        def get_inputs():
            return [torch.randn(16, 16)]

        def get_init_inputs():
            return [0.0]
        """,
    "level2/5_Scaled_in_bfloat16.py": """
        class Model(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.scale = nn.Parameter(torch.randn(width).bfloat16())

            def forward(self, x):
                return x * self.scale

        def get_inputs():
            return [torch.randn(16, 24).bfloat16()]

        def get_init_inputs():
            return [24]
        """,
    "level3/1_Recurrent_with_state.py": """
        class Model(nn.Module):
            def __init__(self, size):
                super().__init__()
                self.cell = nn.Linear(2 * size, size)
                self.hidden = torch.randn(4, size)

            def forward(self, x):
                self.hidden = self.hidden.to(x.device)
                self.hidden = torch.tanh(self.cell(torch.cat((x, self.hidden), dim=1)))
                return self.hidden, self.hidden.sum(dim=1)

        def get_inputs():
            return [torch.randn(4, 8)]

        def get_init_inputs():
            return [8]
        """,
    "level3/2_Asks_for_a_value.py": """
        class Model(nn.Module):
            def forward(self, x, count):
                return x[: count.max().item()] * 2

        def get_inputs():
            return [torch.randn(9, 4), torch.tensor([5, 7])]

        def get_init_inputs():
            return []
        """,
    "level3/3_Lacks_a_package.py": """
        from a_package_that_nobody_has import rearrange

        class Model(nn.Module):
            def forward(self, x):
                return rearrange(x)

        def get_inputs():
            return [torch.randn(2)]

        def get_init_inputs():
            return []
        """,
    "level3/4_Ends_the_process.py": """
        import os
        os._exit(3)
        """,
    "level3/5_Has_no_inputs.py": """
        class Model(nn.Module):
            pass
        """,
    "level4/1_Model_by_a_configuration.py": """
        class Configuration:
            layers = 2

        class Model(nn.Module):
            def __init__(self, configuration):
                super().__init__()
                self.layers = configuration.layers

            def forward(self, x):
                return x * self.layers

        def get_inputs():
            return [torch.randn(2)]

        def get_init_inputs():
            return [Configuration()]
        """,
}
LEFT_OUT = {
    "level1/13_Of_complex_numbers": "complex64, which no definition has",
    "level3/3_Lacks_a_package": "a_package_that_nobody_has",
    "level3/4_Ends_the_process": "ended the process",
    "level3/5_Has_no_inputs": "it has no get_inputs, get_init_inputs",
    "level4/1_Model_by_a_configuration": "Configuration, which is no plain value",
}
"""The tasks that no operator can be made of, and a part of the reason."""
PRODUCT = "level1/1_Scaled_product.py"
NUMBER = "level1/2_Times_a_number.py"
NORM = "level2/1_Linear_and_norm.py"
STATE = "level3/1_Recurrent_with_state.py"
IN_PROCESS = [name for name in TASKS if "os._exit" not in TASKS[name]]
P, WRONG = "PASSED", "INCORRECT_NUMERICAL"
SAME_ZEROS_HALF = {
    "level1/1_Scaled_product.py": (P, WRONG, WRONG),
    "level1/2_Times_a_number.py": (P, WRONG, WRONG),
    "level1/3_Where_is_the_largest.py": (P, WRONG, None),
    "level1/4_Loss_of_classes.py": (P, WRONG, None),
    "level1/5_Sum_under_a_mask.py": (P, WRONG, WRONG),
    "level1/6_Half_precision_sum.py": (P, WRONG, P),
    "level1/7_Half_on_a_GPU.py": (P, WRONG, P),
    "level1/8_Parts_and_tables.py": (P, WRONG, WRONG),
    "level1/9_Written_in_place.py": (P, WRONG, WRONG),
    "level1/10_Seeds_of_its_own.py": (P, WRONG, WRONG),
    "level1/11_Built_of_what_torch_has.py": (P, WRONG, WRONG),
    "level1/12_Wide_by_default.py": (P, WRONG, WRONG),
    "level2/1_Linear_and_norm.py": (P, WRONG, WRONG),
    "level2/2_Some_are_dropped.py": ("INVALID_REFERENCE", "INVALID_REFERENCE", None),
    "level2/3_Always_the_same.py": (P, P, None),
    "level2/4_None_is_dropped.py": (P, WRONG, WRONG),
    "level2/5_Scaled_in_bfloat16.py": (P, WRONG, None),
    "level3/1_Recurrent_with_state.py": (P, WRONG, WRONG),
}
"""By task, the verdicts on its own model, on zeros, and on inputs that were rounded to float16.

The largest of 20 numbers and a mean over 32 may survive the rounding: None.
"""
KINDS = ("same", "zeros", "half")
AROUND = {
    "same": "",
    "zeros": """

class ModelNew(ModelNew):
    def forward(self, *inputs):
        return nothing(super().forward(*inputs))


def nothing(made):
    if isinstance(made, dict):
        return {key: nothing(part) for key, part in made.items()}
    if isinstance(made, tuple | list):
        return tuple(map(nothing, made))
    return made if made is None else torch.zeros_like(made)
""",
    "half": """

class ModelNew(ModelNew):
    def forward(self, *inputs):
        rounded = [
            x.half().to(x.dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x
            for x in inputs
        ]
        return super().forward(*rounded)
""",
}
OTHERS = {
    "slow": (
        P,
        """
            def forward(self, A, B):
                parts = [torch.matmul(A, B) / 4 for _ in range(40)]
                return parts[-1]
        """,
    ),
    "keeps_its_result": (
        "INCORRECT_NUMERICAL",
        """
            kept = None

            def forward(self, A, B):
                if ModelNew.kept is None:
                    ModelNew.kept = torch.matmul(A, B) / 4
                return ModelNew.kept.clone()
        """,
    ),
    "clears_its_inputs": (
        "INTEGRITY_VIOLATION",
        """
            def forward(self, A, B):
                made = torch.matmul(A, B) / 4
                A.zero_()
                return made
        """,
    ),
    "falls_back": (
        P,
        """
            def forward(self, A, B):
                try:
                    return self.kernel(A, B)
                except AttributeError:
                    return torch.matmul(A, B) / 4
        """,
    ),
    "triton": (
        P,
        """
            def forward(self, A, B):
                made = A.new_empty(A.shape[0], B.shape[1])
                product[made.shape](A, B, made, A.shape[1], B.shape[1])
                return made
        """,
    ),
    "on_another_stream": (
        P,  # without a GPU; with one it is timed honestly, or refused
        """
            def forward(self, A, B):
                side = torch.cuda.Stream()
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    made = torch.matmul(A, B) / 4
                torch.cuda.current_stream().wait_stream(side)
                return made
        """,
    ),
    "in_half_precision": (
        WRONG,
        """
            def forward(self, A, B):
                return (torch.matmul(A.half(), B.half()) / 4).float()
        """,
    ),
    "later": (
        "INTEGRITY_VIOLATION",
        """
            def forward(self, A, B):
                return (torch.matmul(A, B) / 4).as_subclass(Later)
        """,
    ),
    "left_in_a_thread": (
        WRONG,
        """
            def forward(self, A, B):
                made = A.new_zeros(A.shape[0], B.shape[1])
                later = threading.Timer(0.3, lambda: made.copy_(torch.matmul(A, B) / 4))
                later.daemon = True
                later.start()
                return made
        """,
    ),
    "own_clock": (
        P,  # harmless to the clock here
        """
            def forward(self, A, B):
                torch.cuda.Event.elapsed_time = lambda self, other: 0.001
                return torch.matmul(A, B) / 4
        """,
    ),
    "inline_cuda": (
        "NOT_JUDGED",
        """
            def forward(self, A, B):
                return built.product(A, B)
        """,
    ),
    "inline_cuda_without_a_semicolon": (
        "COMPILE_ERROR",
        """
            def forward(self, A, B):
                return built.product(A, B)
        """,
    ),
    "tilelang": (
        "NOT_JUDGED",
        """
            def forward(self, A, B):
                return tilelang.compile(product)(A, B)
        """,
    ),
    "cute": (
        "NOT_JUDGED",
        """
            def forward(self, A, B):
                return cute.compile(product)(A, B)
        """,
    ),
    "hip": (
        "NOT_JUDGED",
        """
            def forward(self, A, B):
                return built.product(A, B)
        """,
    ),
    "thunderkittens": (
        "NOT_JUDGED",
        """
            def forward(self, A, B):
                return built.product(A, B)
        """,
    ),
    "another_shape": (
        "INCORRECT_SHAPE",
        """
            def forward(self, A, B):
                return (torch.matmul(A, B) / 4).sum()
        """,
    ),
    "fails": (
        "RUNTIME_ERROR",
        """
            def forward(self, A, B):
                raise ValueError("no")
        """,
    ),
}
INLINE = """
    from torch.utils.cpp_extension import load_inline

    SOURCE = r'''
    __global__ void scaled_product(const float* a, const float* b, float* y, int k, int n) {
      float sum = 0;
      for (int i = 0; i < k; ++i) sum += a[blockIdx.x * k + i] * b[i * n + threadIdx.x];
      y[blockIdx.x * n + threadIdx.x] = sum / 4;
    }

    torch::Tensor product(torch::Tensor a, torch::Tensor b) {
      auto y = torch::empty({a.size(0), b.size(1)}, a.options());
      scaled_product<<<a.size(0), b.size(1)>>>(a.data_ptr<float>(), b.data_ptr<float>(),
                                               y.data_ptr<float>(), a.size(1), b.size(1));
      return y;
    }
    '''
    built = load_inline(
        name="product",
        cpp_sources="torch::Tensor product(torch::Tensor a, torch::Tensor b);",
        cuda_sources=SOURCE,
        functions=["product"],
        extra_cuda_cflags=["-O3"],
    )


    """
ABOVE = {
    "later": """
        class Later(torch.Tensor):
            pass


        """,
    "left_in_a_thread": "import threading\n\n\n",
    "inline_cuda": INLINE,
    "inline_cuda_without_a_semicolon": INLINE.replace("return y;", "return y"),
    "hip": INLINE.replace("__global__", "#include <hip/hip_runtime.h>\n    __global__"),
    "thunderkittens": INLINE.replace("__global__", '#include "kittens.cuh"\n    __global__'),
    "tilelang": "import tilelang\nimport tilelang.language as T\n\n\n",
    "cute": "import cutlass\nimport cutlass.cute as cute\n\n\n",
    "triton": """
        import triton
        import triton.language as tl


        @triton.jit
        def product(a, b, out, inner, width):
            row, column = tl.program_id(0), tl.program_id(1)
            total = 0.0
            for k in range(inner):
                total += tl.load(a + row * inner + k) * tl.load(b + k * width + column)
            tl.store(out + row * width + column, total / 4)


        """,
}
"""What stands above a candidate's class."""
UNBUILT = {
    "no_python": ("COMPILE_ERROR", "class ModelNew(:\n"),
    "no_package": ("COMPILE_ERROR", "import a_package_that_nobody_has\n"),
    "no_class": ("COMPILE_ERROR", HEAD + "x = 1\n"),
}
MISFITS = {
    "helpers.py": ("x = 1\n", "it is not named as"),
    "level_1_problem_99_sample_0_kernel.py": ("x = 1\n", "no task"),
    "level_1_problem_2_sample_0_kernel.py": ("", "it is empty"),
}
"""Files that no candidate can be made of, and a part of the reason."""


def write_checkout(folder: Path, *names: str) -> Path:
    """Writes the tasks, or those whose files are named, as a checkout has them."""
    for name, body in TASKS.items():
        if not names or name in names:
            path = folder / "KernelBench" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HEAD + dedent(body).lstrip("\n"), encoding="utf-8")
    return folder


def as_candidate(name: str) -> str:
    """A task's own Model as ModelNew, with nothing else of the task."""
    body = dedent(TASKS[name]).lstrip("\n").split("\ndef get_inputs")[0]
    return HEAD + body.replace("class Model(", "class ModelNew(")


def write_candidate(folder: Path, level: int, number: int, source: str, sample: int = 0) -> None:
    """Writes a candidate under the name that KernelBench gives it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"level_{level}_problem_{number}_sample_{sample}_kernel.py"
    (folder / name).write_text(source, encoding="utf-8")


def place_of(name: str) -> tuple[int, int]:
    """Level and number of a task's file."""
    level, file = name.removeprefix("level").split("/")
    return int(level), int(file.split("_")[0])


def operator_of(name: str) -> str:
    """The operator that a task's file becomes."""
    level, number = place_of(name)
    words = Path(name).stem.partition("_")[2].lower()
    return f"kernelbench_l{level}_{number}_{words}"


def candidates() -> dict[tuple[str, str], tuple[str, str]]:
    """By task and kind of candidate: its verdict and its source."""
    found = {
        (name, kind): (due, as_candidate(name) + AROUND[kind])
        for name, verdicts in SAME_ZEROS_HALF.items()
        for kind, due in zip(KINDS, verdicts, strict=True)
        if due is not None
    }
    for kind, (due, body) in OTHERS.items():
        source = (
            HEAD
            + dedent(ABOVE.get(kind, ""))
            + "class ModelNew(nn.Module):"
            + body.replace("\n        ", "\n")
        )
        found[PRODUCT, kind] = due, source
    found |= {(PRODUCT, kind): said for kind, said in UNBUILT.items()}
    return found


def write_all(folder: Path) -> tuple[Path, list[Path]]:
    """Writes the tasks that end no process, and the candidates of each kind in a run of its own."""
    runs = folder / "runs"
    for (name, kind), (_, source) in candidates().items():
        write_candidate(runs / kind, *place_of(name), source)
    (runs / "misfits").mkdir()
    for file, (source, _) in MISFITS.items():
        (runs / "misfits" / file).write_text(source, encoding="utf-8")
    return write_checkout(folder / "checkout", *IN_PROCESS), sorted(runs.iterdir())


CASE = SuiteCase(
    "kernelbench",
    write_all,
    [operator_of(name) for name in IN_PROCESS if name.removesuffix(".py") not in LEFT_OUT],
    {
        **{label: words for label, words in LEFT_OUT.items() if f"{label}.py" in IN_PROCESS},
        **{f"misfits/{file}": words for file, (_, words) in MISFITS.items()},
    },
    {
        (operator_of(name), f"{kind}-sample-0"): due
        for (name, kind), (due, _) in candidates().items()
    },
    refused="no task of KernelBench",
    most_left_out=0.02,
)
