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
        key = {key}
        try:
            call = known[key]
        except KeyError:
            call = decide(key, ({values}))
        if call:
            try:
                return {given}
            except Exception as error:
                failed(key, ({values}), error)
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
_WRITING = """\
def of_sizes({sizes}, device):
    def writing({arguments}):
{made}        function({arguments} {results})
        return {returned}
    return writing
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
                missed, whole.
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
            "given": self._given(self._returned(f"call({', '.join(values)})")),
            "traced": self._given(f"operator({', '.join(values)})"),
            "key": self._key(values),
            "checks": " and ".join([*self._checks(values), *self._shape_checks(values)]) or "True",
            "condition": " and ".join([*self._traced_checks(values), self.sizes.condition(values)]),
        }
        scope = {**self._names(), **names}
        exec(compile(_TRACED.format(**parts), "<traced call>", "exec"), scope)
        exec(compile(_WHOLE.format(**parts), "<routed call>", "exec"), scope)
        return scope["routed"], scope["traced"]

    def writing(self, function: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
        """Makes, of the outputs' shapes and a device, the call of a function that writes them.

        Arguments are named one by one: packing and unpacking them costs as much as reading two
        attributes of a tensor.
        """
        outputs = list(self.kernel.outputs.values())
        results = [f"result_{number}" for number in range(len(outputs))]
        made = "".join(
            f"        {result} = empty(shape_{number}, dtype=type_{number}, device=device)\n"
            for number, result in enumerate(results)
        )
        scope: dict[str, Any] = {"empty": torch.empty, "function": function}
        scope |= {f"type_{number}": dtype_of(form.dtype) for number, form in enumerate(outputs)}
        code = _WRITING.format(
            sizes=", ".join(f"shape_{number}" for number in range(len(outputs))),
            arguments="".join(f"value_{number}, " for number in range(len(self.kernel.inputs))),
            made=made,
            results=", ".join(results),
            returned=", ".join(results),
        )
        exec(compile(code, "<call that writes>", "exec"), scope)
        return scope["of_sizes"]

    def _returned(self, call: str) -> str:
        """A call of what was decided; what a kernel returns by itself is brought into one form."""
        if self.kernel.destination_passing:
            return call
        if len(self.kernel.outputs) > 1:
            return f"whole({call})"
        return f"result if type(result := {call}) is Tensor else whole(result)"

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

    @property
    def _forms(self) -> list[ArgumentForm]:
        return list(self.kernel.inputs.values())

    def _tensors(self, values: Sequence[str]) -> list[tuple[int, str]]:
        return [
            (number, value)
            for number, (value, form) in enumerate(zip(values, self._forms, strict=True))
            if form.shape is not None
        ]

    def _alike(self, values: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
        """The tensors of each shape that has a varying axis, by the axes' names."""
        found: dict[tuple[str, ...], list[str]] = {}
        for number, value in self._tensors(values):
            axes = self._forms[number].shape or ()
            if any(self.kernel.axes[axis] is None for axis in axes):
                found.setdefault(axes, []).append(value)
        return found

    def _shape_checks(self, values: Sequence[str]) -> list[str]:
        """That tensors of one form have one shape, and those without varying axes theirs.

        A shape is an object that is made when it is read, so each is read once.
        """
        said: list[str] = []
        for number, (first, *others) in enumerate(self._alike(values).values()):
            if others:
                shapes = [f"(shape_{number} := {first}.shape)", *(f"{o}.shape" for o in others)]
                said.append(" == ".join(shapes))
        for number, value in self._tensors(values):
            sizes = [self.kernel.axes[axis] for axis in self._forms[number].shape or ()]
            if None not in sizes:
                said.append(f"{value}.shape == {tuple(sizes)!r}")
        return said

    def _key(self, values: Sequence[str]) -> str:
        """What a decision is kept under: what varies of shapes, and the device among several."""
        parts = [
            f"shape_{number}" if len(alike) > 1 else f"{alike[0]}.shape"
            for number, alike in enumerate(self._alike(values).values())
        ]
        if self.several:
            parts.append("where" if self._tensors(values) else "here()")
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"

    def _checks(self, values: Sequence[str]) -> list[str]:
        """All that is asked of every call, but for sizes."""
        said = self._number_checks(values)
        tensors = self._tensors(values)
        for number, value in tensors:
            said += [
                f"(type({value}) is Tensor or type({value}) is Parameter)",
                f"{value}.dtype is dtype_{number}",
                self._place_check(value, first=value == tensors[0][1]),
                f"{value}.is_contiguous()",
            ]
        if tensors:
            addresses = " or ".join(f"{value}.data_ptr() % {ALIGNMENT}" for _, value in tensors)
            said.append(f"not ({addresses})")
        return [*said, *self._plain_mode(tensors)]

    def _place_check(self, value: str, *, first: bool) -> str:
        """That a tensor is where the kernel runs; one on no GPU has the number -1."""
        if not self.several:
            return f"{value}.{'is_cuda' if self.on_device else 'is_cpu'}"
        return f"{value}.get_device() == {'(where := here())' if first else 'where'}"

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
