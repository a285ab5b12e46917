"""Some calls of a function as they were: what a reference is checked by, and traced with."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...collecting.adapters.adapter import Adapter, RememberedCalls
from ...collecting.recording.module_state import state_of
from ...collecting.recording.returned_values import returned_tensors

_PACKAGES = tuple({sysconfig.get_path(name) + "/" for name in ("purelib", "platlib")})
OF_TORCH = ("aten", "prims")
"""Libraries of operators that are there wherever torch is."""
MOST_SAMPLES = 6
MOST_BYTES = 2 << 30
RTOL = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}


@dataclass(frozen=True)
class CallSample:
    """One call.

    Args:
        module: whose forward it was; None for a function.
        arguments: by parameter, with copies of tensors; without the module.
        outputs: tensors that came back.
    """

    module: torch.nn.Module | None
    arguments: dict[str, Any]
    outputs: tuple[torch.Tensor, ...]

    def inputs(self, forward: Callable[..., Any]) -> dict[str, Any]:
        """Arguments, and what the module holds, by the names that a definition has for them."""
        if self.module is None:
            return dict(self.arguments)
        return self.arguments | state_of(self.module, forward, set(self.arguments))


class SampledFunction:
    """Keeps a few calls of a function, one for each set of shapes."""

    def __init__(self, original: Callable[..., Any], adapter: Adapter | None = None) -> None:
        self.samples: list[CallSample] = []
        self._original = original
        self._adapter = adapter
        self._remembered = RememberedCalls()
        self._signature = None if adapter else inspect.signature(original)
        self._known: set[Any] = set()
        self._left_bytes = MOST_BYTES

    def wrapper(self, called: Callable[..., Any]) -> Callable[..., Any]:
        """The function that calls another and keeps what it was given and gave back."""

        @functools.wraps(self._original)
        def sampled(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling() or len(self.samples) >= MOST_SAMPLES:
                return called(*args, **kwargs)
            kept = self._kept(args, kwargs)
            result = called(*args, **kwargs)
            tensors = returned_tensors(result)
            if kept is not None and tensors is not None:
                outputs = tuple(one.detach().clone() for one in tensors)
                self.samples.append(CallSample(*kept, outputs))
            return result

        return sampled

    def _kept(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[torch.nn.Module | None, dict[str, Any]] | None:
        """The module and copies of the arguments of a call with new shapes."""
        arguments = self._arguments(args, kwargs)
        if arguments is None:
            return None
        module = next(iter(arguments.values()), None)
        if isinstance(module, torch.nn.Module):
            arguments.pop(next(iter(arguments)))
        else:
            module = None
        tensors = {n: v for n, v in arguments.items() if isinstance(v, torch.Tensor)}
        key = tuple(tuple(tensor.shape) for tensor in tensors.values())
        size = sum(tensor.nbytes for tensor in tensors.values())
        if key in self._known or size > self._left_bytes:
            return None
        self._known.add(key)
        self._left_bytes -= size
        return module, arguments | {n: tensor.detach().clone() for n, tensor in tensors.items()}

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Arguments by parameter, or what the adapter makes of them."""
        if self._adapter is not None:
            made = self._adapter.made(self._remembered, args, kwargs)
            return None if made is None else dict(made)
        assert self._signature is not None
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                found |= found.pop(name)
        return found


@torch.no_grad()
def fault_of(
    reference: str, names: list[str], forward: Callable[..., Any], samples: list[CallSample]
) -> str | None:
    """What is wrong with a reference on the sampled calls; None where it gives what they gave.

    Args:
        names: of the definition's inputs.
    """
    if own := _program_modules(reference):
        return f"it imports {', '.join(own)}, of the program"
    if lost := _lost_operators(reference):
        return f"it calls {', '.join(lost)}, which only the program registers"
    scope: dict[str, Any] = {}
    try:
        exec(compile(reference, "<reference>", "exec"), scope)
        for sample in samples:
            inputs = sample.inputs(forward)
            got = scope["run"](**{name: _copied(inputs[name]) for name in names})
            several = got if isinstance(got, tuple | list) else (got,)
            for expected, one in zip(sample.outputs, several, strict=True):
                rtol = RTOL.get(expected.dtype, 0.0)
                torch.testing.assert_close(one, expected, rtol=rtol, atol=rtol, equal_nan=True)
    except Exception as error:  # whatever a program's code raises outside of its program
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    return None


def foreign_operators(code: str) -> list[str]:
    """Operators that code calls and that are not torch's own, as "torch.ops.library.operator"."""
    named = re.findall(r"torch\.ops\.(\w+)\.(\w+)", code)
    return sorted({f"torch.ops.{a}.{b}" for a, b in named if a not in OF_TORCH})


def _lost_operators(reference: str) -> list[str]:
    """Operators that are not there in a process which runs nothing but the reference."""
    every = foreign_operators(reference)
    if not every:
        return []
    alone = [sys.executable, "-P", "-c", "\n".join([reference, *every])]
    ran = subprocess.run(alone, capture_output=True, check=False)
    return every if ran.returncode else []


def _program_modules(code: str) -> list[str]:
    """Modules that code imports and that are neither Python's own nor installed."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            named |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add((node.module or "").partition(".")[0])
    return sorted(name for name in named - sys.stdlib_module_names if not _is_installed(name))


def _is_installed(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    # Some packages give paths where Python's own are texts.
    places = [str(one) for one in (spec.submodule_search_locations or ())] if spec else []
    places += [spec.origin] if spec and spec.origin else []
    return any(place.startswith(_PACKAGES) for place in places)


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
