"""Definition, Workload, Solution and Trace exactly as FlashInfer-Trace has them.

Accepts what `flashinfer_bench.data` (0.1.2 and its repository of April 2026) accepts, with its lax
coercion, and writes what it loads. Keys it does not know are kept, where it would drop them, and
`unknown_keys` reports them. Two numbers it writes and then cannot read are repaired: an infinity in
`Performance` is held as 0.0, the format's own "not measured", and a scalar input's infinity is
written as a string.

It knows nothing of files, tensors or devices. It does not promise that a reference runs, only that
it parses and has a top-level `run`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from .definition import (
    AxisConst,
    AxisVar,
    Definition,
    DType,
    NonEmpty,
    NonNegative,
    TensorSpec,
    TraceModel,
)
from .drawn_inputs import InputSpec, RandomInput, SafetensorsInput, ScalarInput, ValueStatistics
from .source_tree import MAX_BYTES, path_fault, tree_faults

__all__ = [
    "AxisConst",
    "AxisVar",
    "Binding",
    "BuildSpec",
    "Correctness",
    "DType",
    "Definition",
    "Environment",
    "EvaluationStatus",
    "Language",
    "Performance",
    "RandomInput",
    "SafetensorsInput",
    "ScalarInput",
    "Solution",
    "SourceFile",
    "TensorSpec",
    "Trace",
    "TraceEvaluation",
    "TraceModel",
    "Workload",
    "definition_hash",
    "digest_of",
    "interface_hash",
    "unknown_keys",
    "workload_digest",
]

# --- workload ---------------------------------------------------------------------------------


class Workload(TraceModel):
    """One set of axis sizes and input descriptions."""

    axes: dict[str, NonNegative]
    inputs: dict[str, InputSpec]
    uuid: NonEmpty

    def scalars(self, definition: Definition) -> Mapping[str, int | float | bool]:
        """The values of scalar inputs that are stated, else the definition's defaults."""
        stated = {n: spec.value for n, spec in self.inputs.items() if isinstance(spec, ScalarInput)}
        return {**definition.scalar_defaults, **stated}

    @property
    def statistics(self) -> dict[str, ValueStatistics]:
        """What was recorded of the values of inputs that are to be drawn."""
        drawn = {n: s for n, s in self.inputs.items() if isinstance(s, RandomInput)}
        return {n: s.statistics for n, s in drawn.items() if s.statistics is not None}


# --- solution ---------------------------------------------------------------------------------


class Language(StrEnum):
    """What a solution is written in."""

    PYTHON = "python"
    TRITON = "triton"
    CPP = "cpp"
    CUDA = "cuda"
    TILELANG = "tilelang"


class Binding(StrEnum):
    """How compiled code is reached from Python."""

    TVM_FFI = "tvm-ffi"
    TORCH = "torch"


class SourceFile(TraceModel):
    """One source file; what its path may be is `source_tree`'s rule."""

    path: NonEmpty
    content: NonEmpty

    @field_validator("path")
    @classmethod
    def _path_is_plain(cls, path: str) -> str:
        if (fault := path_fault(path)) is not None:
            raise ValueError(fault)
        return path


class BuildSpec(TraceModel):
    """How a solution is built and called."""

    language: Language
    target_hardware: list[str] = Field(min_length=1)
    entry_point: NonEmpty
    dependencies: list[NonEmpty] = Field(default_factory=list)
    destination_passing_style: bool = True
    binding: Binding | None = None

    @field_validator("entry_point")
    @classmethod
    def _one_separator(cls, entry_point: str) -> str:
        if entry_point.count("::") != 1:
            raise ValueError(f"entry point {entry_point!r} is not '<file>::<function>'")
        return entry_point


class Solution(TraceModel):
    """Sources and a build spec that claim to implement a definition."""

    model_config = ConfigDict(frozen=True)

    name: NonEmpty
    definition: NonEmpty
    author: NonEmpty
    spec: BuildSpec
    sources: list[SourceFile] = Field(min_length=1)
    description: str | None = None

    @model_validator(mode="after")
    def _entry_file_exists_once(self) -> Solution:
        paths = [source.path for source in self.sources]
        if faults := tree_faults(paths):
            raise ValueError("; ".join(faults[:4]))
        if sum(len(source.content.encode()) for source in self.sources) > MAX_BYTES:
            raise ValueError(f"the sources exceed {MAX_BYTES >> 20} MiB")
        if self.entry_file not in paths:
            listed = ", ".join(paths[:20])
            raise ValueError(
                f"entry file {self.entry_file[:200]!r} is not among the sources: {listed}"
            )
        return self

    @property
    def entry_file(self) -> str:
        """Path of the source that holds the entry function."""
        return self.spec.entry_point.split("::")[0]

    @property
    def entry_function(self) -> str:
        """Name of the function that is called."""
        return self.spec.entry_point.split("::")[1]

    def content_hash(self) -> str:
        """SHA-256 of everything that changes behaviour; names and descriptions do not.

        Fields are length-prefixed, so that no two different solutions run together to one text,
        and the calling convention counts, which the format's own hash leaves out.
        """
        spec = self.spec
        return digest_of(
            "solution",
            self.definition,
            spec.language,
            spec.entry_point,
            spec.binding or "",
            str(spec.destination_passing_style),
            str(len(spec.dependencies)),
            *spec.dependencies,
            *(("target_hardware", *named) if (named := _named_hardware(spec)) else ()),
            *(p for s in sorted(self.sources, key=lambda s: s.path) for p in (s.path, s.content)),
        )


