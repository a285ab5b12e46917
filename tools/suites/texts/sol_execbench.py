"""The inputs.py of an imported SOL-ExecBench problem; it stands alone.

Random inputs are drawn by rules of their names, as the suite draws them: weights of norms are ones
and their biases zeros, cosines and sines belong to angles, masks hold zeros and ones, what is named
after probabilities sums to one, deviations and scales are positive, and weight matrices are scaled
by the length that is summed over. A second family draws the weights and biases of norms, too: by
ones and zeros a kernel that leaves them out would not be seen.
"""

from __future__ import annotations

from ...schema.definition import Definition

INPUTS = '''"""Inputs by rules of their names, as SOL-ExecBench draws them."""

import torch

FAMILIES = ("typical", "varied")
INPUTS = @INPUTS@
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
POSITIVE = ("std", "var", "scale", "rstd")
SUM_TO_ONE = ("prob", "softmax", "routing_weight", "attn_weight", "attention_weight")


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Draws every input from the generator, on its device."""
    made = {}
    for name, (shape, dtype) in INPUTS.items():
        if shape is None:
            if name not in scalars:
                made[name] = _number(dtype, generator)
            continue
        sizes = [axes[axis] for axis in shape]
        made[name] = _tensor(name.lower(), sizes, dtype, generator, family, axes)
    return made


def _number(dtype, generator):
    value = float(torch.rand((), generator=generator, device=generator.device))
    return value if dtype.startswith(("float", "bfloat")) else int(value * 8)


def _tensor(name, sizes, dtype, generator, family, axes):
    device = generator.device
    kind = getattr(torch, dtype)
    if dtype == "bool":
        return torch.randint(0, 2, sizes, generator=generator, device=device).bool()
    if dtype in INTEGERS:
        # Whatever it points into, the smallest axis has such a place.
        most = 2 if "mask" in name else min([size for size in axes.values() if size > 1], default=2)
        most = min(most, 127)
        return torch.randint(0, most, sizes, generator=generator, device=device).to(kind)
    if dtype == "float4_e2m1fn_x2":  # every byte is two numbers
        drawn = torch.randint(0, 256, sizes, generator=generator, device=device)
        return drawn.to(torch.uint8).view(kind)
    drawn = torch.randn(sizes, generator=generator, device=device)
    drawn = _by_name(name, drawn, generator, family)
    return drawn.clamp(-2, 2).to(kind) if kind.itemsize == 1 else drawn.to(kind)


def _by_name(name, drawn, generator, family):
    is_weight = "weight" in name or name.endswith(("gamma", "_w"))
    if "norm" in name and (is_weight or "bias" in name):
        center = 1.0 if is_weight else 0.0
        return center + (0.25 if family == "varied" else 0.0) * drawn
    if "cos" in name or "sin" in name:
        return torch.cos(3 * drawn) if "cos" in name else torch.sin(3 * drawn)
    if "mask" in name:
        return (drawn > 0).float()
    if any(word in name for word in SUM_TO_ONE) and drawn.dim():
        return torch.softmax(drawn, dim=-1)
    if name.split("_")[-1] in POSITIVE:
        return drawn.abs() * 0.5 + 0.5
    if is_weight and drawn.dim() > 1:
        return drawn / drawn.shape[-1] ** 0.5
    if name == "weight" and family == "typical" and drawn.dim() == 1:
        return torch.ones_like(drawn)
    return drawn
'''

CUSTOM = '''"""Inputs as the problem's own @ENTRY@ makes them, under the draw's seed."""

import importlib.util
import sys
from pathlib import Path

import torch

FAMILIES = ("typical",)

_spec = importlib.util.spec_from_file_location(
    "sol_execbench_problem", Path(__file__).with_name("reference.py")
)
_problem = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _problem
_spec.loader.exec_module(_problem)


def generate(axes, *, structure, scalars, generator, device, family="typical"):
    """Draws a seed from the generator, and calls the problem's function under it."""
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    device = torch.device(device)
    others = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=others):
        torch.manual_seed(seed)
        made = dict(_problem.@ENTRY@({**axes, **scalars}, device))
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in made.items()
    }
'''


def inputs_text(definition: Definition) -> str:
    """The inputs.py of a problem whose inputs are drawn by their names."""
    inputs = {
        name: (None if spec.shape is None else tuple(spec.shape), spec.dtype.value)
        for name, spec in definition.inputs.items()
    }
    return INPUTS.replace("@INPUTS@", repr(inputs))


def custom_inputs_text(entry: str) -> str:
    """The inputs.py of a problem that makes its inputs itself."""
    return CUSTOM.replace("@ENTRY@", entry)
