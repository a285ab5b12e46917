"""One call of a candidate: arguments in, outputs copied out before anything synchronises.

The snapshot rule: what the caller's stream has produced when the callable returns is copied, on
that stream, into memory that the judge reads; only that copy is judged. Work that was not ordered
before it is not in it. After a device-wide synchronisation and a short delay a second copy shows
whether something was still writing.

Every function used here is bound before candidate code is imported, so that replacing
`torch.cuda.synchronize` or `time.perf_counter_ns` changes nothing here. Code in the same process
can still do worse; the judge believes the memory it reads, and bounds the rest from outside.
"""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...messages.candidate import Argument, Called, CallRequest, Collected, TensorRef
from ...messages.launches import DeferredTimes
from ..compilation.builders import LoadedCandidate
from ..cpu.fake_memory import Memory, lay, memory_of
from ..faults import CandidateError, fault_of
from . import torch_guards
from .clock import CallTiming, Clock, NoClock
from .shared_memory import MappedArena, ReturnedMemory, lies_in

LATE_DELAY_S = 0.001
NAMED, NAMED_CHARACTERS = 16, 80
"""Of the keys of a returned dict."""

_sleep = time.sleep
_synchronize = getattr(torch._C, "_cuda_synchronize", torch.cuda.synchronize)


