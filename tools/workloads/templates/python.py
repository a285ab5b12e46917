"""Templates of Python alone, and of Triton."""

from __future__ import annotations

from ...schema.flashinfer_trace import Definition
from .arguments import arguments_of, sizes_of


def plain_source(definition: Definition) -> str:
    """The signature with every shape and dtype, and a body to be replaced."""
    inputs, outputs = definition.inputs, definition.outputs
    names = ", ".join([*inputs, *outputs])
    lines = [
        f'"""{definition.name}: fill the outputs in place (destination passing)."""',
        "",
        "import torch",
        "",
        "",
        f"def run({names}):",
    ]
    for kind, specs in (("input", inputs), ("output", outputs)):
        for name, spec in specs.items():
            shape = "scalar" if spec.shape is None else f"[{', '.join(spec.shape)}]"
            lines.append(f"    # {kind} {name}: {shape} {spec.dtype.value}")
    first = next(iter(outputs))
    lines.append(f"    raise RuntimeError('nothing written to {first} yet: write the kernel here')")
    return "\n".join(lines) + "\n"


def triton_source(definition: Definition) -> str:
    """A kernel that is given every tensor and size, one program a block of the first output."""
    arguments, sizes = arguments_of(definition), sizes_of(definition)
    first = next(a for a in arguments if a.output)
    tensors = [f"{a.name}_ptr" if a.axes is not None else a.name for a in arguments]
    given = [*tensors, *(size.axis for size in sizes), "count"]
    passed = [*(a.name for a in arguments), *(size.axis for size in sizes), "count"]
    described = "\n".join(f"    # {a.words}" for a in arguments)
    read = "\n".join(f"    {s.axis} = {s.tensor}.shape[{s.dimension}]" for s in sizes)
    return f'''"""{definition.name}: fill the outputs in place (destination passing)."""

import triton
import triton.language as tl


@triton.jit
def step({", ".join(given)}, BLOCK: tl.constexpr):
{described}
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    # Write the kernel here; this one reads what {first.name} holds and puts it back.
    value = tl.load({first.name}_ptr + at, mask=inside)
    tl.store({first.name}_ptr + at, value, mask=inside)


def run({", ".join(a.name for a in arguments)}):
{read or "    # no size varies"}
    count = {first.name}.numel()
    if count:
        step[(triton.cdiv(count, 1024),)]({", ".join(passed)}, BLOCK=1024, num_warps=4)
'''
