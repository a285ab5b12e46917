"""One judged call: place tensors, poison outputs, call, copy out, compare memory.

A candidate can write to the shared memory at any time, so its outputs are copied out before
anything is decided. The copy that is judged was ordered on the caller's stream right after the
call; a late copy, after the whole device has synchronised, shows work that was not joined.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from ...errors import InfrastructureError
from ...messages.candidate import (
    Argument,
    Called,
    CallRequest,
    Collect,
    Collected,
    MapArena,
    Mapped,
    ScalarValue,
)
from ...messages.launches import DeferredTimes, Way
from ...schema.flashinfer_trace import Definition
from ..operators.generic_operator import torch_dtype
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import Case
from ..processes.candidate_process import CandidateSession, request
from ..processes.lost import ProcessLost
from .compared_bytes import copy_bytes, differing
from .poisons import POISONS, fill_bits, wear
from .shared_memory import (
    Damage,
    DeviceMemory,
    HostMemory,
    Layout,
    SharedArena,
    Slot,
    arena_bytes,
    footprint,
)

MAP_TIMEOUT_S = 60.0
COLLECT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class CallOptions:
    """How one call is made.

    Args:
        poison: which of the two patterns outputs hold before it.
        worn: whether they hold bits drawn at random instead, as memory that was used before does;
            what works on patterns alone is seen.
        noise: whether other work occupies part of the device.
        disable_kernels: whether the candidate's own kernels do nothing.
        examine: whether outputs and memory are read; for a baseline mostly not.
        late: whether a second copy is taken after a device-wide synchronisation.
        timeout_s: a longer call ends the candidate.
        configuration: of autotuned kernels, where they are interpreted.
        defer: number by which `JudgedCall.collect` returns its times; None: with the answer.
        watched: whether the answer tells what its kernels were launched with.
        way: how the program is used in it.
    """

    poison: int = 0
    worn: bool = False
    time: Literal["none", "cold", "warm", "events"] = "none"
    stream: Literal["default", "side"] = "default"
    noise: bool = False
    disable_kernels: bool = False
    examine: bool = True
    late: bool = True
    timeout_s: float = 60.0
    configuration: int = 0
    defer: int | None = None
    watched: bool = False
    way: Way = "called"


@dataclass(frozen=True)
class CallOutcome:
    """The result of one call as the judge observed it.

    Args:
        called: the candidate's answer: its fault, and times, which are claims.
        poisons: bit pattern that each output held before the call; None where it had none.
        changed_late: outputs whose late copy, or whose own buffer as the judge reads it after the
            answer, differs from the first copy.
        mutated: inputs whose bytes changed.
        damage: guard bands that changed.
        elapsed_ns: from the request to the answer, by the judge's clock.
        number: by which deferred times are found.
    """

    called: Called
    outputs: dict[str, torch.Tensor]
    poisons: Mapping[str, int | None]
    layout: Layout
    changed_late: list[str] = field(default_factory=list)
    mutated: list[str] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    elapsed_ns: int = 0
    number: int | None = None

    @property
    def claims(self) -> CallOutcome:
        """The same without the outputs, to free their memory."""
        return replace(self, outputs={})


@dataclass(frozen=True)
class BegunCall:
    """A call that was asked for and is not answered yet.

    Args:
        poisons: bit pattern that each output holds; None where it has none.
        at_ns: when it was asked for, by the judge's clock.
    """

    input_set: InputSet
    layout: Layout
    options: CallOptions
    poisons: Mapping[str, int | None]
    at_ns: int


def slots_of(definition: Definition, case: Case) -> list[Slot]:
    """The tensors that one call of the case needs in the arena."""
    axes = definition.axis_values(case.axes)
    slots = [
        _slot(f"in:{name}", shape, str(definition.inputs[name].dtype))
        for name, shape in definition.input_shapes(axes).items()
        if shape is not None
    ]
    for name, shape in definition.output_shapes(axes).items():
        dtype = str(definition.outputs[name].dtype)
        slots += [_slot(f"{role}:{name}", shape or (), dtype) for role in ("out", "snap", "late")]
    return slots


def has_outputs(definition: Definition, case: Case) -> bool:
    """Whether any output has elements: an empty one is always right."""
    return any(s.nbytes for s in slots_of(definition, case) if s.name.startswith("out:"))


def _slot(name: str, shape: tuple[int, ...], dtype: str) -> Slot:
    return Slot(name, shape, torch_dtype(dtype), dtype)


class JudgedCall:
    """Calls one candidate through one shared arena.

    Args:
        rng: decides where tensors lie.
        by_destination: whether the candidate writes into the caller's buffers, so that these must
            hold what it is judged by.
        arena_address: where the candidate maps the arena; 0 leaves the choice to the driver.
    """

    def __init__(
        self,
        session: CandidateSession,
        definition: Definition,
        device: torch.device,
        rng: random.Random,
        *,
        by_destination: bool,
        arena_address: int = 0,
    ) -> None:
        self.session = session
        self.arena_address = arena_address
        self._by_destination = by_destination
        self._definition = definition
        self._device = device
        self._rng = rng
        self._arena: SharedArena | None = None
        self._slots: tuple[Case, list[Slot]] | None = None
        self.meanwhile: Callable[[Callable[[], bool]], None] | None = None
        """Called while the next call's answer is awaited, with what says whether it still is."""

    def map(self, cases: list[Case]) -> ProcessLost | None:
        """Maps an arena large enough for each of the cases, unless one is mapped."""
        return self.mapped() if self.begin_map(cases) else None

    def begin_map(self, cases: list[Case]) -> bool:
        """Sends such an arena without waiting; False when one is mapped."""
        needed = arena_bytes([footprint(slots_of(self._definition, case)) for case in cases])
        if self._arena is not None:
            if self._arena.nbytes >= needed:
                return False
            self._arena.close()
        self._arena = SharedArena(self._memory(needed), self._rng)
        memory = self._arena.memory
        message = MapArena(
            memory=memory.kind,
            nbytes=self._arena.nbytes,
            device_index=self._device.index or 0,
            address=self.arena_address,
        )
        self.session.ask(message, [memory.fd])
        return True

    def mapped(self) -> ProcessLost | None:
        """Waits until the candidate has mapped the arena of `begin_map`."""
        answer = self.session.answer(Mapped, MAP_TIMEOUT_S)
        return answer if isinstance(answer, ProcessLost) else None

    def call(
        self, input_set: InputSet, options: CallOptions, at: Layout | None = None
    ) -> CallOutcome | ProcessLost:
        """Makes one call.

        Args:
            at: layout of an earlier call, whose addresses are used again; None: fresh addresses.
        """
        begun = self.begin(input_set, options, at)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile(lambda: not self.session.spoke())
        return self.finish(begun)

    def begin(
        self, input_set: InputSet, options: CallOptions, at: Layout | None = None
    ) -> BegunCall:
        """Asks for one call without waiting for its end."""
        assert self._arena is not None
        slots = self._slots_of(input_set.case)
        layout = self._arena.layout(slots) if at is None else self._arena.at(slots, at.offsets)
        poisons = self._fill(layout, input_set, options)
        message = self.request_for(input_set, layout, options)
        self._synchronise()
        begun = BegunCall(input_set, layout, options, poisons, time.perf_counter_ns())
        self.session.ask(message)
        return begun

    def finish(self, begun: BegunCall) -> CallOutcome | ProcessLost:
        """Waits for the end of a call and looks at what it left."""
        options = begun.options
        answer = self.session.answer(Called, options.timeout_s)
        elapsed = time.perf_counter_ns() - begun.at_ns
        if isinstance(answer, ProcessLost):
            return answer
        if not options.examine:
            return CallOutcome(
                answer, {}, begun.poisons, begun.layout, elapsed_ns=elapsed, number=options.defer
            )
        return self._look(begun, answer, elapsed)

    def request_for(self, input_set: InputSet, layout: Layout, options: CallOptions) -> CallRequest:
        """The request for one call."""
        arguments: list[Argument] = [
            layout.ref(f"in:{name}")
            if isinstance(value, torch.Tensor)
            else ScalarValue(value=value)
            for name, value in input_set.inputs.items()
        ]
        names = list(self._definition.outputs)
        return CallRequest(
            arguments=arguments,
            outputs=[layout.ref(f"out:{name}") for name in names],
            snapshots=[layout.ref(f"snap:{name}") for name in names],
            late=[layout.ref(f"late:{name}") for name in names] if options.late else [],
            returnable=[i for i, n in enumerate(input_set.inputs) if n in input_set.mutable],
            time=options.time,
            stream=options.stream,
            disable_own_kernels=options.disable_kernels,
            noise=options.noise,
            configuration=options.configuration,
            defer=options.defer,
            watched=options.watched,
            way=options.way,
        )

    def collect(self, *, rest: bool = False) -> dict[int, DeferredTimes] | ProcessLost:
        """The times of the deferred calls, by number; `rest` as in `Collect`."""
        answer = request(self.session, Collect(rest=rest), Collected, COLLECT_TIMEOUT_S)
        if isinstance(answer, ProcessLost):
            return answer
        return {times.number: times for times in answer.times}

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena; 0 without one."""
        return self._arena.nbytes if self._arena is not None else 0

    def placed(self, input_set: InputSet) -> Layout:
        """Places inputs without a call, for requests that only compile or record."""
        assert self._arena is not None
        layout = self._arena.layout(slots_of(self._definition, input_set.case))
        self._fill(layout, input_set, CallOptions())
        return layout

    def close(self) -> None:
        """Ends the candidate and frees the arena."""
        self.session.close()
        arena, self._arena = self._arena, None
        if arena is not None:
            arena.close()

    def _slots_of(self, case: Case) -> list[Slot]:
        if self._slots is None or self._slots[0] is not case:
            self._slots = (case, slots_of(self._definition, case))
        return self._slots[1]

    def _memory(self, nbytes: int) -> HostMemory | DeviceMemory:
        if self._device.type == "cpu":
            return HostMemory(nbytes)
        return DeviceMemory(nbytes, self._device.index or 0)

    def _fill(
        self, layout: Layout, input_set: InputSet, options: CallOptions
    ) -> dict[str, int | None]:
        poisons: dict[str, int | None] = {}
        roles = ("out", "snap", "late") if options.late else ("out", "snap")
        try:
            inputs = {n: v for n, v in input_set.inputs.items() if isinstance(v, torch.Tensor)}
            copy_bytes([(layout.tensor(f"in:{n}"), value) for n, value in inputs.items()])
            for name in self._definition.outputs:
                own = POISONS[layout.tensor(f"out:{name}").dtype]
                pattern = own[options.poison % 2]
                for role in roles:
                    fill_bits(layout.tensor(f"{role}:{name}"), pattern)
                if options.worn:
                    wear(layout.tensor(f"out:{name}"))
                poisons[name] = None if options.worn else pattern
        except RuntimeError as error:
            raise InfrastructureError(
                f"Inputs could not be placed: {str(error).splitlines()[0]}",
                remedy="Free memory on the device and evaluate again.",
            ) from error
        return poisons

    def _look(self, begun: BegunCall, called: Called, elapsed_ns: int) -> CallOutcome:
        input_set, layout, options = begun.input_set, begun.layout, begun.options
        poisons = begun.poisons
        outputs = {name: layout.tensor(f"snap:{name}").clone() for name in poisons}
        again = outputs if called.fault is None else {}
        pairs = {f"late:{name}": again[name] for name in again if options.late}
        pairs |= {f"out:{name}": again[name] for name in again if self._by_destination}
        pairs |= {
            f"in:{name}": value
            for name, value in input_set.inputs.items()
            if isinstance(value, torch.Tensor)
        }
        found = [(layout.tensor(slot), value) for slot, value in pairs.items()]
        *differ, hurt = differing([*found, layout.guards()])
        changed = {slot for slot, differs in zip(pairs, differ, strict=True) if differs}
        return CallOutcome(
            called=called,
            outputs=outputs,
            poisons=poisons,
            layout=layout,
            changed_late=[name for name in again if {f"late:{name}", f"out:{name}"} & changed],
            mutated=[name for name in input_set.inputs if f"in:{name}" in changed],
            damage=layout.damaged() if hurt else [],
            elapsed_ns=elapsed_ns,
            number=options.defer,
        )

    def _synchronise(self) -> None:
        """Waits for the judge's own work, so that the device is the candidate's alone."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