class Caller:
    """Calls one candidate, with arguments and snapshots in `arena`, and keeps what it returned."""

    def __init__(
        self, candidate: LoadedCandidate, arena: MappedArena, clock: Clock | None = None
    ) -> None:
        self._candidate = candidate
        self._arena = arena
        self._clock = clock or NoClock()
        self._earlier = ReturnedMemory()
        self._on_device = arena.device.type == "cuda"

    def call(self, request: CallRequest) -> Called:
        """Carries out one request; the candidate's failure is part of the answer."""
        timing = CallTiming()
        returned: list[str] = []
        collecting = torch_guards.collects()
        try:
            if request.disable_own_kernels:
                self._require_kernels_to_disable()
            timing = self._call(request, returned)
        except BaseException as error:
            fault = fault_of(error, self._candidate.source_dir)
            return Called(fault=fault, returned=returned)
        finally:
            torch_guards.rehook(collecting)
            _flush_log()
        return Called(**_times(timing), returned=returned, interpreted=timing.interpreted)

    @property
    def source_dir(self) -> Path:
        """Where the candidate's sources lie."""
        return self._candidate.source_dir

    @property
    def on_device(self) -> bool:
        """Whether calls are made on a GPU, and not on what stands in for one."""
        return self._on_device

    @property
    def device(self) -> torch.device:
        """Where outputs must lie."""
        return self._arena.device

    @property
    def entry(self) -> str:
        """Name of the function that is called."""
        return self._candidate.request.entry_point.rpartition("::")[2]

    def handed(
        self, arguments: Sequence[Argument], outputs: Sequence[TensorRef]
    ) -> list[torch.Tensor]:
        """The tensors that a call is made with, as they are now."""
        given = [v for v in self._arena.values(arguments) if isinstance(v, torch.Tensor)]
        return [*given, *map(self._arena.tensor, outputs)]

    def end_recording(self) -> None:
        """Has the clock leave the device's activities to another profiler."""
        self._clock.end_recording()

    @property
    def clock_buffers(self) -> list[int]:
        """Addresses of the clock's own device memory."""
        return self._clock.buffers()

    def collect(self, *, rest: bool = False) -> Collected:
        """The times of the calls that were deferred.

        Args:
            rest: whether to give back the device memory that torch keeps unused.
        """
        if rest and self._on_device:
            torch.cuda.empty_cache()
        found = self._clock.collect(self._candidate)
        return Collected(
            times=[DeferredTimes(number=n, **_times(timing)) for n, timing in found.items()],
            kernels=self._clock.kernels(),
        )

    def bound(
        self,
        arguments: Sequence[Argument],
        outputs: Sequence[TensorRef],
        returnable: Sequence[int] | None = None,
    ) -> tuple[Callable[[], None], list[torch.Tensor]]:
        """A function that makes one call, and the list that receives what it returns.

        The list stays empty where outputs are passed as arguments.

        Args:
            returnable: positions of the arguments that may be returned; None: all.
        """
        passed, _ = self.passed(arguments, outputs)
        lent = passed if returnable is None else [passed[i] for i in returnable]
        if not self._on_device:
            lay(passed)
        returned: list[torch.Tensor] = []

        def call() -> None:
            returned.extend(self.made_with(passed, outputs, lent))

        return call, returned

    def passed(
        self, arguments: Sequence[Argument], outputs: Sequence[TensorRef]
    ) -> tuple[list[Any], int]:
        """What a call is made with, and how many of these, the last ones, are to be written."""
        values = self._arena.values(arguments)
        if not self._by_destination:
            return values, 0
        return [*values, *map(self._arena.tensor, outputs)], len(outputs)

    def made_with(
        self, passed: Sequence[Any], outputs: Sequence[TensorRef], lent: Sequence[Any] = ()
    ) -> list[torch.Tensor]:
        """Makes a call with these very values; what it returns, nothing where outputs are passed.

        Args:
            lent: those of the values that may be returned.

        Raises:
            CandidateError: when something else came back than is defined.
        """
        result = self._run(passed)
        if self._by_destination:
            return []
        values = self._taken(result, outputs, [], lent)
        # An argument that is returned will be refilled.
        return [torch_guards.clone(v) if self._is_lent(v) else v for v in values]

    def _call(self, request: CallRequest, returned: list[str]) -> CallTiming:
        arguments = self._arena.values(request.arguments)
        # The candidate gets tensors of its own: it can give those other memory (`.data =`, `set_`,
        # `swap_tensors`), and what is copied out must be the caller's buffers.
        handed = [self._arena.tensor(ref) for ref in request.outputs]
        outputs = [self._arena.tensor(ref) for ref in request.outputs]
        snapshots = [self._arena.tensor(ref) for ref in request.snapshots]
        late = [self._arena.tensor(ref) for ref in request.late]
        passed = [*arguments, *handed] if self._by_destination else arguments
        produced: list[Any] = []
        if not self._on_device:
            lay([*arguments, *handed])

        def snapshot(result: Any) -> None:
            if self._by_destination:
                produced.extend(outputs)
            else:
                lent = [arguments[i] for i in request.returnable]
                produced.extend(self._taken(result, request.outputs, returned, lent))
            _copy_all(produced, snapshots)

        timing = self._clock.measure(request, lambda: self._run(passed), snapshot, self._candidate)
        if replaced := torch_guards.replaced(on_device=self._on_device):
            raise CandidateError(
                "replaced_torch", f"Torch's own {', '.join(replaced)} was replaced by another"
            )
        if late:
            _sleep(LATE_DELAY_S)
            self._join()
            _copy_all(produced, late)
            self._join()
        if self._by_destination:
            _require_same_memory(handed, outputs)
        else:
            own = [p for p in produced if isinstance(p, torch.Tensor) and not self._is_lent(p)]
            self._earlier.add(own)
        return timing

    def _run(self, passed: Sequence[Any]) -> Any:
        try:
            return self._candidate.function(*passed)
        except CandidateError as forged:
            # Ours are raised around the candidate, never by it: some are blamed on the harness.
            raise RuntimeError(f"{type(forged).__name__}: {forged}") from None
        finally:
            torch_guards.unhook()

    @property
    def _by_destination(self) -> bool:
        return self._candidate.request.destination_passing_style

    def _join(self) -> None:
        if self._on_device:
            _synchronize()

    def _require_kernels_to_disable(self) -> None:
        if self._candidate.request.language not in ("python", "triton"):
            raise CandidateError(
                "kernels_not_disabled",
                "Kernels of a compiled library cannot be disabled from outside it",
            )

    def _taken(
        self, result: Any, refs: Sequence[TensorRef], returned: list[str], lent: Sequence[Any]
    ) -> list[Any]:
        names = self._candidate.request.output_names
        values = _listed(result, names)
        returned.extend(_described(value) for value in values[:64])
        if len(values) != len(refs):
            came = f"{len(values)} output{'s' * (len(values) != 1)} came back, "
            came += f"{len(refs)} {'are' if len(refs) != 1 else 'is'} defined"
            raise CandidateError("wrong_output_count", came + _missing(result, names))
        own = [one for one in lent if isinstance(one, torch.Tensor)]
        faults = [self._fault_of(value, ref, own) for value, ref in zip(values, refs, strict=True)]
        found = [(position, fault) for position, fault in enumerate(faults) if fault is not None]
        if found:
            (first, (kind, message)), *others = found
            more = [f" Output {at + 1} of {len(refs)}: {fault[1]}." for at, fault in others]
            message += "." + "".join(more) if more else ""
            raise CandidateError(kind, message, output_position=first)
        return values

    def _is_lent(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor) and self._arena.holds(value)

    def _fault_of(
        self, value: Any, ref: TensorRef, lent: Sequence[torch.Tensor]
    ) -> tuple[str, str] | None:
        fault = _value_fault(value, ref, self._arena.device)
        if fault is None and isinstance(value, torch.Tensor):
            fault = self._alias_fault(value, lent)
        return fault

    def _alias_fault(
        self, value: torch.Tensor, lent: Sequence[torch.Tensor]
    ) -> tuple[str, str] | None:
        if self._arena.holds(value):
            if any(lies_in(value, one) for one in lent):
                return None
            return "aliases_input", "The returned tensor shares memory with an argument"
        if self._earlier.holds(value):
            return (
                "aliases_earlier_output",
                "The returned tensor shares memory with what an earlier call returned",
            )
        return None


