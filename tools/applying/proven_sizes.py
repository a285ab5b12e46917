"""Which calls a kernel is proven for, and why not the others, from what the host knows of them.

Pure: no value of a tensor is read, so nothing waits for a device. A judge calls kernels with whole
tensors in row-major order at aligned addresses, without gradients; other calls are not proven.
Sizes are, between the least and the largest that the promotion judged: there its held-out sizes
were drawn as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ..errors import DatasetError
from ..schema.constraints import ConstraintStatus, check_constraint, names_in
from ..schema.deployment.kernel_index import IndexedKernel

ALIGNMENT = 16
"""Bytes; what vectors of the widest load need, and what torch's own allocations have."""


class Missed(StrEnum):
    """Why a call went to the original."""

    ARGUMENT = "another kind of argument"
    DTYPE = "another element type"
    DEVICE = "another device"
    GRADIENT = "gradients are asked for"
    AUTOCAST = "autocast is on"
    LAYOUT = "not contiguous"
    ALIGNMENT = "not aligned"
    SHAPE = "another shape"
    SIZE = "a size that was not proven"
    CAPTURE = "a first call within a graph capture"
    FAILED = "the kernel raised an exception"


@dataclass(frozen=True)
class ProvenSizes:
    """Decides by shapes whether a kernel is proven.

    Args:
        kernel: as the index has it.
        judged_only: whether only sizes count that were judged themselves.
    """

    kernel: IndexedKernel
    judged_only: bool = False
    limits: Mapping[str, tuple[int, int]] = field(init=False)
    places: Mapping[str, tuple[int, int]] = field(init=False)
    """Of each varying axis, an input's position and the dimension that has its size."""

    def __post_init__(self) -> None:
        kernel = self.kernel
        varying = [name for name, size in kernel.axes.items() if size is None]
        places: dict[str, tuple[int, int]] = {}
        for position, form in enumerate(kernel.inputs.values()):
            for dimension, axis in enumerate(form.shape or ()):
                if axis in varying:
                    places.setdefault(axis, (position, dimension))
        if lost := [name for name in varying if name not in places]:
            raise DatasetError(
                f"{kernel.definition} has an axis that no input's shape tells: {lost[0]}",
                remedy="Such an operator cannot be applied by shapes.",
            )
        limits = {n: (min(s), max(s)) for n in varying if (s := [w[n] for w in kernel.judged])}
        object.__setattr__(self, "limits", limits)
        object.__setattr__(self, "places", places)

    @property
    def constraints(self) -> list[str]:
        """The definition's constraints on sizes alone."""
        return [c for c in self.kernel.constraints if set(names_in(c)) <= self.kernel.axes.keys()]

    def axes_of(self, shapes: Sequence[Sequence[int] | None]) -> dict[str, int] | None:
        """Sizes of the varying axes in a call; None where its shapes are no call of this operator.

        Args:
            shapes: of the inputs in order; None for a number.
        """
        forms = list(self.kernel.inputs.values())
        sizes: dict[str, int] = {n: s for n, s in self.kernel.axes.items() if s is not None}
        for form, shape in zip(forms, shapes, strict=True):
            if (form.shape is None) != (shape is None) or len(form.shape or ()) != len(shape or ()):
                return None
            for axis, size in zip(form.shape or (), shape or (), strict=True):
                if sizes.setdefault(axis, int(size)) != size:
                    return None
        return {name: sizes[name] for name in self.places}

    def proven(self, axes: Mapping[str, int]) -> bool:
        """Whether sizes are among those that were proven."""
        if self.judged_only:
            return any(dict(one) == dict(axes) for one in self.kernel.judged)
        if any(not low <= axes[name] <= high for name, (low, high) in self.limits.items()):
            return False
        sizes = {n: axes[n] if s is None else s for n, s in self.kernel.axes.items()}
        checks = (check_constraint(text, sizes) for text in self.constraints)
        return all(check.outcome is ConstraintStatus.HOLDS for check in checks)

    def condition(self, names: Sequence[str]) -> str:
        """The same decision as a Python expression on tensors of these names, one per input."""
        said: list[str] = []
        size = {
            axis: f"{names[position]}.shape[{dimension}]"
            for axis, (position, dimension) in self.places.items()
        }
        for name, form in zip(names, self.kernel.inputs.values(), strict=True):
            if form.shape is not None:
                said.append(f"{name}.dim() == {len(form.shape)}")
        for position, form in enumerate(self.kernel.inputs.values()):
            for dimension, axis in enumerate(form.shape or ()):
                here = f"{names[position]}.shape[{dimension}]"
                expected = size.get(axis, str(self.kernel.axes[axis]))
                if here != expected:
                    said.append(f"{here} == {expected}")
        if self.judged_only:
            every = [[f"{size[n]} == {s}" for n, s in one.items()] for one in self.kernel.judged]
            said.append("(" + " or ".join(" and ".join(one) or "True" for one in every) + ")")
        else:
            said += [f"{low} <= {size[n]} <= {high}" for n, (low, high) in self.limits.items()]
            said += [self._with_sizes(text, size) for text in self.constraints]
        return " and ".join(said) or "True"

    def _with_sizes(self, text: str, size: Mapping[str, str]) -> str:
        """A constraint on the sizes that expressions give."""
        names = names_in(text)
        values = (size.get(name, str(self.kernel.axes[name])) for name in names)
        return f"(lambda {', '.join(names)}: {text.strip()})({', '.join(values)})"
