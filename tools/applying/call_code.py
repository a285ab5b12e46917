"""The code of a routed call, written for one kernel's arguments.

A call may cost two microseconds more than the kernel's own, and reading one attribute of a tensor
costs a thirtieth of that. So there is no loop over arguments: the checks are written out, as
`dataclasses` writes out an initialiser.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..schema.deployment.kernel_index import ArgumentForm, IndexedKernel
from .proven_sizes import ALIGNMENT, ProvenSizes

_WHOLE = """\
def routed({signature}):
    if compiling():
        return traced({passed})
{unpack}    try:
        plain = {checks}
    except RuntimeError:
        plain = False
    if plain:
        call = known.get({key})
        if call is None:
            call = decide({key}, ({values}))
        if call:
            try:
                return {given}
            except Exception as error:
                failed({key}, ({values}), error)
        else:
            missed(({values}))
    else:
        missed(({values}))
    return original({passed})
"""
_TRACED = """\
def traced({signature}):
{unpack}    if {condition}:
        return {traced}
    return original({passed})
"""
_UNPACKED = """\
    given = inputs({passed})
    if given is None:
        return original({passed})
    {values} = given
"""
PLAIN = (torch.Tensor, torch.nn.Parameter)
NUMBERS = {"bool": (bool,), "float": (float, int)}


def dtype_of(name: str) -> torch.dtype:
    """The element type that a definition names."""
    return getattr(torch, {"float4_e2m1": "float4_e2m1fn_x2"}.get(name, name))


def kinds_of(form: ArgumentForm) -> tuple[type, ...]:
    """The types that a number of an input may have."""
    for beginning, kinds in NUMBERS.items():
        if form.dtype.startswith(beginning):
            return kinds
    return (int,)


@dataclass(frozen=True)
class CallCode:
    """Writes the functions of a routed call.

    Args:
        sizes: of the kernel.
        on_device: whether tensors are to lie on a GPU.
        several: whether the program has several GPUs.
        parameters: of the original with their defaults, in its order; None where `inputs` takes
            whatever the original takes.
        own_outputs: whether `outputs` makes of the kernel's what the original returns.
    """

    sizes: ProvenSizes
    on_device: bool
    several: bool
    parameters: Mapping[str, Any] | None
    own_outputs: bool

    @property
    def kernel(self) -> IndexedKernel:
        """The kernel that is called."""
        return self.sizes.kernel

    def functions(self, names: Mapping[str, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The routed function, and what stands for it while torch compiles.

        Args:
            names: what the code names: original, inputs, outputs, operator, known, decide, failed,
                missed.
        """
        values = [f"value_{number}" for number in range(len(self.kernel.inputs))]
        signature = passed = "*args, **kwargs"
        unpack = _UNPACKED.format(passed=passed, values=f"{', '.join(values)},")
        if self.parameters is not None:
            by_name = dict(zip(self.kernel.inputs, values, strict=True))
            # The user's own words for arguments stay: each is bound to ours at once.
            signature = ", ".join(
                f"{name}=defaults[{name!r}]" if name in self._defaults() else name
                for name in self.parameters
            )
            unpack = "".join(f"    {by_name[name]} = {name}\n" for name in self.parameters)
            passed = ", ".join(self.parameters)
        parts = {
            "signature": signature,
            "passed": passed,
            "unpack": unpack,
            "values": f"{', '.join(values)},",
            "given": self._given(f"call({', '.join(values)})"),
            "traced": self._given(f"operator({', '.join(values)})"),
            "key": self._key(values),
            "checks": " and ".join(self._checks(values)),
            "condition": " and ".join([*self._traced_checks(values), self.sizes.condition(values)]),
        }
        scope = {**self._names(), **names}
        exec(compile(_TRACED.format(**parts), "<traced call>", "exec"), scope)
        exec(compile(_WHOLE.format(**parts), "<routed call>", "exec"), scope)
        return scope["routed"], scope["traced"]

    def _given(self, call: str) -> str:
        return f"outputs({call})" if self.own_outputs else call

    def _defaults(self) -> dict[str, Any]:
        empty = inspect.Parameter.empty
        return {n: v for n, v in (self.parameters or {}).items() if v is not empty}

    def _names(self) -> dict[str, Any]:
        """What the checks name."""
        found: dict[str, Any] = {
            "compiling": torch.compiler.is_dynamo_compiling,
            "gradients": torch.is_grad_enabled,
            "autocast": torch.is_autocast_enabled,
            "here": torch.cuda.current_device,
            "defaults": self._defaults(),
            "Tensor": torch.Tensor,
            "Parameter": torch.nn.Parameter,
            "isinstance": isinstance,
        }
        for number, form in enumerate(self.kernel.inputs.values()):
            found[f"dtype_{number}"] = dtype_of(form.dtype)
            found[f"kinds_{number}"] = kinds_of(form)
        return found

    def _tensors(self, values: Sequence[str]) -> list[tuple[int, str]]:
        forms = self.kernel.inputs.values()
        return [
            (number, value)
            for number, (value, form) in enumerate(zip(values, forms, strict=True))
            if form.shape is not None
        ]

    def _key(self, values: Sequence[str]) -> str:
        """What a decision is kept under: the shapes, and the device where there are several."""
        parts = [f"{value}.shape" for _, value in self._tensors(values)]
        if self.several:
            parts.append("here()")
        return f"({', '.join(parts)},)" if parts else "()"

    def _checks(self, values: Sequence[str]) -> list[str]:
        """All that is asked of every call, but for sizes."""
        place = "is_cuda" if self.on_device else "is_cpu"
        said = self._number_checks(values)
        tensors = self._tensors(values)
        for number, value in tensors:
            said += [
                f"(type({value}) is Tensor or type({value}) is Parameter)",
                f"{value}.dtype is dtype_{number}",
                f"{value}.{place}",
                f"{value}.is_contiguous()",
            ]
            if self.several:
                said.append(f"{value}.get_device() == here()")
        if tensors:
            addresses = " | ".join(f"{value}.data_ptr()" for _, value in tensors)
            said.append(f"not ({addresses}) & {ALIGNMENT - 1}")
        return [*said, *self._plain_mode(tensors)]

    def _traced_checks(self, values: Sequence[str]) -> list[str]:
        """The same while torch compiles, where tensors have no address."""
        place = "is_cuda" if self.on_device else "is_cpu"
        said = self._number_checks(values)
        tensors = self._tensors(values)
        for number, value in tensors:
            said += [f"isinstance({value}, Tensor)", f"{value}.dtype is dtype_{number}"]
            said.append(f"{value}.{place}")
        return said + self._plain_mode(tensors)

    def _number_checks(self, values: Sequence[str]) -> list[str]:
        forms = self.kernel.inputs.values()
        return [
            f"type({value}) in kinds_{number}"
            for number, (value, form) in enumerate(zip(values, forms, strict=True))
            if form.shape is None
        ]

    def _plain_mode(self, tensors: Sequence[tuple[int, str]]) -> list[str]:
        """That nobody asks for gradients, and that the original would not choose other types."""
        asked = " or ".join(f"{value}.requires_grad" for _, value in tensors)
        said = [f"not (gradients() and ({asked}))"] if tensors else []
        return [*said, "not autocast()" if self.on_device else "not autocast('cpu')"]