GENERAL_HARDWARE = frozenset({"cuda", "gpu", "cpu", "nvidia", "any", "all"})


def _named_hardware(spec: BuildSpec) -> list[str]:
    """The hardware that a solution is for, where it names any: it decides what is compiled."""
    names = {name.strip().casefold() for name in spec.target_hardware}
    return [] if names <= GENERAL_HARDWARE else sorted(names)


# --- trace ------------------------------------------------------------------------------------


class EvaluationStatus(StrEnum):
    """The format's seven outcomes."""

    PASSED = "PASSED"
    INCORRECT_SHAPE = "INCORRECT_SHAPE"
    INCORRECT_NUMERICAL = "INCORRECT_NUMERICAL"
    INCORRECT_DTYPE = "INCORRECT_DTYPE"
    RUNTIME_ERROR = "RUNTIME_ERROR"
    COMPILE_ERROR = "COMPILE_ERROR"
    TIMEOUT = "TIMEOUT"


class Environment(TraceModel):
    """Where an evaluation ran."""

    hardware: NonEmpty
    libs: dict[str, str] = Field(default_factory=dict)


class Correctness(TraceModel):
    """Largest errors over all elements and trials; non-finite numbers are written as strings."""

    max_relative_error: float = 0.0
    max_absolute_error: float = 0.0
    extra: dict[str, Any] | None = None

    @field_validator("max_relative_error", "max_absolute_error")
    @classmethod
    def _not_negative(cls, value: float) -> float:
        if value < 0:
            raise ValueError("must not be negative")
        return value


class Performance(TraceModel):
    """Latencies in milliseconds; 0.0 where nothing was measured, never an infinity."""

    latency_ms: float = Field(default=0.0, ge=0.0)
    reference_latency_ms: float = Field(default=0.0, ge=0.0)
    speedup_factor: float = Field(default=0.0, ge=0.0)

    @field_validator("latency_ms", "reference_latency_ms", "speedup_factor")
    @classmethod
    def _finite(cls, value: float) -> float:
        return value if math.isfinite(value) else 0.0


class TraceEvaluation(TraceModel):
    """The format's verdict: which parts it holds depends on the status."""

    status: EvaluationStatus
    environment: Environment
    timestamp: NonEmpty
    log: str = ""
    correctness: Correctness | None = None
    performance: Performance | None = None

    @model_validator(mode="after")
    def _parts_fit_the_status(self) -> TraceEvaluation:
        passed = self.status is EvaluationStatus.PASSED
        compared = passed or self.status is EvaluationStatus.INCORRECT_NUMERICAL
        if (self.correctness is not None) is not compared:
            word = "must" if compared else "must not"
            raise ValueError(f"{self.status} {word} have correctness")
        if (self.performance is not None) is not passed:
            raise ValueError(f"{self.status} {'must' if passed else 'must not'} have performance")
        return self


class Trace(TraceModel):
    """A workload, and what a solution did on it; without a solution it is only the workload."""

    definition: NonEmpty
    workload: Workload
    solution: str | None = None
    evaluation: TraceEvaluation | None = None

    @property
    def is_workload_only(self) -> bool:
        """Whether the line describes a workload and no run of it."""
        return self.solution is None and self.evaluation is None


# --- digests and unknown keys -----------------------------------------------------------------


def digest_of(*parts: str) -> str:
    """SHA-256 over length-prefixed parts, as hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def definition_hash(definition: Definition) -> str:
    """Digest of what changes the meaning of a definition: not its tags and descriptions."""
    return digest_of(
        "definition",
        definition.name,
        interface_hash(definition),
        json.dumps(definition.constraints),
        definition.reference,
        *([json.dumps(definition.scalar_defaults)] if definition.scalar_defaults else ()),
    )


def interface_hash(definition: Definition) -> str:
    """Digest of axes, and of inputs and outputs in their order: what a solution is called with."""
    content = [
        sorted([name, getattr(axis, "value", -1)] for name, axis in definition.axes.items()),
        [[name, s.shape, s.dtype] for name, s in definition.inputs.items()],
        [[name, s.shape, s.dtype] for name, s in definition.outputs.items()],
    ]
    return digest_of("interface", json.dumps(content))


def workload_digest(workloads: Sequence[Workload]) -> str:
    """Digest of workloads in their order; the contents of files they point to are not in it."""
    return digest_of(
        "workloads", *(json.dumps(w.model_dump(mode="json"), sort_keys=True) for w in workloads)
    )


def unknown_keys(model: BaseModel) -> list[str]:
    """Dotted paths of the keys that were read and that the format does not have."""
    return list(_unknown(model, ""))


def _unknown(value: Any, path: str) -> Iterable[str]:
    if isinstance(value, BaseModel):
        prefix = f"{path}." if path else ""
        yield from (f"{prefix}{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{prefix}{name}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unknown(item, f"{path}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unknown(item, f"{path}[{position}]")
