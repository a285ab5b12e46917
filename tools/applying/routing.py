"""Routes calls of a function, a name or a module of a program to a promoted kernel.

    from kernel_harness.tools.applying.routing import apply

    applied = apply("my_model.layers.rms_norm", "kernels/")
    ...
    applied.misses.all()      # what went to the original, and why
    applied.remove()

Where a call goes is decided on the host, from kinds, shapes and addresses: nothing is read from a
device and nothing waits for one. The kernel gets what it is proven for; everything else, gradients
among it, goes to the original. While `torch.compile` traces, the kernel is an operator of torch's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import CapabilityError, RequestError
from ..schema.deployment.kernel_index import IndexedKernel
from .call_code import CallCode
from .kernel_calls import KernelCalls
from .kernel_folder import open_folder
from .loading import load_kernel
from .missed_calls import MissedCalls
from .proven_sizes import ProvenSizes
from .replaced_attribute import attribute_owner, replace_attribute

Target = Callable[..., Any] | torch.nn.Module | str


@dataclass
class Applied:
    """A kernel put into a program.

    Attributes:
        kernel: what the folder's index says of it.
        function: the routed function, to be called where the original was.
        original: what it stands for.
        misses: calls that went to the original.
    """

    kernel: IndexedKernel
    function: Callable[..., Any]
    original: Callable[..., Any]
    misses: MissedCalls
    _calls: KernelCalls = field(repr=False)
    _restore: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def compiled_calls(self) -> int:
        """How many calls the kernel had within compiled code; replays of a graph are none."""
        return self._calls.compiled_calls

    def remove(self) -> None:
        """Puts the original back; calls under way end as they began."""
        restore, self._restore = self._restore, lambda: None
        restore()

    def __enter__(self) -> Applied:
        return self

    def __exit__(self, *raised: object) -> None:
        self.remove()


def apply(
    target: Target,
    folder: Path | str,
    definition: str | None = None,
    *,
    inputs: Callable[..., Sequence[Any] | None] | None = None,
    outputs: Callable[[Any], Any] | None = None,
    judged_only: bool = False,
    digest: str | None = None,
) -> Applied:
    """Has calls of a part of the program made with a kernel wherever that is proven.

    Args:
        target: a function, of which `function` of the answer is then called instead; a dotted name
            as "package.module.function" or "package.module.Class.method", or a module, whose
            `forward` is replaced: both until `remove`.
        folder: written by `kernel-harness deploy`.
        definition: which kernel of the folder; may be left out where there is one.
        inputs: makes the operator's inputs of a call's arguments, or None for a call that is not
            for the kernel; left out where the original's parameters have the inputs' names.
        outputs: makes what the original returns of the operator's output, or of the tuple of them.
        judged_only: call the kernel only on sizes that were judged, not on those between.
        digest: that the folder's index must have.

    Raises:
        CapabilityError: when the kernel is for another device or needs what is not installed.
        DatasetError: when the folder was changed or is none.
        RequestError: when the target is not there, or its parameters are not the inputs.
    """
    opened = open_folder(Path(folder), digest)
    kernel = opened.kernel(definition)
    _require_device(opened.index.device_name)
    original, put = _found(target)
    parameters = _parameters(original, kernel) if inputs is None else None
    on_device = opened.index.device_name != "cpu"
    code = CallCode(
        ProvenSizes(kernel, judged_only),
        on_device,
        several=on_device and torch.cuda.device_count() > 1,
        parameters=parameters,
        own_outputs=outputs is not None,
    )
    calls = KernelCalls(code, load_kernel(opened, kernel))
    routed = calls.routed(original, inputs, outputs)
    return Applied(kernel, routed, original, calls.misses, calls, put(routed))


def _require_device(name: str) -> None:
    if name == "cpu":
        return
    here = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    if "-".join(here.replace("NVIDIA", " ").split()) != name:
        raise CapabilityError(
            f"The kernels are proven on {name}, and here is {here}",
            remedy="Deploy what is promoted on this device.",
        )


# --- the target ---------------------------------------------------------------------------------

Put = Callable[[Callable[..., Any]], Callable[[], None]]


def _found(target: Target) -> tuple[Callable[..., Any], Put]:
    """The original, and what puts another in its place and gives back what undoes that."""
    if isinstance(target, torch.nn.Module):
        return target.forward, functools.partial(replace_attribute, target, "forward")
    if not isinstance(target, str):
        return target, lambda routed: lambda: None
    owner, name = _function_owner(target)
    return getattr(owner, name), functools.partial(replace_attribute, owner, name)


def _function_owner(name: str) -> tuple[Any, str]:
    """The module or class that holds a dotted name, and the name's last part."""
    owner, last = attribute_owner(name)
    found = inspect.getattr_static(owner, last, None)
    if isinstance(found, staticmethod | classmethod) or not callable(getattr(owner, last, None)):
        raise RequestError(
            f"{name!r} names no function or method",
            remedy="Name it as 'package.module.function' or 'package.module.Class.method'.",
        )
    return owner, last


def _parameters(original: Callable[..., Any], kernel: IndexedKernel) -> dict[str, Any]:
    """The original's parameters with their defaults, which must be the kernel's inputs."""
    try:
        signature = inspect.signature(original)
    except (TypeError, ValueError):
        signature = inspect.Signature()
    allowed = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    named = {n: p.default for n, p in signature.parameters.items() if p.kind in allowed}
    if named.keys() != kernel.inputs.keys() or len(named) != len(signature.parameters):
        raise RequestError(
            f"The parameters {signature} are not the inputs of {kernel.definition}: "
            f"{', '.join(kernel.inputs)}",
            remedy="Give `inputs`, which makes those of the call's arguments.",
        )
    return named
