"""FlashInfer-Trace's Definition: an operator's axes, inputs, outputs, reference and constraints.

Import it from `flashinfer_trace`, which holds the rest of the format and says what is promised.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from ..text import python_expression, python_tree
from .constraints import ConstraintCheck, ConstraintStatus, ShapeOnly, check_constraint, names_in

NonEmpty = Annotated[str, Field(min_length=1)]
NonNegative = Annotated[int, Field(ge=0)]


class TraceModel(BaseModel):
    """Base of the format's models: lax, and keeping keys that it does not know.

    Non-finite numbers are written as strings; the outermost model's setting is what counts for
    values of no declared type.
    """

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="strings", defer_build=True)


class DType(StrEnum):
    """Every element type the format has, and float64, uint8 and float4 in pairs, of others."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"
    FLOAT4_E2M1 = "float4_e2m1"
    FLOAT4_E2M1FN_X2 = "float4_e2m1fn_x2"
    """torch's: an element is a byte with two numbers, and an axis has half as many of them."""
    INT64 = "int64"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    UINT8 = "uint8"
    BOOL = "bool"

    @property
    def bits(self) -> int:
        """Bits that one element takes in memory."""
        return _BITS[self]


_BITS = {
    DType.FLOAT64: 64,
    DType.FLOAT32: 32,
    DType.FLOAT16: 16,
    DType.BFLOAT16: 16,
    DType.FLOAT8_E4M3FN: 8,
    DType.FLOAT8_E5M2: 8,
    DType.FLOAT4_E2M1: 4,
    DType.FLOAT4_E2M1FN_X2: 8,
    DType.INT64: 64,
    DType.INT32: 32,
    DType.INT16: 16,
    DType.INT8: 8,
    DType.UINT8: 8,
    DType.BOOL: 8,
}


class AxisConst(TraceModel):
    """An axis whose size is part of the definition."""

    type: Literal["const"] = "const"
    value: NonNegative
    description: str | None = None


class AxisVar(TraceModel):
    """An axis whose size comes with the workload."""

    type: Literal["var"] = "var"
    description: str | None = None


