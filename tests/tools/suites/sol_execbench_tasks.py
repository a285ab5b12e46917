"""Tasks of our own in SOL-ExecBench's form, and the verdict that each of their solutions must get.

Written from the form's description: a folder for each problem, with definition.json, workload.jsonl
and solution*.json. Statuses are the suite's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch
from safetensors.torch import save_file

from kernel_harness.tools.suites.scores.suite_status import suite_status

from .suite_case import SuiteCase

Fields = dict[str, Any]


def tensor(*shape: str, dtype: str = "float32") -> Fields:
    """An input or output of a definition."""
    return {"shape": list(shape), "dtype": dtype, "description": None}


def const(value: int) -> Fields:
    """An axis of one size."""
    return {"type": "const", "value": value}


VAR: Fields = {"type": "var"}


def workload(uuid: str, axes: dict[str, int], inputs: Fields, **more: Any) -> Fields:
    """A line of workload.jsonl; an input is its kind, a number, or what the line says of it."""

    def said(kind: Any) -> Fields:
        if isinstance(kind, dict):
            return kind
        return {"type": kind} if isinstance(kind, str) else {"type": "scalar", "value": kind}

    given = {name: said(kind) for name, kind in inputs.items()}
    return {"uuid": uuid, "axes": axes, "inputs": given, **more}


RANDOM = {"x": "random", "weight": "random"}
NORM = """
    import torch

    @torch.no_grad()
    def run(x, weight):
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)
        return (wide * scale * weight.float()).to(x.dtype)
    """
HEADS = """
    import torch

    def run(x, turns):
        rows, hidden = x.shape
        heads = x.view(rows, 4, hidden // 4).transpose(0, 1).contiguous()
        return heads * turns, heads.double().sum(dim=(1, 2))
    """
RAGGED = """
    import torch

    def lengths(axes_and_scalars, device):
        count, total = axes_and_scalars["sequences"], axes_and_scalars["tokens"]
        ends = torch.sort(torch.randperm(total - 1, device=device)[: count - 1] + 1).values
        edge = torch.tensor([0], device=device), torch.tensor([total], device=device)
        offsets = torch.cat([edge[0], ends, edge[1]]).int()
        values = torch.randn(total, axes_and_scalars["width"], device=device)
        return {"values": values, "offsets": offsets}

    def run(values, offsets):
        ends = offsets.tolist()
        assert ends[0] == 0 and ends[-1] == len(values) and sorted(ends) == ends
        parts = [values[a:b].sum(0) for a, b in zip(ends, ends[1:])]
        return torch.stack(parts)
    """
IN_PLACE = """
    import torch

    def drawn(axes_and_scalars, device):
        shape = axes_and_scalars["rows"], axes_and_scalars["width"]
        return {
            "total": torch.randn(shape, device=device),
            "given": torch.randn(shape, device=device),
            "at": torch.randint(0, shape[0], shape[:1], device=device),
        }

    def run(total, given, at):
        total.index_add_(0, at, given)
        return total
    """
MASKED = """
    import torch

    def run(scores, keep):
        return torch.where(keep, scores, float("-inf"))
    """
TRITON = """
    import torch
    import triton
    import triton.language as tl

    @triton.jit
    def add(x, y, out, count, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        keep = at < count
        total = tl.load(x + at, mask=keep) + tl.load(y + at, mask=keep)
        tl.store(out + at, total, mask=keep)

    def run(x, y):
        out = torch.empty_like(x)
        add[(triton.cdiv(x.numel(), 64),)](x, y, out, x.numel(), BLOCK=64)
        return out
    """
NAN = """
    import torch

    def run(x):
        return torch.log(x - x.abs() - 1.0)
    """
SMALL = """
    import torch

    def run(x):
        return x * 1e-6
    """
LITERAL = """
    import torch

    def run(x, row):
        return x * row, x.sum(0, keepdim=True)
    """
PAGED = """
    import torch

    def run(pages, table, scale, tail):
        rows = pages[table].float() - 128
        return rows * scale, tail * scale
    """
FOUR_BITS = """
    import torch

    VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

    def run(packed, scale):
        bits = packed.view(torch.uint8).int()
        both = torch.stack((bits & 15, bits >> 4), dim=-1).flatten(-2)
        known = torch.tensor([*VALUES, *(-v for v in VALUES)], device=bits.device)
        return known[both] * scale
    """
TASKS: dict[str, tuple[Fields, list[Fields]]] = {
    "samples/paged": (
        {
            "name": "paged_rows",
            "op_type": None,
            "axes": {
                "rows": VAR,
                "page": const(4),
                "rest": {"type": "expr", "expression": "rows % page + 2 - 1"},
                "width": {"type": "expr", "expression": "page * 16 / 8"},
            },
            "inputs": {
                "pages": tensor("rows", "width", dtype="uint8"),
                "table": tensor("rows", dtype="int64"),
                "scale": tensor(),
                "tail": tensor("rest", "width", dtype="float16"),
            },
            "outputs": {
                "out": tensor("rows", "width"),
                "last": tensor("rest", "width", dtype="float16"),
            },
            "reference": PAGED,
            "hf_id": "nobody/nothing",
        },
        [
            workload(
                "paged-6",
                {"rows": 6},
                {
                    "pages": "random",
                    "table": {
                        "type": "safetensors",
                        "path": "table.safetensors",
                        "tensor_key": "table",
                    },
                    "scale": "random",
                    "tail": "random",
                },
            )
        ],
    ),
    "examples/norm": (
        {
            "name": "norm_h64",
            "op_type": "rmsnorm",
            "axes": {"rows": VAR, "hidden": const(64)},
            "custom_inputs_entrypoint": None,
            "inputs": {
                "x": tensor("rows", "hidden", dtype="bfloat16"),
                "weight": tensor("hidden", dtype="bfloat16"),
            },
            "outputs": {"y": tensor("rows", "hidden", dtype="bfloat16")},
            "reference": NORM,
            "tags": ["status:verified"],
            "constraints": [],
        },
        [
            workload("norm-4", {"rows": 4}, RANDOM),
            workload(
                "norm-7",
                {"rows": 7},
                RANDOM,
                tolerance={"max_atol": 1e-3, "max_rtol": 2e-2, "required_matched_ratio": 0.95},
            ),
        ],
    ),
    "examples/heads": (
        {
            "name": "split_heads",
            "axes": {
                "rows": VAR,
                "hidden": const(32),
                "head": {"type": "expr", "expression": "hidden // 4"},
                "twice": {"type": "expr", "expression": "2 ** 1 * rows"},
                "count": const(4),
            },
            "inputs": {"x": tensor("rows", "hidden"), "turns": {"shape": None, "dtype": "int32"}},
            "outputs": {
                "heads": tensor("count", "rows", "head"),
                "sums": tensor("count", dtype="float64"),
            },
            "reference": HEADS,
        },
        [workload("heads-5", {"rows": 5}, {"x": "random", "turns": 3})],
    ),
    "samples/ragged": (
        {
            "name": "ragged_sum",
            "op_type": "ragged",
            "custom_inputs_entrypoint": "lengths",
            "axes": {
                "tokens": VAR,
                "sequences": VAR,
                "bounds": {"type": "expr", "expression": "sequences + 1"},
                "width": const(8),
            },
            "inputs": {
                "values": tensor("tokens", "width"),
                "offsets": tensor("bounds", dtype="int32"),
            },
            "outputs": {"sums": tensor("sequences", "width")},
            "reference": RAGGED,
        },
        [
            workload(
                "ragged-20",
                {"tokens": 20, "sequences": 3},
                {"values": "custom", "offsets": "custom"},
            )
        ],
    ),
    "samples/in_place": (
        {
            "name": "sum_in_place",
            "custom_inputs_entrypoint": "drawn",
            "axes": {"rows": VAR, "width": const(8)},
            "inputs": {
                "total": tensor("rows", "width"),
                "given": tensor("rows", "width"),
                "at": tensor("rows", dtype="int64"),
            },
            "outputs": {"out": tensor("rows", "width")},
            "reference": IN_PLACE,
        },
        [workload("in-place-6", {"rows": 6}, dict.fromkeys(("total", "given", "at"), "custom"))],
    ),
    "samples/masked": (
        {
            "name": "masked_scores",
            "axes": {"rows": VAR, "columns": const(16)},
            "inputs": {
                "scores": tensor("rows", "columns"),
                "keep": tensor("rows", "columns", dtype="bool"),
            },
            "outputs": {"out": tensor("rows", "columns")},
            "reference": MASKED,
        },
        [
            workload(
                "masked-6",
                {"rows": 6},
                {"scores": "random", "keep": "random"},
                tolerance={"allow_negative_inf": True, "max_error_cap": 0.5},
            )
        ],
    ),
    "samples/masked_and_refused": (
        {
            "name": "masked_scores_refused",
            "axes": {"rows": VAR, "columns": const(16)},
            "inputs": {
                "scores": tensor("rows", "columns"),
                "keep": tensor("rows", "columns", dtype="bool"),
            },
            "outputs": {"out": tensor("rows", "columns")},
            "reference": MASKED,
        },
        [workload("refused-6", {"rows": 6}, {"scores": "random", "keep": "random"})],
    ),
    "samples/triton_reference": (
        {
            "name": "vector_add",
            "axes": {"n": VAR},
            "inputs": {"x": tensor("n"), "y": tensor("n")},
            "outputs": {"out": tensor("n")},
            "reference": TRITON,
        },
        [workload("add-100", {"n": 100}, {"x": "random", "y": "random"})],
    ),
    "samples/nan": (
        {
            "name": "log_of_nothing",
            "axes": {"n": VAR},
            "inputs": {"x": tensor("n")},
            "outputs": {"out": tensor("n")},
            "reference": NAN,
        },
        [workload("nan-8", {"n": 8}, {"x": "random"})],
    ),
    "samples/four_bits_packed": (
        {
            "name": "four_bits_packed",
            "axes": {"rows": VAR, "half": const(8), "width": const(16)},
            "inputs": {
                "packed": tensor("rows", "half", dtype="float4_e2m1fn_x2"),
                "scale": {"shape": None, "dtype": "float32"},
            },
            "outputs": {"out": tensor("rows", "width")},
            "reference": FOUR_BITS,
        },
        [workload("packed-6", {"rows": 6}, {"packed": "random", "scale": 0.5})],
    ),
    "samples/literal": (
        {
            "name": "literal_sizes",
            "axes": {"n1": VAR, "width": {"type": "expr", "expression": "3 + 5"}},
            "inputs": {"x": tensor("n1", "1"), "row": tensor("1", "8")},
            "outputs": {"out": tensor("n1", "width"), "total": tensor("1", "1")},
            "reference": LITERAL,
        },
        [workload("literal-6", {"n1": 6}, {"x": "random", "row": "random"})],
    ),
    "samples/small": (
        {
            "name": "small_values",
            "axes": {"n": VAR},
            "inputs": {"x": tensor("n")},
            "outputs": {"out": tensor("n")},
            "reference": SMALL,
        },
        [workload("small-32", {"n": 32}, {"x": "random"})],
    ),
}
LEFT_OUT: dict[str, tuple[Fields, list[Fields], str]] = {
    "examples/four_bits": (
        {
            "name": "four_bits",
            "axes": {"n": VAR},
            "inputs": {"x": tensor("n", dtype="float4_e2m1")},
            "outputs": {"out": tensor("n")},
            "reference": SMALL,
        },
        [workload("bits", {"n": 8}, {"x": "random"})],
        "float4_e2m1",
    ),
    "examples/no_such_axis": (
        {
            "name": "no_such_axis",
            "axes": {"n": VAR, "half": {"type": "expr", "expression": "width // 2"}},
            "inputs": {"x": tensor("half")},
            "outputs": {"out": tensor("half")},
            "reference": SMALL,
        },
        [workload("axis", {"n": 8}, {"x": "random"})],
        "width // 2",
    ),
    "examples/no_function": (
        {
            "name": "no_function",
            "custom_inputs_entrypoint": "missing",
            "axes": {"n": VAR},
            "inputs": {"x": tensor("n")},
            "outputs": {"out": tensor("n")},
            "reference": SMALL,
        },
        [workload("function", {"n": 8}, {"x": "custom"})],
        "missing",
    ),
}
"""Problems that no operator can be made of, and a part of the reason."""

HEAD = "import torch\n\n"
THREAD = """
    import threading
    import time

    import torch

    def stay():
        time.sleep(60)

    def run(x, weight, y):
        threading.Thread(target=stay, daemon=True).start()
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)
        y.copy_(wide * scale * weight.float())
    """
PATCHED = """
    import torch

    torch.cuda.Event.elapsed_time = lambda self, other: 0.001

    def run(x, weight):
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)
        return (wide * scale * weight.float()).to(x.dtype)
    """
LAZY = """
    import torch

    class Later(torch.Tensor):
        pass

    def run(x, weight):
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)
        return (wide * scale * weight.float()).to(x.dtype).as_subclass(Later)
    """
CUDA = r"""
    #include <torch/extension.h>

    __global__ void scaled(const float* x, float* out, int n) {
      int at = blockIdx.x * blockDim.x + threadIdx.x;
      if (at < n) out[at] = SCALE * x[at];
    }

    torch::Tensor run(torch::Tensor x) {
      auto out = torch::empty_like(x);
      scaled<<<(x.numel() + 63) / 64, 64>>>(
          x.data_ptr<float>(), out.data_ptr<float>(), x.numel());
      return out;
    }

    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
    """
FLAGGED = dedent(CUDA).replace("SCALE", "1e-6f")
CUTLASS = "#include <cutlass/cutlass.h>\n" + dedent(CUDA).replace("SCALE", "1e-6f")


def spec(languages: list[str], **more: Any) -> Fields:
    """How a solution is built, as the suite has it."""
    return {
        "languages": languages,
        "target_hardware": ["B200", "LOCAL"],
        "entry_point": "kernel.py::run",
        "dependencies": [],
        "destination_passing_style": False,
        **more,
    }


CPP = {"entry_point": "kernel.cu::run", "binding": "torch"}
SOLUTIONS: dict[tuple[str, str], tuple[Fields, str, str]] = {
    ("examples/norm", "same"): (spec(["pytorch"]), NORM, "PASSED"),
    ("examples/norm", "thread"): (
        spec(["pytorch"], destination_passing_style=True),
        THREAD,
        "REWARD_HACK",
    ),
    ("examples/norm", "patched"): (spec(["triton"]), PATCHED, "REWARD_HACK"),
    ("examples/norm", "lazy"): (spec(["pytorch"]), LAZY, "REWARD_HACK"),
    ("examples/norm", "zeros"): (
        spec(["pytorch"], destination_passing_style=True),
        "def run(x, weight, y):\n    y.zero_()\n",
        "INCORRECT_NUMERICAL",
    ),
    ("examples/norm", "cute"): (
        spec(["cute_dsl", "pytorch"]),
        "import cutlass.cute as cute\n\ndef run(x, weight):\n    return x\n",
        "NOT_JUDGED",
    ),
    ("examples/norm", "tile"): (
        spec(["cutile"]),
        "import cuda.tile as ct\n\ndef run(x, weight):\n    return x\n",
        "NOT_JUDGED",
    ),
    ("examples/norm", "fork"): (
        spec(["triton"], pip_packages=["fbtriton"]),
        "import triton.language.extra.tlx as tlx\n\ndef run(x, weight):\n    return x\n",
        "NOT_JUDGED",
    ),
    ("examples/norm", "fork_by_its_language"): (
        spec(["tlx"], pip_packages=["fbtriton"]),
        "import triton.language.extra.tlx as tlx\n\ndef run(x, weight):\n    return x\n",
        "NOT_JUDGED",
    ),
    ("examples/heads", "same"): (spec(["pytorch"]), HEADS, "PASSED"),
    ("examples/heads", "one_output"): (
        spec(["pytorch"]),
        HEAD + "def run(x, turns):\n    return x\n",
        "INCORRECT_SHAPE",
    ),
    ("samples/paged", "same"): (spec(["pytorch"]), PAGED, "PASSED"),
    ("samples/paged", "in_order"): (
        spec(["pytorch"]),
        PAGED.replace("pages[table]", "pages"),
        "INCORRECT_NUMERICAL",
    ),
    ("samples/paged", "other_type"): (
        spec(["pytorch"]),
        PAGED.replace("tail * scale", "(tail * scale).float()"),
        "INCORRECT_DTYPE",
    ),
    ("samples/paged", "frontend"): (
        spec(["cudnn_frontend"]),
        "import cudnn_frontend_that_nobody_has\n\ndef run(*inputs):\n    return inputs\n",
        "COMPILE_ERROR",
    ),
    ("samples/ragged", "same"): (spec(["pytorch"]), RAGGED, "PASSED"),
    ("samples/ragged", "all_alike"): (
        spec(["pytorch"]),
        HEAD + "def run(values, offsets):\n"
        "    return values.sum(0).expand(len(offsets) - 1, -1).contiguous()\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/in_place", "same"): (spec(["pytorch"]), IN_PLACE, "PASSED"),
    ("samples/in_place", "not_summed"): (
        spec(["pytorch"]),
        HEAD + "def run(total, given, at):\n    return total\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/in_place", "into_another_input"): (
        spec(["pytorch"]),
        HEAD + "def run(total, given, at):\n"
        "    given.copy_(total.index_add(0, at, given))\n    return given\n",
        "REWARD_HACK",
    ),
    ("samples/masked", "same"): (spec(["pytorch"]), MASKED, "PASSED"),
    ("samples/masked", "large_number"): (
        spec(["pytorch"]),
        MASKED.replace('float("-inf")', "-1e30"),
        "INCORRECT_NUMERICAL",
    ),
    ("samples/masked", "one_beyond_the_cap"): (
        spec(["pytorch"]),
        MASKED.replace("    def run", "    def made").rstrip() + "\n\n    def run(scores, keep):\n"
        "        out = made(scores, keep)\n"
        "        at = int(keep.flatten().int().argmax())\n"
        "        out.view(-1)[at] += 0.7\n"
        "        return out\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/masked_and_refused", "same"): (spec(["pytorch"]), MASKED, "INVALID_REFERENCE"),
    ("samples/triton_reference", "same"): (spec(["triton"]), TRITON, "PASSED"),
    ("samples/triton_reference", "product"): (
        spec(["pytorch"]),
        "def run(x, y):\n    return x * y\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/nan", "same"): (spec(["pytorch"]), NAN, "INVALID_REFERENCE"),
    ("samples/small", "same"): (spec(["pytorch"]), SMALL, "PASSED"),
    ("samples/four_bits_packed", "same"): (spec(["pytorch"]), FOUR_BITS, "PASSED"),
    ("samples/four_bits_packed", "halves_exchanged"): (
        spec(["pytorch"]),
        FOUR_BITS.replace("(bits & 15, bits >> 4)", "(bits >> 4, bits & 15)"),
        "INCORRECT_NUMERICAL",
    ),
    ("samples/literal", "same"): (spec(["pytorch"]), LITERAL, "PASSED"),
    ("samples/literal", "total_of_the_row"): (
        spec(["pytorch"]),
        LITERAL.replace("x.sum(0, keepdim=True)", "row.sum(1, keepdim=True)"),
        "INCORRECT_NUMERICAL",
    ),
    ("samples/small", "nan"): (
        spec(["pytorch"]),
        HEAD + "def run(x):\n    return torch.full_like(x, float('nan'))\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/small", "infinite"): (
        spec(["pytorch"]),
        HEAD + "def run(x):\n    return torch.cat((x[:1] / 0, x[1:] * 1e-6))\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/small", "replaced_function"): (
        spec(["pytorch"]),
        HEAD + "torch.cuda.synchronize = lambda *given: None\n\n\n" + dedent(SMALL),
        "REWARD_HACK",
    ),
    ("samples/small", "another_stream"): (
        spec(["pytorch"]),
        HEAD + "side = torch.cuda.Stream()\n\n\ndef run(x):\n"
        "    with torch.cuda.stream(side):\n        return x * 1e-6\n",
        "PASSED",  # without a GPU; with one its work is not ordered after what was launched before
    ),
    ("samples/small", "zeros"): (
        spec(["pytorch"]),
        HEAD + "def run(x):\n    return torch.zeros_like(x)\n",
        "INCORRECT_NUMERICAL",
    ),
    ("samples/small", "cuda"): (
        spec(["cuda_cpp"], **CPP, compile_options={"cuda_cflags": ["-O3", "-DSCALE=1e-6f"]}),
        CUDA,
        "NOT_JUDGED",
    ),
    ("samples/small", "cuda_without_its_flag"): (spec(["cuda_cpp"], **CPP), CUDA, "COMPILE_ERROR"),
    ("samples/small", "cudnn"): (
        spec(["cudnn"], **CPP),
        "#include <cudnn.h>\n" + FLAGGED,
        "NOT_JUDGED",
    ),
    ("samples/small", "cublas"): (
        spec(["cublas"], **CPP, compile_options={"ld_flags": ["-lcublas"], "cflags": ["-O3"]}),
        FLAGGED,
        "NOT_JUDGED",
    ),
    ("samples/small", "takes_the_compiler"): (
        spec(["cuda_cpp"], **CPP, compile_options={"cuda_cflags": ["-ccbin", "./mine"]}),
        FLAGGED,
        "INVALID_CANDIDATE",
    ),
    ("samples/small", "cutlass"): (spec(["cutlass"], **CPP), CUTLASS, "NOT_JUDGED"),
}
"""By problem and solution: its specification, its source, and the suite's status without a GPU."""