def _require_same_memory(handed: Sequence[torch.Tensor], own: Sequence[torch.Tensor]) -> None:
    """Names the fault of a candidate that gave an output other memory; the values show it too."""
    for position, (theirs, ours) in enumerate(zip(handed, own, strict=True)):
        if (
            ours.numel()
            and theirs.untyped_storage().data_ptr() != ours.untyped_storage().data_ptr()
        ):
            raise CandidateError(
                "rebound_output",
                "The output tensor was given other memory (by .data =, set_ or swap_tensors); the "
                "caller's buffer keeps what it held before the call",
                output_position=position,
            )


def _times(timing: CallTiming) -> dict[str, Any]:
    return {
        "timer": timing.timer,
        "timer_note": timing.note,
        "span_ns": timing.span_ns,
        "host_ns": timing.host_ns,
        "activities": timing.activities,
        "dropped_activities": timing.dropped,
    }


def _value_fault(value: Any, ref: TensorRef, device: torch.device) -> tuple[str, str] | None:
    if isinstance(value, (bool, int, float)) and not ref.shape:
        return None
    if value is None:
        return "missing_output", "None was returned where a tensor is defined"
    if not isinstance(value, torch.Tensor):
        return "not_a_tensor", f"{type(value).__name__} was returned, a torch.Tensor is defined"
    if type(value) is not torch.Tensor:
        return "lazy_tensor", f"{type(value).__name__} was returned; torch.Tensor itself must be"
    if value.layout is not torch.strided:
        return "lazy_tensor", f"A tensor of layout {value.layout} was returned; strided must be"
    expected = "×".join(map(str, ref.shape)) or "scalar"
    if list(value.shape) != ref.shape:
        return "wrong_shape", f"Shape {list(value.shape)} was returned, {expected} is defined"
    if str(value.dtype).removeprefix("torch.") != ref.dtype:
        return "wrong_dtype", f"{value.dtype} was returned, {ref.dtype} is defined"
    if value.device != device or memory_of(value) is Memory.HOST:
        where = device if device.type == "cuda" else "cuda"
        return "wrong_device", f"The output lies on {value.device}, it must lie on {where}"
    return None


def _listed(result: Any, names: Sequence[str]) -> list[Any]:
    """The returned values in the definition's order: those of a dict by `names`.

    The call is over, and no candidate code may run: a subclass's iterator is not used, `__class__`
    not asked for, and a key that is no plain string not compared.
    """
    kind, values = type(result), [result]
    if kind is dict:
        by_name = {key: value for key, value in result.items() if type(key) is str}
        values = [by_name[name] for name in names if name in by_name]
    elif issubclass(kind, tuple | list):
        values = [*(tuple if issubclass(kind, tuple) else list).__iter__(result)]
    return [_plain(value) for value in values]


def _missing(result: Any, names: Sequence[str]) -> str:
    """Which outputs a returned dict has not, and what it has instead; empty of anything else."""
    if type(result) is not dict:
        return ""
    keys = [key for key in result if type(key) is str]
    unknown = [key for key in keys if key not in names]
    others = [key[:NAMED_CHARACTERS] for key in unknown[:NAMED]]
    words: list[str] = []
    for name in [name for name in names if name not in keys][:NAMED]:
        near = difflib.get_close_matches(name, others, n=1)
        words.append(f"{name!r} is missing" + (f" (is it {near[0]!r}?)" if near else ""))
    left = {"more": len(unknown) - len(others), "whose type is not str": len(result) - len(keys)}
    has = [*map(repr, others), *(f"{count} {which}" for which, count in left.items() if count)]
    return f": {', '.join(words)}; the dict has {', '.join(has) or 'nothing else'}"


def _plain(value: Any) -> Any:
    """A number of a subclass as one of Python's own; any other value as it is."""
    kind = type(value)
    if issubclass(kind, float):
        return float.__float__(value)
    return int.__int__(value) if issubclass(kind, int) and kind is not bool else value


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')} {value.device}"
    return type(value).__name__[:80]


def _copy_all(produced: Sequence[Any], targets: Sequence[torch.Tensor]) -> None:
    for value, target in zip(produced, targets, strict=True):
        torch_guards.copy(target, value)


def _flush_log() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
