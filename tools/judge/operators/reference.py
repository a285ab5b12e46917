"""The definition's reference: PyTorch code of the dataset, run in the judge.

Whatever it raises or returns that is not as defined is the definition's fault, with the line of the
reference. A dataset is trusted, a candidate is not; so only running out of memory, which a
candidate may cause, is a fault of the machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import linecache
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch

from ...errors import DatasetError, HarnessError, InfrastructureError
from ...schema.flashinfer_trace import Definition
from ...text import counted
from ...workloads.policy import Nonfinite
from ..numerics.packed import unpacked
from .folder_code import StoppedError, bounded
from .generic_operator import Value

T = TypeVar("T")
_TRITON = re.compile(r"^\s*(?:import|from) +triton\b", re.MULTILINE)
_INTERPRET = "TRITON_INTERPRET"
MOST_WORDS = 1_500
"""Of an error's text: that of a full device names each process on it."""
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")

_overwritten: dict[str, tuple[str, ...]] = {}
"""By reference, the inputs that it writes to: outputs of an earlier plan may be kept, and no call
made in the next one."""


class Reference:
    """Runs the reference of one definition.

    Args:
        place: the file or dataset that it stands in, for messages.
        generic_inputs: whether inputs are drawn at random, by no inputs.py.
        limit_s: of one call.
    """

    def __init__(
        self,
        definition: Definition,
        place: str,
        *,
        generic_inputs: bool,
        limit_s: float = math.inf,
    ) -> None:
        self._limit_s = limit_s
        self._definition = definition
        self.place = place if place.endswith(".py") else f"{place}, field reference"
        self._generic_inputs = generic_inputs
        self._run: Callable[..., Any] | None = None
        digest = hashlib.sha256(definition.reference.encode()).hexdigest()[:12]
        self._file = f"<reference of {definition.name} {digest}>"

    @property
    def overwritten(self) -> tuple[str, ...]:
        """The inputs that the first call of this code wrote to, in this process."""
        return _overwritten.get(self._file, ())

    def outputs(
        self, inputs: Mapping[str, Value], axes: Mapping[str, int], *, shown: bool, counted: bool
    ) -> tuple[dict[str, torch.Tensor], float | None]:
        """The outputs by name for copies of these inputs, and the FLOPs of its matrix products.

        Args:
            axes: of the workload, with the constant ones.
            shown: whether a message may tell axes and values; not for held-out workloads.
            counted: whether FLOPs are counted; they are None otherwise.

        Raises:
            DatasetError: when the reference raises, or returns what the definition does not say.
            InfrastructureError: when memory ran out.
        """
        try:
            first = self._run is None
            run = self._run = self._run or bounded(self._loaded, self._limit_s)()

            def call() -> Any:
                copies = {
                    name: value.clone() if isinstance(value, torch.Tensor) else value
                    for name, value in inputs.items()
                }
                result = run(*copies.values())
                if first:
                    _overwritten[self._file] = _changed(inputs, copies)
                return result

            with torch.no_grad():
                result, flops = counting_flops(call) if counted else (call(), None)
            return named_outputs(self._definition, result, axes, self.place), flops
        except HarnessError:
            raise
        except Exception as error:
            raise_when_memory_ran_out(error, self._definition.name)
            raise self._fault(error, axes, shown=shown) from error

    def _loaded(self) -> Callable[..., Any]:
        source = self._definition.reference
        if _TRITON.search(source) and not torch.cuda.is_available():
            _interpret_triton()
        linecache.cache[self._file] = (len(source), None, source.splitlines(True), self._file)
        module = ModuleType(self._file.strip("<>").replace(" ", "_"))
        # A dataclass whose annotations are text looks its module up while it is being made.
        sys.modules[module.__name__] = module
        try:
            exec(compile(source, self._file, "exec"), vars(module))
        finally:
            del sys.modules[module.__name__]
        return bounded(module.run, self._limit_s, torch.get_default_dtype())

    def _fault(self, error: Exception, axes: Mapping[str, int], *, shown: bool) -> DatasetError:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self._file]
        if isinstance(error, SyntaxError):
            lines = [error.lineno]
        said = f": {str(error)[:400]}" if shown else ", on a held-out workload"
        if isinstance(error, StoppedError):
            said = f": {error}"  # words of ours, which tell nothing of the workload
        sizes = ", ".join(f"{name}={size}" for name, size in axes.items())
        return DatasetError(
            f"The reference failed with {type(error).__name__}{said}"
            + (f" (for {sizes})" if shown and sizes else ""),
            where=self.place + (f", line {lines[-1]}" if lines else ""),
            remedy=getattr(error, "remedy", "") or self._remedy(),
        )

    def _remedy(self) -> str:
        inputs = self._definition.inputs.items()
        drawn = [name for name, spec in inputs if spec.dtype in INTEGERS and spec.shape is not None]
        if self._generic_inputs and drawn:
            return (
                f"If {', '.join(drawn)} must be valid indices or lengths: they are drawn at random "
                "from -1024 to 1024. Give the operator an inputs.py that makes valid ones, or "
                "workloads that store them. Otherwise correct the reference."
            )
        return "Correct the reference; no change to the candidate helps."


