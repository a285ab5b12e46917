"""A definition's arguments as kernels and host code take them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ...schema.flashinfer_trace import Definition

C_TYPES = {
    "float64": "double",
    "float32": "float",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
    "float8_e4m3fn": "__nv_fp8_e4m3",
    "float8_e5m2": "__nv_fp8_e5m2",
    "int64": "long long",
    "int32": "int",
    "int16": "short",
    "int8": "signed char",
    "uint8": "unsigned char",
    "bool": "bool",
}
"""What is not here, as four-bit types, is passed as bytes."""
PLAIN_TYPES = {
    "__half": "unsigned short",
    "__nv_bfloat16": "unsigned short",
    "__nv_fp8_e4m3": "unsigned char",
    "__nv_fp8_e5m2": "unsigned char",
}
"""The bits of types that a header declares, where there are no headers."""


@dataclass(frozen=True)
class Argument:
    """One argument: a tensor has axes, a scalar has none."""

    name: str
    c_type: str
    axes: tuple[str, ...] | None
    output: bool

    @property
    def parameter(self) -> str:
        """The parameter of a kernel."""
        if self.axes is None:
            return f"{self.c_type} {self.name}"
        const = "" if self.output else "const "
        return f"{const}{self.c_type}* __restrict__ {self.name}"

    @property
    def words(self) -> str:
        """Its shape and type in words."""
        shape = "scalar" if self.axes is None else f"[{', '.join(self.axes)}]"
        return f"{'output' if self.output else 'input'} {self.name}: {shape} {self.c_type}"


@dataclass(frozen=True)
class Size:
    """A varying axis, and the tensor and dimension that tell it."""

    axis: str
    tensor: str
    dimension: int


def arguments_of(definition: Definition) -> list[Argument]:
    """The arguments in the order of a call: inputs, then outputs."""
    found = []
    for output, specs in ((False, definition.inputs), (True, definition.outputs)):
        for name, spec in specs.items():
            axes = None if spec.shape is None else tuple(spec.shape)
            c_type = C_TYPES.get(spec.dtype.value, "unsigned char")
            found.append(Argument(name, c_type, axes, output))
    return found


def sizes_of(definition: Definition) -> list[Size]:
    """The varying axes that a tensor's shape tells."""
    found: dict[str, Size] = {}
    for argument in arguments_of(definition):
        for dimension, axis in enumerate(argument.axes or ()):
            if axis in definition.var_axes:
                found.setdefault(axis, Size(axis, argument.name, dimension))
    return list(found.values())


def constants_of(definition: Definition) -> dict[str, int]:
    """The axes that have one value."""
    return dict(definition.const_axes)