def write_dataset(folder: Path, *, solutions: bool = True, left_out: bool = False) -> Path:
    """Writes the problems as a checkout has them."""
    problems = dict(TASKS)
    if left_out:
        problems |= {name: (given, lines) for name, (given, lines, _) in LEFT_OUT.items()}
    for name, (definition, lines) in problems.items():
        place = folder / name
        place.mkdir(parents=True)
        reference = dedent(definition["reference"]).lstrip("\n")
        text = json.dumps({**definition, "reference": reference})
        (place / "definition.json").write_text(text, encoding="utf-8")
        rows = "".join(json.dumps(line) + "\n" for line in lines)
        (place / "workload.jsonl").write_text(rows, encoding="utf-8")
        if name == "samples/paged":
            save_file({"table": torch.tensor([5, 0, 3, 3, 1, 2])}, place / "table.safetensors")
        (place / "config.json").write_text('{"iterations": 50}\n', encoding="utf-8")
    for (name, word), (built, source, _) in SOLUTIONS.items() if solutions else ():
        path = built["entry_point"].split("::")[0]
        solution = {
            "name": word,
            "definition": TASKS[name][0]["name"],
            "author": "tests",
            "spec": built,
            "sources": [{"path": path, "content": dedent(source).lstrip("\n")}],
        }
        file = folder / name / f"solution_{word}.json"
        file.write_text(json.dumps(solution), encoding="utf-8")
    return folder


CASE = SuiteCase(
    "sol-execbench",
    lambda folder: (write_dataset(folder, left_out=True), ()),
    [definition["name"] for definition, _ in TASKS.values()],
    {label: words for label, (_, _, words) in LEFT_OUT.items()},
    {
        (TASKS[problem][0]["name"], word): status
        for (problem, word), (_, _, status) in SOLUTIONS.items()
    },
    refused="no problem of SOL-ExecBench",
    status=suite_status,
    most_left_out=0.0,
)