def _interpret_triton() -> None:
    """Has Triton's kernels in references run in its interpreter, as there is no device.

    Triton's own functions are made for it as they are imported, by a variable that is taken back:
    processes that are started later compile.
    """
    os.environ[_INTERPRET] = "1"  # noqa: TID251 - read by triton as it is imported
    try:
        with contextlib.suppress(ImportError):
            knobs = importlib.import_module("triton.knobs")
            knobs.runtime.interpret = True
    finally:
        os.environ.pop(_INTERPRET)  # noqa: TID251 - the same


def counting_flops(run: Callable[[], T]) -> tuple[T, float | None]:
    """The result of `run` and the FLOPs of its matrix products; None where torch cannot count.

    It runs a second time, uncounted, when counting failed.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with counter:
            result = run()
    except StoppedError:
        raise
    except Exception:
        return run(), None
    return result, float(counter.get_total_flops())


def definition_place(definition: Definition, folder: Path | None, root: Path | None) -> str:
    """Where a definition's reference stands, for messages: a file, else the definition's name."""
    if folder is not None:
        own = folder / "reference.py"
        stated = own.is_file() and own.read_text("utf-8") == definition.reference
        return str(own if stated else folder / "definition.json")
    name = f"definition {definition.name!r}"
    if root is None:
        return name
    file = root / "definitions" / definition.op_type / f"{definition.name}.json"
    return str(file) if file.is_file() else f"{name} of {root}"


def _changed(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[str, ...]:
    """The tensors of which some bytes are others."""
    found: list[str] = []
    for name, value in before.items():
        other = after[name]
        if isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor):
            one, two = (v.contiguous().reshape(-1).view(torch.uint8) for v in (value, other))
            found += [] if torch.equal(one, two) else [name]
    return tuple(found)


def named_outputs(
    definition: Definition, result: Any, axes: Mapping[str, int], where: str
) -> dict[str, torch.Tensor]:
    """What a reference or an oracle returned, by the names of the definition's outputs.

    Raises:
        DatasetError: when their number or a shape is not the definition's.
    """
    names = list(definition.outputs)
    values = list(result) if isinstance(result, tuple | list) else [result]
    if isinstance(result, dict):
        if lacks := [repr(name) for name in names if name not in result]:
            others = ", ".join(repr(name) for name in result if name not in names) or "nothing else"
            raise _not_as_defined(f"gave no {', '.join(lacks)}, but {others}", where)
        values = [result[name] for name in names]
    if len(values) != len(names):
        given, due = counted(len(values), "value"), counted(len(names), "output")
        raise _not_as_defined(f"returned {given} for {due}", where)
    outputs: dict[str, torch.Tensor] = {}
    shapes = definition.output_shapes(axes)
    for name, value in zip(names, values, strict=True):
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
        if tensor.is_complex() or tensor.is_meta or tensor.layout is not torch.strided:
            kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"
            raise _not_as_defined(f"gave {name!r} as no plain numbers ({kind})", where)
        due = shapes[name] or ()
        if tuple(tensor.shape) != tuple(due):
            words = f"gave {name!r} the shape {list(tensor.shape)}, not {list(due)}"
            raise _not_as_defined(words, where)
        outputs[name] = unpacked(tensor)
    return outputs


def require_allowed_values(
    outputs: Mapping[str, torch.Tensor], allowed: Nonfinite, where: str
) -> None:
    """Refuses expected outputs with NaN, or infinities that are not allowed.

    Raises:
        DatasetError: when there are some.
    """
    if allowed is Nonfinite.ANY:
        return
    for name, value in outputs.items():
        if not value.dtype.is_floating_point:
            continue
        wrong = ~torch.isfinite(value)
        if allowed is Nonfinite.NEGATIVE_INFINITY:
            wrong &= ~torch.isneginf(value)
        if bool(wrong.any()):
            raise DatasetError(
                f"The reference gives NaN or an infinity in {int(wrong.sum())} elements of "
                f"{name!r}, which no candidate can be compared with",
                where=where,
                remedy="Correct the reference or the inputs; no change to the candidate helps.",
            )


def _not_as_defined(words: str, where: str) -> DatasetError:
    return DatasetError(
        f"The reference {words}",
        where=where,
        remedy="Correct it, or the outputs that the definition declares.",
    )


def raise_when_memory_ran_out(error: Exception, operator: str) -> None:
    """Raises that the machine lacks memory, when the error says so: no fault of the reference.

    Raises:
        InfrastructureError: in that case; nothing is raised otherwise.
    """
    out = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if out or "can't allocate memory" in str(error):
        raise InfrastructureError(
            f"Memory ran out in the operator's own code: {str(error)[:MOST_WORDS]}",
            where=operator,
            remedy="Free memory there, or ask for smaller sizes.",
        ) from error
