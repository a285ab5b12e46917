"""Kernels that are known to be faster than the slow functions of the models, and wrong ones.

Each is a folder as `kernel-harness deploy` writes it, for the device of this machine: what a search
would have found, so that a benchmark of what comes after it needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kernel_harness.tools.model_level.verification.verified_runs import KernelTarget
from kernel_harness.tools.schema.deployment.kernel_index import (
    INDEX_NAME,
    ArgumentForm,
    IndexedKernel,
    KernelIndex,
    digest_of_bytes,
)


@dataclass(frozen=True)
class KnownKernel:
    """A kernel for one network's slow function.

    Args:
        ranked: the name under which the function ranks.
        target: what the kernel stands for.
        axes: of the operator; None for those that vary.
        shapes: of inputs and of the output, by axes.
        judged: least and largest sizes of varying axes.
        source: of the kernel, and of one that is wrong.
    """

    ranked: str
    target: KernelTarget
    axes: dict[str, int | None]
    shapes: dict[str, tuple[str, ...]]
    judged: tuple[dict[str, int], ...]
    source: str
    wrong: str


NORM = """
import torch


def run(x, weight, output):
    output.copy_(torch.nn.functional.rms_norm(x, x.shape[-1:], weight, {eps}))
"""
GATE = """
import torch


def run(gate, up, output):
    torch.mul(torch.nn.functional.{function}(gate), up, out=output)
"""
SCALE = """
import torch


def run(x, scale, shift, output):
    torch.addcmul({shift}, x, scale[:, None, None], out=output)
"""

DELTA_RULE = """
import torch


def run(query, key, value, g, beta, output):
    rows, groups = query.shape[1], value.shape[2] // key.shape[2]
    hidden = torch.ones(rows, rows, dtype=torch.bool, device=g.device).triu(1)
    q, k = (x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6) for x in (query, key))
    q, k = (x.transpose(1, 2).repeat_interleave(groups, 1) for x in (q, k))
    scale, b = query.shape[-1] ** -0.5, beta.transpose(1, 2).unsqueeze(-1)
    total = g.transpose(1, 2).cumsum(-1)
    decay = total.unsqueeze(-1) - total.unsqueeze(-2)
    decay = decay.masked_fill_(hidden, float("-inf")).exp_()
    system = ((k * b) @ k.transpose(-1, -2)).mul_(decay)
    seen = (q @ k.transpose(-1, -2)).mul_(decay).mul_(scale)
    given = value.transpose(1, 2) * b
    new = torch.linalg.solve_triangular(system, given, upper=False, unitriangular=True)
    output.copy_((seen @ {new}).transpose(1, 2))
"""
"""Of sequences of one chunk, before which there is no state."""
NEXT = "transformers.models.qwen3_next.modeling_qwen3_next"
SCALED: tuple[dict[str, int], ...] = (
    {"images": 1, "channels": 64, "height": 1, "width": 1},
    {"images": 64, "channels": 2048, "height": 112, "width": 112},
)
"""Least and largest images that the scales of torchvision's ResNets have."""


def known_kernel(network: str, small: bool) -> KnownKernel:
    """The kernel of a network of `bench.py`, in one of its sizes; of Qwen3-Next the small one."""
    if network == "qwen3_next":
        return _delta_rule()
    if network in ("decoder", "llama"):
        return KnownKernel(
            "networks.Norm.forward",
            KernelTarget("layers.rms_norm"),
            {"tokens": None, "hidden": 128 if small else 2048},
            {
                "x": ("tokens", "hidden"),
                "weight": ("hidden",),
                "output": ("tokens", "hidden"),
            },
            ({"tokens": 1}, {"tokens": 4096}),
            NORM.format(eps=1e-6),
            NORM.format(eps=1.0),
        )
    if network == "experts":
        shape = ("experts", "rows", "hidden")
        return KnownKernel(
            "layers.silu_mul",
            KernelTarget("layers.silu_mul"),
            {"experts": 8 if small else 32, "rows": None, "hidden": 128 if small else 2048},
            {"gate": shape, "up": shape, "output": shape},
            ({"rows": 1}, {"rows": 4096}),
            GATE.format(function="silu"),
            GATE.format(function="relu"),
        )
    shape = ("images", "channels", "height", "width")
    side = 16 if small else 56
    axes: dict[str, int | None] = {
        "images": None,
        "channels": 256 if small else 512,
        "height": side,
        "width": side,
    }
    judged: tuple[dict[str, int], ...] = ({"images": 1}, {"images": 64})
    if network == "torchvision":
        axes, judged = dict.fromkeys(SCALED[0]), SCALED
    return KnownKernel(
        "networks.Scale.forward",
        KernelTarget(
            "networks.Scale.forward",
            None,
            {"x": "x", "scale": "self.scale", "shift": "self.shift"},
        ),
        axes,
        {"x": shape, "scale": ("channels",), "shift": ("channels",), "output": shape},
        judged,
        SCALE.format(shift="shift[:, None, None]"),
        SCALE.format(shift="-shift[:, None, None]"),
    )


