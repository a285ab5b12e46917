"""Tasks of our own in gpu-mode's problem form, and the verdict that each submission must get.

Written from the form's description: a folder with task.yml, reference.py, task.py and what its
files name, and `custom_kernel(data)` in a submission. Statuses are those without a GPU.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from .suite_case import SuiteCase

TYPES = """
    import torch
    from typing import TypeVar, TypedDict

    input_t = TypeVar("input_t")
    output_t = TypeVar("output_t")

    class TestSpec(TypedDict):
        seed: int
    """
MATCH = """
    import torch

    def match(reference, rtol=1e-5, atol=1e-8):
        def check(data, output):
            due = reference(data)
            parts = zip(due, output) if isinstance(due, tuple) else [(due, output)]
            for one, other in parts:
                if one.shape != other.shape or one.dtype != other.dtype:
                    return False, "another shape or dtype"
                if not torch.allclose(other, one, rtol=rtol, atol=atol, equal_nan=True):
                    return False, "values differ"
            return True, ""
        return check
    """
SEEDED = """
    import torch
    from task import input_t, output_t
    from utils import match

    def numbers(seed, *sizes):
        drawn = torch.Generator(device="cuda").manual_seed(seed)
        return torch.randn(*sizes, device="cuda", generator=drawn)
    """
REFERENCES = {
    "vectoradd": SEEDED
    + """
    def generate_input(size: int, seed: int) -> input_t:
        out = torch.empty(size, device="cuda")
        return numbers(seed, size), numbers(seed + 1, size), out

    def ref_kernel(data: input_t) -> output_t:
        a, b, out = data
        out[...] = a + b
        return out

    check_implementation = match(ref_kernel)
    """,
    "histogram": SEEDED
    + """
    def generate_input(size: int, bins: int, seed: int) -> input_t:
        drawn = torch.Generator(device="cuda").manual_seed(seed)
        values = torch.randint(0, bins, (size,), device="cuda", generator=drawn)
        return values.to(torch.uint8), bins

    def ref_kernel(data: input_t) -> output_t:
        values, bins = data
        return torch.bincount(values.long(), minlength=bins)[:bins]

    def check_implementation(data, output):
        due = ref_kernel(data)
        if due.shape != output.shape or not torch.equal(due, output.long()):
            return False, "counts differ"
        return True, ""
    """,
    "qr": SEEDED
    + """
    def generate_input(n: int, seed: int) -> input_t:
        return numbers(seed, n, n)

    def ref_kernel(data: input_t) -> output_t:
        return torch.linalg.qr(data)

    def check_implementation(data, output):
        q, r = output
        if not torch.allclose(q @ r, data, atol=1e-3):
            return False, "the product of the factors differs"
        if not torch.allclose(q.T @ q, torch.eye(len(q), device=q.device), atol=1e-3):
            return False, "the first factor is not orthogonal"
        return True, ""
    """,
    "cholesky": SEEDED
    + """
    def generate_input(n: int, seed: int) -> input_t:
        a = numbers(seed, n, n)
        return a @ a.T + n * torch.eye(n, device="cuda")

    def ref_kernel(data: input_t) -> output_t:
        return torch.linalg.cholesky(data)

    check_implementation = match(ref_kernel, rtol=1e-3, atol=1e-3)
    """,
    "gated": SEEDED
    + """
    def generate_input(rows: int, width: int, seed: int) -> input_t:
        weights = {"up": numbers(seed + 1, width, width), "bias": numbers(seed + 2, width)}
        return numbers(seed, rows, width), weights, {"scale": 0.5, "act": "relu"}

    def ref_kernel(data: input_t) -> output_t:
        x, weights, config = data
        assert config["act"] == "relu"
        return torch.relu(x @ weights["up"] + weights["bias"]) * config["scale"]

    def check_implementation(data, output):
        # The older form: words where something is wrong.
        due = ref_kernel(data)
        return "" if torch.allclose(due, output, rtol=1e-3, atol=1e-3) else "values differ"
    """,
    "masked": SEEDED
    + """
    def generate_input(n: int, seed: int) -> input_t:
        return (numbers(seed, n, n),)

    def ref_kernel(data: input_t) -> output_t:
        (x,) = data
        return x.masked_fill(x < 0, float("-inf"))

    check_implementation = match(ref_kernel)
    """,
}
REFERENCES |= {
    "largest": SEEDED
    + """
    def generate_input(rows: int, seed: int) -> input_t:
        return numbers(seed, rows, 40)

    def ref_kernel(data: input_t) -> output_t:
        return data.argmax(dim=1)

    def check_implementation(data, output):
        return torch.equal(ref_kernel(data), output.long()), "other places"
    """,
    "total": SEEDED
    + """
    def generate_input(size: int, seed: int) -> input_t:
        return numbers(seed, size)

    def ref_kernel(data: input_t) -> output_t:
        return data.sum()

    check_implementation = match(ref_kernel, rtol=1e-4, atol=1e-4)
    """,
    "conv2d": SEEDED
    + """
    def generate_input(size: int, kernel: int, channels: int, seed: int) -> input_t:
        image = numbers(seed, 2, channels, size, size)
        weights = numbers(seed + 1, channels, channels, kernel, kernel)
        return image, weights, torch.empty(2, channels, size - kernel + 1, size - kernel + 1)

    def ref_kernel(data: input_t) -> output_t:
        return torch.nn.functional.conv2d(data[0], data[1])

    check_implementation = match(ref_kernel, rtol=1e-3, atol=1e-3)
    """,
    "grayscale": SEEDED
    + """
    def generate_input(size: int, seed: int) -> input_t:
        return numbers(seed, size, size, 3).abs(), torch.empty(size, size, device="cuda")

    def ref_kernel(data: input_t) -> output_t:
        image, out = data
        weights = torch.tensor([0.2989, 0.587, 0.114], device=image.device)
        out[...] = (image * weights).sum(-1)
        return out

    check_implementation = match(ref_kernel, rtol=1e-4, atol=1e-4)
    """,
    "matmul": SEEDED
    + """
    def generate_input(m: int, n: int, k: int, seed: int) -> input_t:
        a, b = numbers(seed, m, k), numbers(seed + 1, k, n)
        return a.to(torch.float16), b.to(torch.float16), torch.empty(m, n, device="cuda").half()

    def ref_kernel(data: input_t) -> output_t:
        a, b, out = data
        out[...] = a @ b
        return out

    check_implementation = match(ref_kernel, rtol=2e-2, atol=1e-3)
    """,
    "eigh": SEEDED
    + """
    def generate_input(n: int, seed: int) -> input_t:
        a = numbers(seed, n, n)
        return a + a.T

    def ref_kernel(data: input_t) -> output_t:
        return torch.linalg.eigh(data)

    def check_implementation(data, output):
        values, vectors = output
        if bool((values.diff() < 0).any()):
            return False, "the values are in no order"
        if not torch.allclose(data @ vectors, vectors * values, atol=1e-3):
            return False, "a residual is left"
        return True, ""
    """,
    "triangle": SEEDED
    + """
    def generate_input(rows: int, width: int, nomask: bool, seed: int) -> input_t:
        mask = numbers(seed + 1, rows) > 0
        config = {"width": width, "eps": 1e-5}
        weights = {"norm.weight": numbers(seed + 2, width), "proj.weight": numbers(seed, width)}
        return numbers(seed + 3, rows, width), mask | nomask, weights, config

    def ref_kernel(data: input_t) -> output_t:
        x, mask, weights, config = data
        normed = torch.nn.functional.layer_norm(
            x, (config["width"],), weights["norm.weight"], None, config["eps"]
        )
        left = normed * weights["proj.weight"] * mask[:, None]
        return left @ left.T

    check_implementation = match(ref_kernel, rtol=2e-2, atol=2e-2)
    """,
    "causal_conv1d": SEEDED
    + """
    def generate_input(length: int, channels: int, seed: int) -> input_t:
        return numbers(seed, 2, channels, length), numbers(seed + 1, channels, 4)

    def ref_kernel(data: input_t) -> output_t:
        x, weights = data
        before = torch.nn.functional.pad(x, (3, 0))
        return torch.nn.functional.conv1d(before, weights[:, None], groups=len(weights))

    check_implementation = match(ref_kernel, rtol=1e-3, atol=1e-3)
    """,
    "prefixsum": SEEDED
    + """
    def generate_input(size: int, seed: int) -> input_t:
        return numbers(seed, size)

    def ref_kernel(data: input_t) -> output_t:
        return data.double().cumsum(0).float()

    def check_implementation(data, output):
        allowed = 1e-5 * len(data) ** 0.5
        far = (output - ref_kernel(data)).abs().max()
        return bool(far <= allowed), f"{far} away"
    """,
    "sort": SEEDED
    + """
    def generate_input(size: int, seed: int) -> input_t:
        return numbers(seed, size), torch.empty(size, device="cuda")

    def ref_kernel(data: input_t) -> output_t:
        values, out = data
        out[...] = torch.sort(values).values
        return out

    check_implementation = match(ref_kernel)
    """,
}
FILES = [
    {"name": "submission.py", "source": "@SUBMISSION@"},
    {"name": "task.py", "source": "task.py"},
    {"name": "utils.py", "source": "../utils.py"},
    {"name": "reference.py", "source": "reference.py"},
    {"name": "eval.py", "source": "../eval.py"},
]


def described(tests: list[dict[str, int]], benchmarks: list[dict[str, int]], **more: Any) -> str:
    """A task.yml."""
    said = {
        "lang": "py",
        "files": FILES,
        "description": "A task of our own.",
        "config": {"main": "eval.py"},
        "tests": tests,
        "benchmarks": benchmarks,
        "test_timeout": 60,
        **more,
    }
    return yaml.safe_dump(said, sort_keys=False)


TASKS = {
    "vectoradd": described(
        [{"size": 33, "seed": 1}, {"size": 100, "seed": 2}],
        [{"size": 1024, "seed": 3}, {"size": 4096, "seed": 4}],
        ranking_by="geom",
    ),
    "histogram": described(
        [{"size": 200, "bins": 16, "seed": 1}], [{"size": 900, "bins": 16, "seed": 3}]
    ),
    "qr": described([{"n": 6, "seed": 1}], [{"n": 12, "seed": 5}], ranking_by="geom"),
    "cholesky": described([{"n": 5, "seed": 1}], [{"n": 9, "seed": 5}], ranking_by="last"),
    "gated": described([{"rows": 3, "width": 8, "seed": 1}], [{"rows": 6, "width": 8, "seed": 9}]),
    "masked": described([{"n": 7, "seed": 1}], [{"n": 16, "seed": 5}]),
    "largest": described([{"rows": 3, "seed": 1}], [{"rows": 8, "seed": 5}]),
    "total": described([{"size": 5, "seed": 1}], [{"size": 64, "seed": 5}]),
    "prefixsum": described([{"size": 30, "seed": 1}], [{"size": 256, "seed": 5}]),
    "sort": described([{"size": 9, "seed": 1}], [{"size": 64, "seed": 5}], ranking_by="geom"),
    "conv2d": described(
        [{"size": 9, "kernel": 3, "channels": 2, "seed": 1}],
        [{"size": 16, "kernel": 3, "channels": 2, "seed": 5}],
    ),
    "grayscale": described([{"size": 7, "seed": 1}], [{"size": 20, "seed": 5}]),
    "matmul": described(
        [{"m": 8, "n": 8, "k": 16, "seed": 1}],
        [{"m": 24, "n": 16, "k": 64, "seed": 5}],
        benchmark_timeout=60,
        ranked_timeout=180,
        ranking_by="geom",
        gpus=["H100"],
    ),
    "eigh": described([{"n": 5, "seed": 1}], [{"n": 12, "seed": 5}], ranking_by="geom"),
    "triangle": described(
        [{"rows": 6, "width": 8, "nomask": True, "seed": 1}],
        [{"rows": 9, "width": 8, "nomask": False, "seed": 5}],
    ),
    "causal_conv1d": described(
        [{"length": 9, "channels": 3, "seed": 1}], [{"length": 30, "channels": 3, "seed": 5}]
    ),
    "several": described([{"n": 7, "seed": 1}], [{"n": 16, "seed": 5}], multi_gpu=True),
    "another_language": described([{"n": 7, "seed": 1}], [{"n": 16, "seed": 5}], lang="cu"),
    "no_check": described([{"n": 7, "seed": 1}], [{"n": 16, "seed": 5}]),
}
REFERENCES |= {
    "several": REFERENCES["masked"],
    "another_language": REFERENCES["masked"],
    "no_check": "def generate_input(n, seed): return n\n\ndef ref_kernel(data): return n\n",
}
LEFT_OUT = {
    "several": "several GPUs",
    "another_language": "'cu'",
    "no_check": "check_implementation",
}
"""The tasks that no operator can be made of, and a part of the reason."""
P, WRONG, HACK = "PASSED", "INCORRECT_NUMERICAL", "INTEGRITY_VIOLATION"
HEAD = """
    #!POPCORN leaderboard NAME
    import torch
    from task import input_t, output_t
    """
SUBMISSIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("vectoradd", "same"): (
        """
        def custom_kernel(data):
            a, b, out = data
            torch.add(a, b, out=out)
            return out
        """,
        P,
    ),
    ("vectoradd", "new_memory"): (
        """
        def custom_kernel(data):
            a, b, _ = data
            return a + b
        """,
        P,
    ),
    ("vectoradd", "empty"): (
        """
        def custom_kernel(data):
            return data[-1]
        """,
        WRONG,
    ),
    ("vectoradd", "triton"): (
        """
        import triton
        import triton.language as tl

        @triton.jit
        def add(a, b, out, count, BLOCK: tl.constexpr):
            at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            keep = at < count
            tl.store(out + at, tl.load(a + at, mask=keep) + tl.load(b + at, mask=keep), mask=keep)

        def custom_kernel(data):
            a, b, out = data
            add[(triton.cdiv(len(a), 256),)](a, b, out, len(a), BLOCK=256)
            return out
        """,
        P,
    ),
    ("vectoradd", "inline_cuda"): (
        """
        from torch.utils.cpp_extension import load_inline

        SOURCE = r'''
        __global__ void sum(const float* a, const float* b, float* out, int n) {
          int at = blockIdx.x * blockDim.x + threadIdx.x;
          if (at < n) out[at] = a[at] + b[at];
        }

        torch::Tensor add(torch::Tensor a, torch::Tensor b, torch::Tensor out) {
          int n = a.numel();
          sum<<<(n + 255) / 256, 256>>>(a.data_ptr<float>(), b.data_ptr<float>(),
                                        out.data_ptr<float>(), n);
          return out;
        }
        '''
        built = load_inline(
            name="add",
            cpp_sources=["torch::Tensor add(torch::Tensor a, torch::Tensor b, torch::Tensor out);"],
            cuda_sources=[SOURCE],
            functions=["add"],
            verbose=False,
        )

        def custom_kernel(data):
            return built.add(*data)
        """,
        "NOT_JUDGED",
    ),
    ("conv2d", "same"): (
        """
        def custom_kernel(data):
            return torch.conv2d(data[0], data[1])
        """,
        P,
    ),
    ("conv2d", "empty"): (
        """
        def custom_kernel(data):
            return torch.zeros_like(torch.conv2d(data[0], data[1]))
        """,
        WRONG,
    ),
    ("grayscale", "same"): (
        """
        def custom_kernel(data):
            image, out = data
            red, green, blue = image.unbind(-1)
            out.copy_(0.2989 * red + 0.587 * green + 0.114 * blue)
            return out
        """,
        P,
    ),
    ("grayscale", "empty"): (
        """
        def custom_kernel(data):
            return data[1]
        """,
        WRONG,
    ),
    ("matmul", "same"): (
        """
        def custom_kernel(data):
            a, b, out = data
            return torch.mm(a, b, out=out)
        """,
        P,
    ),
    ("matmul", "low_precision"): (
        """
        def custom_kernel(data):
            a, b, out = data
            rounded = [x.to(torch.float8_e4m3fn).float() for x in (a, b)]
            out[...] = rounded[0] @ rounded[1]
            return out
        """,
        WRONG,
    ),
    ("eigh", "same"): (
        """
        def custom_kernel(data):
            values, vectors = torch.linalg.eigh(data)
            return values, -vectors
        """,
        P,
    ),
    ("eigh", "diagonal_alone"): (
        """
        def custom_kernel(data):
            values, order = data.diagonal().sort()
            return values, torch.eye(len(data), device=data.device)[:, order]
        """,
        WRONG,
    ),
    ("triangle", "same"): (
        """
        def custom_kernel(data):
            x, mask, weights, config = data
            centred = x - x.mean(-1, keepdim=True)
            scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + config["eps"])
            left = centred * scale * weights["norm.weight"] * weights["proj.weight"]
            left = torch.where(mask[:, None], left, 0.0)
            return left @ left.mT
        """,
        P,
    ),
    ("triangle", "without_mask"): (
        """
        def custom_kernel(data):
            x, mask, weights, config = data
            centred = x - x.mean(-1, keepdim=True)
            scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + config["eps"])
            left = centred * scale * weights["norm.weight"] * weights["proj.weight"]
            return left @ left.mT
        """,
        WRONG,
    ),
    ("causal_conv1d", "same"): (
        """
        def custom_kernel(data):
            x, weights = data
            before = torch.nn.functional.pad(x, (3, 0))
            return (before.unfold(-1, 4, 1) * weights[:, None]).sum(-1)
        """,
        P,
    ),
    ("causal_conv1d", "looks_ahead"): (
        """
        def custom_kernel(data):
            x, weights = data
            around = torch.nn.functional.pad(x, (2, 1))
            return (around.unfold(-1, 4, 1) * weights[:, None]).sum(-1)
        """,
        WRONG,
    ),
    ("vectoradd", "lazy"): (
        """
        class Later(torch.Tensor):
            pass

        def custom_kernel(data):
            return (data[0] + data[1]).as_subclass(Later)
        """,
        HACK,
    ),
    ("vectoradd", "kept"): (
        """
        kept = {}

        def custom_kernel(data):
            key = data[0].shape
            if key not in kept:
                kept[key] = data[0] + data[1]
            return kept[key]
        """,
        HACK,
    ),
    ("vectoradd", "alias"): (
        """
        def custom_kernel(data):
            return data[0].add_(data[1])
        """,
        HACK,
    ),
    ("vectoradd", "half"): (
        """
        def custom_kernel(data):
            return (data[0].half() + data[1].half()).float()
        """,
        WRONG,
    ),
    ("vectoradd", "left_in_a_thread"): (
        """
        import threading

        def custom_kernel(data):
            a, b, out = data
            later = threading.Timer(0.3, lambda: out.copy_(a + b))
            later.daemon = True
            later.start()
            return out
        """,
        WRONG,
    ),
    ("vectoradd", "a_thread_for_each_call"): (
        """
        import threading

        def custom_kernel(data):
            a, b, out = data
            work = threading.Thread(target=lambda: torch.add(a, b, out=out))
            work.start()
            work.join()
            return out
        """,
        P,
    ),
    ("largest", "same"): (
        """
        def custom_kernel(data):
            return data.max(dim=1).indices
        """,
        P,
    ),
    ("largest", "narrow"): (
        """
        def custom_kernel(data):
            return data.argmax(dim=1).int()
        """,
        "INCORRECT_DTYPE",
    ),
    ("total", "same"): (
        """
        def custom_kernel(data):
            return torch.sum(data)
        """,
        P,
    ),
    ("total", "constant"): (
        """
        def custom_kernel(data):
            return torch.zeros((), device=data.device)
        """,
        WRONG,
    ),
    ("total", "one_element"): (
        """
        def custom_kernel(data):
            return data.sum().reshape(1)
        """,
        "INCORRECT_SHAPE",
    ),
    ("prefixsum", "same"): (
        """
        def custom_kernel(data):
            return torch.cumsum(data, 0)
        """,
        P,
    ),
    ("prefixsum", "exclusive"): (
        """
        def custom_kernel(data):
            return torch.cumsum(data, 0) - data
        """,
        WRONG,
    ),
    ("sort", "same"): (
        """
        def custom_kernel(data):
            values, out = data
            torch.sort(values, out=(out, torch.empty_like(out, dtype=torch.int64)))
            return out
        """,
        P,
    ),
    ("sort", "unsorted"): (
        """
        def custom_kernel(data):
            data[1].copy_(data[0])
            return data[1]
        """,
        WRONG,
    ),
    ("histogram", "same"): (
        """
        def custom_kernel(data):
            values, bins = data
            return torch.bincount(values.int(), minlength=bins)
        """,
        P,
    ),
    ("histogram", "zeros"): (
        """
        def custom_kernel(data):
            return torch.zeros(data[1], dtype=torch.int64, device=data[0].device)
        """,
        WRONG,
    ),
    ("histogram", "narrow"): (
        """
        def custom_kernel(data):
            return torch.bincount(data[0].int(), minlength=data[1]).int()
        """,
        "INCORRECT_DTYPE",
    ),
    ("qr", "other_signs"): (
        """
        def custom_kernel(data):
            q, r = torch.linalg.qr(data)
            return -q, -r
        """,
        P,
    ),
    ("qr", "only_one_scaled"): (
        """
        def custom_kernel(data):
            q, r = torch.linalg.qr(data)
            return q, 2 * r
        """,
        WRONG,
    ),
    ("cholesky", "same"): (
        """
        def custom_kernel(data):
            return torch.linalg.cholesky(data)
        """,
        P,
    ),
    ("cholesky", "upper"): (
        """
        def custom_kernel(data):
            return torch.linalg.cholesky(data).T.contiguous()
        """,
        WRONG,
    ),
    ("gated", "same"): (
        """
        def custom_kernel(data):
            x, weights, config = data
            made = torch.addmm(weights["bias"], x, weights["up"])
            return made.clamp_min(0) * config["scale"]
        """,
        P,
    ),
    ("gated", "without_bias"): (
        """
        def custom_kernel(data):
            x, weights, config = data
            return torch.relu(x @ weights["up"]) * config["scale"]
        """,
        WRONG,
    ),
    ("masked", "same"): (
        """
        def custom_kernel(data):
            return torch.where(data[0] < 0, float("-inf"), data[0])
        """,
        P,
    ),
    ("masked", "large_number"): (
        """
        def custom_kernel(data):
            return torch.where(data[0] < 0, -1e30, data[0])
        """,
        WRONG,
    ),
    ("masked", "another_shape"): (
        """
        def custom_kernel(data):
            return torch.where(data[0] < 0, float("-inf"), data[0])[:1]
        """,
        "INCORRECT_SHAPE",
    ),
}
"""By task and name: the submission, and its verdict."""


def write_problems(folder: Path) -> Path:
    """Writes the tasks as a checkout has them."""
    group = folder / "problems" / "mine"
    for name, text in TASKS.items():
        place = group / name
        place.mkdir(parents=True)
        (place / "task.yml").write_text(text, encoding="utf-8")
        (place / "task.py").write_text(dedent(TYPES).lstrip("\n"), encoding="utf-8")
        reference = dedent(REFERENCES[name]).lstrip("\n")
        (place / "reference.py").write_text(reference, encoding="utf-8")
    (group / "utils.py").write_text(dedent(MATCH).lstrip("\n"), encoding="utf-8")
    (group / "eval.py").write_text("raise SystemExit('not for this judge')\n", encoding="utf-8")
    (folder / "problems" / "mine.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "mine",
                "deadline": "2027-01-01",
                "problems": [
                    {"directory": f"mine/{name}", "name": name, "gpus": ["H100", "B200"]}
                    for name in TASKS
                ],
            }
        ),
        encoding="utf-8",
    )
    return folder


def write_submissions(folder: Path) -> Path:
    """Writes the submissions, each with the name of its leaderboard."""
    folder.mkdir(parents=True)
    for (task, name), (body, _) in SUBMISSIONS.items():
        text = dedent(HEAD).lstrip("\n").replace("NAME", task) + dedent(body)
        (folder / f"{task}__{name}.py").write_text(text, encoding="utf-8")
    return folder


def write_all(folder: Path) -> tuple[Path, list[Path]]:
    """Writes the tasks and, apart from them, submissions, one of which is for no task."""
    submissions = write_submissions(folder / "mine")
    (submissions / "of_nothing.py").write_text("x = 1\n", encoding="utf-8")
    return write_problems(folder / "checkout"), [submissions]


CASE = SuiteCase(
    "gpu-mode",
    write_all,
    [f"gpu_mode_{name}" for name in TASKS if name not in LEFT_OUT],
    {
        **{f"problems/mine/{name}": words for name, words in LEFT_OUT.items()},
        "of_nothing.py": "names no task",
    },
    {
        (f"gpu_mode_{task}", f"{task}__{name}"): status
        for (task, name), (_, status) in SUBMISSIONS.items()
    },
    refused="no task of gpu-mode",
)
