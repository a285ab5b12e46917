"""A module or function as the code of its graph: a reference where its source cannot stand alone.

torch traces it with a call that the program made. Sizes that varied between calls stay free; what
the code decides by the contents of tensors cannot be traced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import InputKind

from .call_samples import CallSample, foreign_operators


class _FunctionModule(torch.nn.Module):
    """A function as something that torch exports."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


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
    module = sample.module if sample.module is not None else _FunctionModule(function)
    dynamic = [
        dict.fromkeys(varying.get(name, ()), torch.export.Dim.AUTO)
        if isinstance(value, torch.Tensor)
        else None
        for name, value in sample.arguments.items()
    ]
    shapes: Any = tuple(dynamic) if sample.module is not None else (tuple(dynamic),)
    try:
        program = torch.export.export(
            module, tuple(sample.arguments.values()), dynamic_shapes=shapes, strict=False
        )
    except Exception as error:  # torch raises many kinds for what it cannot trace
        first = str(error).strip().splitlines() or [""]
        raise ValueError(f"torch cannot trace it: {first[0]}") from error
    passed: list[str] = []
    arguments = iter(sample.arguments.items())
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            name, value = next(arguments)
            passed.append(name if name in inputs else repr(value))
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target:
            name = spec.target.replace(".", "_")
            if name not in inputs:
                raise ValueError(f"{spec.target} of the module is no input")
            passed.append(name)
        else:
            raise ValueError("its code holds a tensor that is no input")
    graph = program.graph_module.graph
    for node in reversed(graph.nodes):
        if str(node.target).startswith("aten._assert_") and not node.users:
            graph.erase_node(node)  # it asks for the device that was traced on
    source = graph.python_code("self").src
    source = re.sub(r"def forward\(self, ?", "def _graph(", source.strip(), count=1)
    source = re.sub(r";  \w+( = \w+)* = None", "", source)
    one = len(program.graph_signature.user_outputs) == 1
    call = f"_graph({', '.join(passed)})" + ("[0]" if one else "")
    run = f"def run({', '.join(inputs)}):\n    return {call}\n"
    imports = "import torch\nfrom torch import device\n"
    if foreign_operators(source):
        # A library that registers operators does so when it is imported, as the program's code was.
        home = sample.module.__class__ if sample.module is not None else function
        imports = f"import {home.__module__}\n{imports}"
    return f"{imports}\n\n{source}\n\n\n{run}"