def _delta_rule() -> KnownKernel:
    """Of the gated delta rule as transformers has it without the library of its kernel."""
    rows = ("sequences", "rows")
    name = f"{NEXT}.torch_chunk_gated_delta_rule"
    inputs = {"query": "query", "key": "key", "value": "value", "g": "g", "beta": "beta"}
    constants = {
        "chunk_size": 64,
        "initial_state": None,
        "output_final_state": False,
        "use_qk_l2norm_in_kernel": True,
        "cu_seqlens": None,
        "use_cache": False,
        "output_router_logits": False,
    }
    target = KernelTarget(name, None, inputs, constants, ("query", "key", "value"), (0, None))
    return KnownKernel(
        name,
        target,
        # Some versions of transformers repeat keys' heads before the call.
        {"sequences": None, "rows": 64, "k_heads": None, "v_heads": 4, "width": 32},
        {
            "query": (*rows, "k_heads", "width"),
            "key": (*rows, "k_heads", "width"),
            "value": (*rows, "v_heads", "width"),
            "g": (*rows, "v_heads"),
            "beta": (*rows, "v_heads"),
            "output": (*rows, "v_heads", "width"),
        },
        ({"sequences": 1, "k_heads": 2}, {"sequences": 4, "k_heads": 4}),
        DELTA_RULE.format(new="new"),
        DELTA_RULE.format(new="given"),
    )


def write_kernels(
    known: KnownKernel, folder: Path, device: str, dtype: str, *, wrong: bool = False
) -> Path:
    """Writes the folder of a kernel; returns it.

    Args:
        device: as `deploy` names it; "cpu" without a GPU.
        dtype: of all tensors.
    """
    forms = {name: ArgumentForm(shape, dtype) for name, shape in known.shapes.items()}
    output = {"output": forms.pop("output")}
    source = known.wrong if wrong else known.source
    return write_kernel(folder, device, source, known.axes, forms, output, known.judged)


def write_kernel(
    folder: Path,
    device: str,
    source: str,
    axes: dict[str, int | None],
    inputs: dict[str, ArgumentForm],
    outputs: dict[str, ArgumentForm],
    judged: tuple[dict[str, int], ...],
    *,
    destination_passing: bool = True,
) -> Path:
    """Writes the folder of a kernel in Python; returns it.

    Args:
        source: of one file with a function `run`.
        judged: sizes of varying axes.
    """
    kernel = IndexedKernel(
        definition="known",
        axes=axes,
        inputs=inputs,
        outputs=outputs,
        constraints=(),
        judged=judged,
        candidate="0" * 12,
        content_hash="0" * 64,
        language="python",
        binding=None,
        entry_point="kernel.py::run",
        destination_passing=destination_passing,
        folder="kernels/known",
        library=None,
    )
    path = f"{kernel.folder}/kernel.py"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(source, encoding="utf-8")
    files = {path: digest_of_bytes(source.encode())}
    index = KernelIndex(device, "", (kernel,), files)
    (folder / INDEX_NAME).write_text(index.text(), encoding="utf-8")
    return folder