class TensorSpec(TraceModel):
    """An input or output: axis names and element type; a null shape is a Python scalar.

    `default` is not in the format: the value of a scalar input that a workload does not state. It
    is written only where there is one.
    """

    shape: list[NonEmpty] | None
    dtype: DType
    description: str | None = None
    default: int | float | bool | None = None

    @model_serializer(mode="wrap")
    def _as_in_the_format(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = written(self)
        if self.default is None:
            fields.pop("default", None)
        return fields


def _axis_type(axis: Any) -> str | None:
    """What an axis says that it is; where it says nothing, one with a value is constant."""
    if not isinstance(axis, dict):
        return getattr(axis, "type", None)
    return axis.get("type", "const" if "value" in axis else "var")


Axis = Annotated[
    Annotated[AxisConst, Tag("const")] | Annotated[AxisVar, Tag("var")],
    Discriminator(
        _axis_type,
        custom_error_type="axis_type",
        custom_error_message="type should be 'const' (with a value) or 'var'",
    ),
]


class Definition(TraceModel):
    """An operator's contract: axes, inputs, outputs, reference, constraints.

    The order of `inputs` is the call order; the order of `outputs` is that of the returned tuple
    and of destination passing.
    """

    name: NonEmpty
    op_type: NonEmpty
    axes: dict[NonEmpty, Axis]
    inputs: dict[NonEmpty, TensorSpec]
    outputs: dict[NonEmpty, TensorSpec]
    reference: NonEmpty
    tags: list[NonEmpty] = Field(default_factory=list)
    description: str | None = None
    constraints: list[NonEmpty] = Field(default_factory=list)

    @field_validator("reference")
    @classmethod
    def _reference_has_run(cls, source: str) -> str:
        try:
            module = python_tree(source)
        except SyntaxError as error:
            raise ValueError(f"reference is not valid Python: {error}") from error
        if not any(isinstance(n, ast.FunctionDef) and n.name == "run" for n in module.body):
            raise ValueError("reference has no top-level function named 'run'")
        return source

    @field_validator("constraints")
    @classmethod
    def _constraints_parse(cls, constraints: list[str]) -> list[str]:
        for text in constraints:
            try:
                python_expression(text)
            except SyntaxError as error:
                raise ValueError(f"constraint {text!r} is not an expression: {error}") from error
        return constraints

    @model_validator(mode="after")
    def _names_agree(self) -> Definition:
        both = self.inputs.keys() & self.outputs.keys()
        if both:
            raise ValueError(f"names are both input and output: {', '.join(sorted(both))}")
        for name, spec in {**self.inputs, **self.outputs}.items():
            for axis in spec.shape or ():
                if axis not in self.axes:
                    raise ValueError(f"tensor {name!r} has an undefined axis {axis!r}")
            if spec.default is not None and (spec.shape is not None or name in self.outputs):
                raise ValueError(f"{name!r} has a default, which is for inputs that are scalars")
        return self

    @cached_property
    def scalar_defaults(self) -> dict[str, int | float | bool]:
        """The values of scalar inputs that hold where a workload states none."""
        return {n: spec.default for n, spec in self.inputs.items() if spec.default is not None}

    @cached_property
    def const_axes(self) -> dict[str, int]:
        """Sizes of the constant axes."""
        return {n: axis.value for n, axis in self.axes.items() if isinstance(axis, AxisConst)}

    @cached_property
    def var_axes(self) -> tuple[str, ...]:
        """Names of the axes that a workload must size, in the definition's order."""
        return tuple(n for n, axis in self.axes.items() if isinstance(axis, AxisVar))

    @cached_property
    def constraints_on_inputs(self) -> tuple[str, ...]:
        """The constraints that name an input, whose shape or contents decide them."""
        return tuple(c for c in self.constraints if not self.inputs.keys().isdisjoint(names_in(c)))

    def axis_values(self, workload_axes: Mapping[str, int]) -> dict[str, int]:
        """Sizes of all axes for one workload, in the definition's order.

        Raises:
            ValueError: when a variable axis has no size.
        """
        missing = [name for name in self.var_axes if name not in workload_axes]
        if missing:
            raise ValueError(f"no size for axis {', '.join(missing)} of {self.name}")
        constant = self.const_axes
        return {n: constant[n] if n in constant else workload_axes[n] for n in self.axes}

    def input_shapes(self, axes: Mapping[str, int]) -> dict[str, tuple[int, ...] | None]:
        """Shapes of the inputs for a workload's axes; None for a Python scalar."""
        return self._shapes(self.inputs, axes)

    def output_shapes(self, axes: Mapping[str, int]) -> dict[str, tuple[int, ...] | None]:
        """Shapes of the outputs for a workload's axes; None for a Python scalar."""
        return self._shapes(self.outputs, axes)

    def _shapes(
        self, specs: Mapping[str, TensorSpec], axes: Mapping[str, int]
    ) -> dict[str, tuple[int, ...] | None]:
        values = self.axis_values(axes)
        return {
            name: None if spec.shape is None else tuple(values[axis] for axis in spec.shape)
            for name, spec in specs.items()
        }

    def check_constraints(
        self, axes: Mapping[str, int], inputs: Mapping[str, Any] | None = None
    ) -> list[ConstraintCheck]:
        """Evaluates every constraint, without running any of its text.

        Args:
            axes: the workload's axes.
            inputs: the generated inputs by name; without them only their shapes are known, and a
                constraint on their contents is `UNDECIDED`.
        """
        shapes = self.input_shapes(axes)
        names: dict[str, Any] = {name: ShapeOnly(shape) for name, shape in shapes.items()}
        names |= dict(inputs or {})
        names |= self.axis_values(axes)
        return [check_constraint(text, names) for text in self.constraints]

    def violated_constraints(
        self, axes: Mapping[str, int], inputs: Mapping[str, Any] | None = None
    ) -> list[str]:
        """The constraints that do not hold, as written; see `check_constraints` for the others."""
        checks = self.check_constraints(axes, inputs)
        return [check.text for check in checks if check.outcome is ConstraintStatus.VIOLATED]
