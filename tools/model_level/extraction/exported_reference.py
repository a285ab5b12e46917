"""A module or function as the code of its graph: a reference where its source cannot stand alone.

torch traces it with a call that the program made. Sizes that varied between calls stay free; what
the code decides by the contents of tensors cannot be traced.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import InputKind

from .call_samples import CallSample, foreign_operators


class _FunctionModule(torch.nn.Module):
    """A function as something that torch exports, called with arguments in their order.

    Args:
        module: its first argument, where that is a module.
        names: of the arguments; those that are none of its parameters are given as words.
    """

    def __init__(
        self, function: Callable[..., Any], module: torch.nn.Module | None, names: Sequence[str]
    ) -> None:
        super().__init__()
        self.function = function
        self.module = module
        parameters = inspect.signature(function).parameters
        self.words = [name for name in names if name not in parameters]

    def forward(self, *args: Any) -> Any:
        placed = len(args) - len(self.words)
        words = dict(zip(self.words, args[placed:], strict=True))
        own = () if self.module is None else (self.module,)
        return self.function(*own, *args[:placed], **words)


def _is_forward(function: Callable[..., Any], module: torch.nn.Module) -> bool:
    """Whether a function is the forward of a module that is its first argument."""
    return inspect.unwrap(function) is inspect.unwrap(type(module).forward)


@torch.no_grad()
def exported_reference(
    function: Callable[..., Any],
    sample: CallSample,
    inputs: Sequence[str],
    varying: Mapping[str, set[int]],
) -> str:
    """The code of a function's graph, as a definition's reference.

    Args:
        sample: a call; of those that were kept the largest, for sizes of 1 are never free.
        inputs: of the definition.
        varying: dimensions of each input that vary.

    Raises:
        ValueError: when it cannot be traced, or holds a tensor that is no input.
    """
    module, own = sample.module, ""
    if module is None or not _is_forward(function, module):
        module, own = _FunctionModule(function, module, list(sample.arguments)), "module."
    dynamic = [
        dict.fromkeys(varying.get(name, ()), torch.export.Dim.AUTO)
        if isinstance(value, torch.Tensor)
        else None
        for name, value in sample.arguments.items()
    ]
    shapes: Any = (tuple(dynamic),) if own else tuple(dynamic)
    try:
        program = torch.export.export(
            module, tuple(sample.arguments.values()), dynamic_shapes=shapes, strict=False
        )
    except Exception as error:  # torch raises many kinds for what it cannot trace
        first = str(error).strip().splitlines() or [""]
        raise ValueError(f"torch cannot trace it: {first[0]}") from error
    passed = _passed(program, sample, inputs, own)
    graph = program.graph_module.graph
    for node in reversed(graph.nodes):
        if str(node.target).startswith("aten._assert_") and not node.users:
            graph.erase_node(node)  # it asks for the device that was traced on
    source = graph.python_code("self").src
    source = re.sub(r"def forward\(self, ?", "def _graph(", source.strip(), count=1)
    source = re.sub(r";  \w+( = \w+)* = None", "", source)
    (output,) = (node for node in graph.nodes if node.op == "output")
    kept = [f"result[{n}]" for n, one in enumerate(output.args[0]) if one is not None]
    run = f"def run({', '.join(inputs)}):\n    result = _graph({', '.join(passed)})\n"
    run += f"    return {', '.join(kept)}\n"
    imports = "import torch\nfrom torch import device\n"
    if foreign_operators(source):
        # A library that registers operators does so when it is imported, as the program's code was.
        home = function if own else type(module)
        imports = f"import {home.__module__}\n{imports}"
    return f"{imports}\n\n{source}\n\n\n{run}"


def _passed(
    program: torch.export.ExportedProgram, sample: CallSample, inputs: Sequence[str], own: str
) -> list[str]:
    """What a graph is given, as code: inputs of the definition, and what a call had beside them.

    Args:
        own: what begins the names of a module's tensors in the graph.
    """
    passed: list[str] = []
    arguments = iter(sample.arguments.items())
    read = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            name, value = next(arguments)
            passed.append(name if name in inputs else repr(value))
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target:
            name = spec.target.removeprefix(own).replace(".", "_")
            if name not in inputs and spec.arg.name not in read:
                name = "None"
            elif name not in inputs:
                raise ValueError(f"{spec.target} of the module is no input")
            passed.append(name)
        else:
            raise ValueError("its code holds a tensor that is no input")
    return passed
