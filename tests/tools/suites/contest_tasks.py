"""A contest of our own in the form of FlashInfer's, and the verdict that each submission must get.

Written from the form's description: a FlashInfer-Trace dataset, and repositories of teams with a
config.toml and sources in solution/<language>/, one in the root or one in a folder for each
definition.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import tomli_w
import torch
from safetensors.torch import save_file

from .suite_case import SuiteCase

SCALED: dict[str, Any] = {
    "name": "scaled_rows_w16",
    "op_type": "gdn",
    "axes": {"rows": {"type": "var"}, "w": {"type": "const", "value": 16}},
    "inputs": {
        "x": {"shape": ["rows", "w"], "dtype": "float32"},
        "scale": {"shape": None, "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["rows", "w"], "dtype": "float32"}},
    "reference": "import torch\n\ndef run(x, scale):\n    return x * scale + 1\n",
}
EXPERTS: dict[str, Any] = {
    "name": "one_of_experts_e4",
    "op_type": "moe",
    "axes": {
        "tokens": {"type": "var"},
        "e": {"type": "const", "value": 4},
        "w": {"type": "const", "value": 8},
    },
    "inputs": {
        "x": {"shape": ["tokens", "w"], "dtype": "float32"},
        "expert": {"shape": ["tokens"], "dtype": "int64"},
        "weights": {"shape": ["e", "w"], "dtype": "float32"},
    },
    "outputs": {"y": {"shape": ["tokens", "w"], "dtype": "float32"}},
    "reference": "import torch\n\ndef run(x, expert, weights):\n    return x * weights[expert]\n",
}
WORKLOADS: dict[str, list[dict[str, Any]]] = {
    "scaled_rows_w16": [
        {
            "uuid": f"rows-{rows}",
            "axes": {"rows": rows},
            "inputs": {"x": {"type": "random"}, "scale": {"type": "scalar", "value": 0.5}},
        }
        for rows in (3, 8)
    ],
    "one_of_experts_e4": [
        {
            "uuid": "tokens-6",
            "axes": {"tokens": 6},
            "inputs": {
                "x": {"type": "random"},
                "expert": {
                    "type": "safetensors",
                    "path": "./blob/workloads/moe/one_of_experts_e4/tokens-6.safetensors",
                    "tensor_key": "expert",
                },
                "weights": {"type": "random"},
            },
        }
    ],
}
BASELINE = {
    "name": "given",
    "definition": "scaled_rows_w16",
    "author": "baseline",
    "spec": {"language": "python", "target_hardware": ["cuda"], "entry_point": "main.py::run"},
    "sources": [
        {"path": "main.py", "content": "def run(x, scale, y):\n    y.copy_(x * scale + 1)\n"}
    ],
}
RIGHT = """
    import torch

    def kernel(x, scale, y):
        torch.add(x * scale, 1, out=y)
    """
P, WRONG = "PASSED", "INCORRECT_NUMERICAL"
Files = dict[str, str]


def said(name: str, definition: str, author: str, **build: Any) -> dict[str, Any]:
    """What config.toml says."""
    usual = {"language": "python", "entry_point": "kernel.py::kernel"}
    solution = {"name": name, "definition": definition, "author": author}
    return {"solution": solution, "build": {**usual, **build}}


SUBMISSIONS: dict[str, tuple[dict[str, Any], Files, str]] = {
    # One config.toml in the root.
    "ann": (
        said("first", "scaled_rows_w16", "Ann & Co"),
        {"kernel.py": RIGHT, "notes.txt": "left out\n"},
        P,
    ),
    # One in a folder for each definition.
    "bob/scaling": (
        said("half", "scaled_rows_w16", "bob"),
        {"kernel.py": "def kernel(x, scale, y):\n    y.copy_((x.half() * scale + 1).float())\n"},
        WRONG,
    ),
    "bob/experts": (
        said("looks up", "one_of_experts_e4", "bob", destination_passing_style=False),
        {
            "kernel.py": "from .helper import f\n\nkernel = f\n",
            "helper.py": "def f(x, e, w):\n    return x * w[e]\n",
        },
        P,
    ),
    "cid": (
        said("zeros", "one_of_experts_e4", "cid"),
        {"kernel.py": "def kernel(x, e, w, y):\n    y.zero_()\n"},
        WRONG,
    ),
    "dan": (
        said("triton", "scaled_rows_w16", "dan", language="triton"),
        {
            "kernel.py": """
                import triton
                import triton.language as tl

                @triton.jit
                def rows(x, y, scale, WIDTH: tl.constexpr):
                    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
                    tl.store(y + at, tl.load(x + at) * scale + 1)

                def kernel(x, scale, y):
                    rows[(len(x),)](x, y, scale, WIDTH=16)
                """
        },
        P,
    ),
    "eli": (
        said(
            "cuda",
            "scaled_rows_w16",
            "eli",
            language="cuda",
            entry_point="kernel.cu::run",
            binding="torch",
        ),
        {
            "kernel.cu": """
                #include <torch/extension.h>

                __global__ void rows(const float* x, float* y, float scale) {
                  int at = blockIdx.x * 16 + threadIdx.x;
                  y[at] = x[at] * scale + 1;
                }

                void run(torch::Tensor x, double scale, torch::Tensor y) {
                  rows<<<x.size(0), 16>>>(x.data_ptr<float>(), y.data_ptr<float>(), scale);
                }

                PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
                """
        },
        "NOT_JUDGED",
    ),
    "dot": (
        said(
            "fused",
            "scaled_rows_w16",
            "dot",
            language="cuda",
            entry_point="kernel.cu::run",
            binding="tvm-ffi",
        ),
        {"kernel.cu": "this is no CUDA\n", "binding.py": "x = 1\n"},
        "INVALID_CANDIDATE",
    ),
}
"""By folder: what config.toml says, the sources, and the verdict without a GPU."""
LEFT_OUT: dict[str, tuple[dict[str, Any] | str, Files, str]] = {
    "track": (said("a", "fused_moe", "eve"), {"kernel.py": RIGHT}, "no definition 'fused_moe'"),
    "entry": (
        said("a", "scaled_rows_w16", "eve", entry_point="kernel"),
        {"kernel.py": RIGHT},
        "<file>::<function>",
    ),
    "empty": (said("a", "scaled_rows_w16", "eve"), {}, "no sources"),
    "broken": ("[solution\n", {"kernel.py": RIGHT}, "TOML"),
    "bare": ("[solution]\nname = 'x'\n", {"kernel.py": RIGHT}, "build"),
    "twice/a": (said("a", "scaled_rows_w16", "fay"), {"kernel.py": RIGHT}, ""),
    "twice/b": (said("b", "scaled_rows_w16", "fay"), {"kernel.py": RIGHT}, "only one counts"),
}
"""The same of those that cannot be imported, with a part of the reason; empty: it is imported."""


def write_dataset(folder: Path) -> Path:
    """Writes the contest's dataset."""
    for definition in (SCALED, EXPERTS):
        name, op_type = definition["name"], definition["op_type"]
        for kind in ("definitions", "workloads"):
            (folder / kind / op_type).mkdir(parents=True, exist_ok=True)
        (folder / "definitions" / op_type / f"{name}.json").write_text(json.dumps(definition))
        lines = [
            json.dumps({"definition": name, "workload": workload, "solution": None})
            for workload in WORKLOADS[name]
        ]
        (folder / "workloads" / op_type / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    place = folder / "blob" / "workloads" / "moe" / "one_of_experts_e4"
    place.mkdir(parents=True)
    save_file({"expert": torch.tensor([3, 0, 1, 1, 2, 3])}, place / "tokens-6.safetensors")
    place = folder / "solutions" / "baseline" / "gdn" / "scaled_rows_w16"
    place.mkdir(parents=True)
    (place / "given.json").write_text(json.dumps(BASELINE))
    return folder


def write_submission(folder: Path, config: dict[str, Any] | str, files: Files) -> None:
    """Writes one team's config.toml and sources."""
    language = config["build"]["language"] if isinstance(config, dict) else "python"
    sources = folder / "solution" / language
    sources.mkdir(parents=True)
    text = config if isinstance(config, str) else tomli_w.dumps(config)
    (folder / "config.toml").write_text(text)
    for name, content in files.items():
        (sources / name).write_text(dedent(content).lstrip("\n"))


def write_contest(folder: Path, *, left_out: bool = False) -> Path:
    """Writes the dataset and the teams' repositories below one folder."""
    write_dataset(folder / "contest-dataset")
    for place, (config, files, _) in SUBMISSIONS.items():
        write_submission(folder / "teams" / place, config, files)
    for place, (config, files, _) in LEFT_OUT.items() if left_out else ():
        write_submission(folder / "teams" / place, config, files)
    return folder


def candidate_of(config: dict[str, Any]) -> str:
    """The name of a submission's candidate."""
    solution = config["solution"]
    return "--".join(
        "-".join(solution[key].replace("&", " ").split()) for key in ("author", "name")
    )


CASE = SuiteCase(
    "contest",
    lambda folder: (write_contest(folder, left_out=True), ()),
    [f"contest_{definition['name']}" for definition in (SCALED, EXPERTS)],
    {f"teams/{label}": words for label, (_, _, words) in LEFT_OUT.items() if words},
    {
        (f"contest_{config['solution']['definition']}", candidate_of(config)): status
        for config, _, status in SUBMISSIONS.values()
    }
    | {("contest_scaled_rows_w16", "fay--a"): P},
    refused="neither the contest's dataset nor a submission",
)
