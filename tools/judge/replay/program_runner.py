"""One runner of one program: inputs placed, calls replayed, outputs read and guards looked at."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from ...messages.runner import Flush, Replay, ReplayCall, ReplayTimes
from ..calls.shared_memory import Damage, DeviceMemory, SharedArena
from ..checks.time_budget import StageTimes
from ..machine.clock_rate import wait_for_rate
from ..operators.input_sets import InputSet
from ..processes.runner_process import RunnerProcess
from .memory.placed_values import PlacedValues, poisons_of
from .recorded_call import RecordedCall
from .rotation import rotation_of
from .session import MappedRunner, ReplaySession
from .wall_clock import (
    RotatedCall,
    Surplus,
    WitnessBatches,
    YardstickTimes,
    surplus_in,
    witness_in,
    yardstick_in,
)
from .witness import Witness

REQUEST_S = 60.0
WITNESS_CALLS, LEAST_WITNESS_CALLS = 40, 6
WITNESS_BATCH_NS = 4e6
"""Of calls in a batch of the witness: then a reading of its clock is less than 0.01 % of it."""
LONG_CALL_NS = 2e5
LONG_CALLS = WitnessBatches(calls=1, count=12, pause_s=0.004)
"""As they are timed. On an H200 batches of calls of the mixture of experts disagreed with calls one
by one on the same inputs (of eleven calls of 326 us: 353), and honest times were only claimed. That
more power lowers the clock in them is a guess."""
CLOCK_SPANS = 5


@dataclass(frozen=True)
class ReplayedCall:
    """One replay as the judge observed it.

    Args:
        times: what the runner tells of it.
        outputs: copied out of the memory that the runner shares.
        poisons: bit pattern that each output held before.
        mutated, damage: inputs and guard bands that changed, known after the last of several.
    """

    times: ReplayTimes
    outputs: dict[str, torch.Tensor]
    poisons: dict[str, int]
    mutated: tuple[str, ...] = ()
    damage: tuple[Damage, ...] = ()


class ProgramRunner:
    """Replays the recorded calls of one program in one runner.

    Args:
        runner: fresh.
        device: the judge's own view of the device.
        arena_address: where the arena lies in the runner, as where the calls were recorded.
        arena_bytes: of the arena there.
        staging_bytes: memory for the values of calls.

    Raises:
        RunnerLostError: when the runner fails.
    """

    def __init__(
        self,
        runner: RunnerProcess,
        device: torch.device,
        arena_address: int,
        arena_bytes: int,
        staging_bytes: int,
    ) -> None:
        self._runner = runner
        index = device.index or 0
        self._memory = [DeviceMemory(arena_bytes, index), DeviceMemory(staging_bytes, index)]
        arena, staging = self._memory
        self._arena = SharedArena(arena, random.Random())
        self._staging = staging.bytes
        self._mapped = MappedRunner(runner, arena, arena_address, staging, REQUEST_S)
        self._recorded: RecordedCall | None = None
        self._session: ReplaySession | None = None
        self._placed: PlacedValues | None = None
        self._last: InputSet | None = None
        self._poison: Sequence[int] = ()
        self._heard: Sequence[ReplayTimes] = ()
        self._rotated: RotatedCall | None = None
        self._span_ns = 0.0
        self._yardstick: YardstickTimes | None = None
        self._surplus: Surplus | None = None
        self.times = StageTimes()
        """What replays are made of: wall time of a trial, by part."""

    def load(self, recorded: RecordedCall) -> ReplaySession:
        """Loads a call's plan in place of the one before."""
        self._recorded, self._rotated, self._span_ns = recorded, None, 0.0
        session = self._session = self._mapped.load(recorded.checked, recorded.tensors)
        layout = self._arena.at(recorded.layout.slots, recorded.layout.offsets)
        self._placed = PlacedValues(recorded, layout, session.staging, self._staging)
        return session

    @property
    def alive(self) -> bool:
        """Whether its process is there and has a context."""
        return self._runner.prepared()

    @property
    def clock_note(self) -> str:
        """Why it records no activity, as it said before a plan was loaded; empty where it does."""
        return self._runner.clock_note

    @property
    def nbytes(self) -> int:
        """Device memory that it shares, and what its loaded plan wants beside that."""
        regions = self._recorded.checked.plan.regions if self._recorded else ()
        return sum(map(_size, self._memory)) + sum(region.nbytes for region in regions)

    def is_large_enough(self, arena_bytes: int, staging_bytes: int) -> bool:
        """Whether its memory is as large as this."""
        arena, staging = map(_size, self._memory)
        return arena >= arena_bytes and staging >= staging_bytes

    def begin_trial(self, times: StageTimes) -> None:
        """Forgets what was measured in it: a later trial's yardstick is one of its own."""
        self._yardstick, self._surplus = None, None
        self._span_ns, self.times = 0.0, times

    @property
    def most_calls(self) -> int:
        """How many calls fit into the staging memory at once."""
        assert self._session is not None
        return self._session.most_calls

    @property
    def yardstick(self) -> YardstickTimes:
        """A kernel of the runner's own, timed by both clocks; once, when first asked for."""
        if self._yardstick is None:
            self._yardstick = yardstick_in(self._runner, REQUEST_S)
        return self._yardstick

    def wait_for_clock(self, least_ns: float | None) -> float | None:
        """Waits until the yardstick takes no longer than it has taken; its least span so far.

        Args:
            least_ns: of all runners before; where none was asked, a steady span is waited for.

        Returns:
            As `wait_for_rate`.
        """
        request = Replay(calls=[ReplayCall()] * CLOCK_SPANS, program="yardstick")

        def span_ns() -> float | None:
            times = self._runner.replayed(request, REQUEST_S).times
            spans = [one.span_ns for one in times if one.span_ns]
            return float(median(spans)) if spans else None

        return wait_for_rate(span_ns, least_ns)

    def witness(self) -> Witness:
        """The bound of the loaded call's mean span by the judge's own clock."""
        assert self._recorded is not None
        if self._surplus is None:
            self._surplus = surplus_in(self._runner, REQUEST_S, self.yardstick, WITNESS_CALLS)
        return witness_in(
            self._runner,
            REQUEST_S,
            nodes=len(self._recorded.checked.plan.nodes),
            surplus=self._surplus,
            batches=witness_batches(self._span_ns),
        )

    def replay(
        self, input_sets: Sequence[InputSet], poison: Sequence[int], flushes: Sequence[Flush]
    ) -> list[ReplayedCall]:
        """Replays one call for each set of inputs, by the five steps that follow."""
        self.place(input_sets)
        self.await_placed()
        self.make(poison, flushes)
        self.hear()
        return self.look()

    def place(self, input_sets: Sequence[InputSet]) -> None:
        """Copies the inputs of calls to where the runner finds them, and paints the guard bands.

        It waits for nothing: `await_placed` comes before the calls are made.
        """
        with self.times.measured("replay_inputs"):
            self._values.layout.paint()
            self._values.put(input_sets)
        self._last = input_sets[-1]

    def await_placed(self) -> None:
        """Waits until what was placed lies there, in this runner's memory and others'."""
        with self.times.measured("replay_inputs"):
            if self._staging.is_cuda:
                torch.cuda.synchronize(self._staging.device)

    def make(self, poison: Sequence[int], flushes: Sequence[Flush]) -> None:
        """Replays a call for each of the inputs placed last; all have been made when it returns.

        The runner then reads what its clocks saw, for which `hear` waits.

        Args:
            poison: a byte for each call, which its outputs are filled with before it.
            flushes: what comes before each call.
        """
        assert self._session is not None
        with self.times.measured("replay_request"):
            self._session.replay(poison, flushes)
        self._poison = poison
        self.times.add("replay_in_runner", self._session.total_ns / 1e9)

    def hear(self) -> None:
        """Waits for the times of the calls made last."""
        assert self._session is not None
        with self.times.measured("replay_times"):
            self._heard = self._session.times()
        self._span_ns = max([self._span_ns, *(one.span_ns or 0.0 for one in self._heard)])

    def look(self) -> list[ReplayedCall]:
        """What the calls heard of last gave, and what they changed that they may not."""
        with self.times.measured("replay_outputs"):
            assert self._last is not None
            mutated, damage = self._values.after(self._last)
            self._last = None  # it may be gigabytes
            calls = [
                self._replayed(n, byte, times)
                for n, (byte, times) in enumerate(zip(self._poison, self._heard, strict=True))
            ]
        calls[-1] = replace(calls[-1], mutated=mutated, damage=damage)
        return calls

    def rotate(self, l2_bytes: int, memory_bytes: int) -> RotatedCall:
        """Makes copies of the loaded call's tensors, for `sustain`, once.

        Args:
            l2_bytes: of the device.
            memory_bytes: that the copies may take.

        Raises:
            NotRotatedError: when the call cannot be made on copies.
        """
        assert self._recorded is not None and self._session is not None
        if self._rotated is None:
            rotation = rotation_of(
                self._recorded.tensors,
                nodes=len(self._recorded.checked.plan.nodes),
                l2_bytes=l2_bytes,
                memory_bytes=memory_bytes,
            )
            self._rotated = RotatedCall(self._session, rotation)
        return self._rotated

    def sustain(
        self, input_sets: Sequence[InputSet], kept: Sequence[int], poison: Sequence[int]
    ) -> tuple[float, list[ReplayedCall]]:
        """Calls the plan on each copy once, back to back; `rotate` comes before.

        Args:
            input_sets: which the copies take in turn.
            kept: for each set of inputs, a copy whose outputs are looked at.
            poison: a byte for each of these copies.

        Returns:
            Nanoseconds a call, by events, and the calls that were looked at.
        """
        assert self._rotated is not None
        self._values.put(input_sets)
        self.await_placed()
        call_ns = self._rotated.once(kept, poison)
        return call_ns, [
            self._replayed(n, byte, ReplayTimes(span_ns=round(call_ns)))
            for n, byte in enumerate(poison)
        ]

    def close(self) -> None:
        """Ends the runner, and frees the memory that it shares."""
        self.end()
        self.free()

    def end(self) -> None:
        """Ends the runner; takes a tenth of a second and waits for nothing in this process."""
        self._runner.close()

    def free(self) -> None:
        """Frees the memory that the runner, which has ended, shared."""
        self._staging, self._placed = torch.empty(0), None
        for memory in self._memory:
            memory.close()

    def _replayed(self, call: int, byte: int, times: ReplayTimes) -> ReplayedCall:
        poisons = poisons_of(self._values.output_slots, byte)
        return ReplayedCall(times=times, outputs=self._values.outputs(call), poisons=poisons)

    @property
    def _values(self) -> PlacedValues:
        assert self._placed is not None
        return self._placed


def witness_batches(span_ns: float) -> WitnessBatches:
    """The batches of the witness: fewer calls of those that take long.

    Args:
        span_ns: what a call takes, as the runner tells it; 0 where nothing is known.
    """
    if span_ns >= LONG_CALL_NS:
        return LONG_CALLS
    fitting = math.ceil(WITNESS_BATCH_NS / max(span_ns, 1.0))
    return WitnessBatches(max(LEAST_WITNESS_CALLS, min(WITNESS_CALLS, fitting)))


def _size(memory: DeviceMemory) -> int:
    return memory.bytes.numel()
