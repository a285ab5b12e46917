"""Input sets: the inputs of one call with the outputs that are expected of it.

Seeds come from the operating system when inputs are made and are recorded, so a verdict can be
repeated but not foreseen. Expected outputs are computed once per input set. Input sets may be made
while the judge is idle (prefetched); each is used once.

What Philox draws by a seed is the same on every device; what torch's generator draws is the same on
devices of one kind only.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ...errors import HarnessError
from ...schema.drawn_inputs import InputSource, RandomGenerator
from ..numerics.fast_path import PreparedOutput
from ..numerics.mismatch import BIT_VIEW
from .generic_operator import Value
from .operator_adapter import Case, OperatorAdapter
from .reference import require_allowed_values

PERTURBED, REWRITE = "twin", "rewrite"
DERIVED = (PERTURBED, REWRITE)
"""Recorded instead of a family where inputs were made from those of another input set."""
SEED_BITS = 53
"""Seeds are recorded as JSON numbers, which many readers take for doubles."""
PERTURBED_SHARE = 0.02
PREFETCHED_BYTES = 512 << 20
PREPARED_S, PREPARED_BYTES, LARGEST_PREPARED_BYTES = 0.05, 2 << 30, 256 << 20
"""Inputs that take longer, or more memory in all, are drawn when they are needed."""
PREPARED_SHARE = 0.04
"""Of the device's memory, where that is more."""
LARGEST_PREFETCHED_BYTES = 32 << 20
"""Larger inputs are not prefetched: a request would have to wait for them."""


@dataclass(frozen=True)
class InputSet:
    """Inputs of one call, and the outputs expected of it.

    Args:
        family: the distribution, or one of `DERIVED`.
        inputs: in the definition's order, on the device.
        expected: the oracle's outputs, in a higher precision.
        trusted: the trusted implementation's outputs, in the declared precision.
        prepared: by output, what the fast path computes once for all calls on these inputs.
        flat: by input and dtype, the bytes of its value (`flat_words`), seen so once.
        drawn_s: that drawing it and running the reference took.
        mutable: inputs that a call may write to, and return.
    """

    case: Case
    family: str
    seed: int
    inputs: dict[str, Value]
    expected: dict[str, torch.Tensor]
    trusted: dict[str, torch.Tensor]
    prepared: dict[str, PreparedOutput | None] = field(default_factory=dict)
    flat: dict[tuple[str, torch.dtype], torch.Tensor] = field(default_factory=dict)
    drawn_s: float = 0.0
    mutable: Sequence[str] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        tensors = [*self.inputs.values(), *self.expected.values(), *self.trusted.values()]
        return sum(t.nbytes for t in tensors if isinstance(t, torch.Tensor))


@dataclass
class SeedBook:
    """Records the seeds and families of each case; uses recorded ones first when it replays."""

    replay: Mapping[str, Sequence[int]] = field(default_factory=dict)
    replay_families: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seeds: dict[str, list[int]] = field(default_factory=dict)
    families: dict[str, list[str]] = field(default_factory=dict)
    foreseen: dict[str, int] = field(default_factory=dict)
    """By case, the seed that its next inputs will have."""
    source: InputSource = InputSource(generator=RandomGenerator.PHILOX)
    """What every seed is given to."""

    def next(self, case: Case, family: str) -> int:
        """The seed of the case's next inputs: the recorded one, else a fresh one."""
        used = self.seeds.get(case.uuid, ())
        recorded = self.replay.get(case.uuid, ())
        foreseen = self.foreseen.pop(case.uuid, None)
        seed = foreseen if foreseen is not None else fresh_seed()
        if len(used) < len(recorded):
            seed = recorded[len(used)]
        self.note(case, family, seed)
        return seed

    def recorded(self, case: Case) -> str | None:
        """The family of the case's next recorded inputs; None after the last."""
        used = len(self.seeds.get(case.uuid, ()))
        return next(iter(self.replay_families.get(case.uuid, ())[used:]), None)

    def note(self, case: Case, family: str, seed: int) -> None:
        """Records the family and seed of inputs of the case."""
        self.seeds.setdefault(case.uuid, []).append(seed)
        self.families.setdefault(case.uuid, []).append(family)


def fresh_seed() -> int:
    """A seed from the operating system's random source."""
    return int.from_bytes(os.urandom(8), "big") >> (64 - SEED_BITS)


def pick_families(families: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Chooses non-typical families at random, without repeating one while others are left."""
    others = list(families[1:])
    picked: list[str] = []
    while others and len(picked) < count:
        picked += rng.sample(others, min(len(others), count - len(picked)))
    return picked


class PrefetchedInputs:
    """Input sets made while the judge was idle, each used once.

    Args:
        bound: most bytes of tensors to keep; the oldest input sets are evicted first.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._sets: OrderedDict[tuple[str, str], InputSet] = OrderedDict()

    def take(self, operator_key: str, case: Case, family: str) -> InputSet | None:
        """Removes and returns the input set of a case; None when there is none."""
        input_set = self._sets.get((operator_key, case.uuid))
        if input_set is None or input_set.family != family or input_set.case != case:
            return None
        return self._sets.pop((operator_key, case.uuid))

    def put(self, operator_key: str, input_set: InputSet) -> bool:
        """Keeps an input set; False when it is too large."""
        if input_set.nbytes > self._bound:
            return False
        self._sets[operator_key, input_set.case.uuid] = input_set
        while sum(kept.nbytes for kept in self._sets.values()) > self._bound:
            self._sets.popitem(last=False)
        return (operator_key, input_set.case.uuid) in self._sets

    def seed(self, operator_key: str, case: Case) -> int | None:
        """The seed of the case's inputs that are kept; None where none are."""
        input_set = self._sets.get((operator_key, case.uuid))
        return input_set.seed if input_set is not None and input_set.case == case else None

    def has(self, operator_key: str, case: Case) -> bool:
        """Whether inputs of the case are kept."""
        return (operator_key, case.uuid) in self._sets


class InputGenerator:
    """Makes input sets of one operator on one device."""

    def __init__(
        self,
        operator: OperatorAdapter,
        device: torch.device,
        book: SeedBook,
        prefetched: PrefetchedInputs,
    ) -> None:
        self.operator = operator
        self.device = device
        self.book = book
        self._prefetched = prefetched
        self._key = f"{operator.key} {book.source.generator}"
        self._prepared: dict[str, deque[InputSet]] = {}
        self._slow: set[str] = set()
        """Cases whose inputs are not drawn early."""
        self.seconds = 0.0
        """That making inputs and running the reference took so far."""

    def generate(self, case: Case, family: str = "") -> InputSet:
        """A new input set, prepared or prefetched where there is one."""
        family = family or self.operator.families[0]
        ready = self._prepared.get(case.uuid)
        typical = family == self.operator.families[0]
        prepared = ready.popleft() if typical and ready else None
        prepared = prepared or self._prefetched.take(self._key, case, family)
        if prepared is not None and not self.book.replay:
            self.book.note(case, family, prepared.seed)
            return prepared
        return self._generated(case, family, self.book.next(case, family))

    def first_seed(self, case: Case) -> int:
        """The seed that the next typical inputs of a case will have."""
        used, recorded = self.book.seeds.get(case.uuid, ()), self.book.replay.get(case.uuid, ())
        if len(used) < len(recorded):
            return recorded[len(used)]
        ready = self._prepared.get(case.uuid)
        kept = ready[0].seed if ready else self._prefetched.seed(self._key, case)
        if kept is not None and not self.book.replay:
            return kept
        return self.book.foreseen.setdefault(case.uuid, fresh_seed())

    def repeated(self, case: Case) -> InputSet:
        """The first inputs of a case again."""
        seed, family = self.book.seeds[case.uuid][0], self.book.families[case.uuid][0]
        self.book.note(case, family, seed)
        return self._generated(case, family, seed)

    def prepare(self, case: Case) -> None:
        """Makes the case's next typical inputs now, during a candidate's build."""
        ready = self._prepared.get(case.uuid) or self._prefetched.has(self._key, case)
        if not ready and not self.book.replay:
            self._prepare(case)

    def prepare_more(
        self,
        cases: Sequence[Case],
        count: int,
        waiting: Callable[[], bool],
        drawn: Callable[[InputSet], None],
    ) -> None:
        """Makes typical inputs of the cases for later calls, while something else is awaited.

        From the first case on that takes long they are drawn when they are needed.

        Args:
            cases: those whose inputs are wanted first come first.
            count: of each case, those that are ready counted in.
            waiting: asked before each; ends it.
            drawn: called with each.
        """
        before, most_bytes = self.seconds, PREPARED_BYTES
        if self.device.type == "cuda":
            whole = torch.cuda.get_device_properties(self.device).total_memory
            most_bytes = max(most_bytes, int(PREPARED_SHARE * whole))
        # All that is ready counts, not this call's alone: it is asked whenever something waits.
        nbytes = sum(one.nbytes for ready in self._prepared.values() for one in ready)
        for position in range(0 if self.book.replay else count):
            for case in cases:
                if case.uuid in self._slow:
                    break
                if len(self._prepared.get(case.uuid, ())) > position:
                    continue
                if not waiting() or nbytes > most_bytes:
                    self.seconds = before
                    return
                made = self._prepare(case)
                drawn(made)
                nbytes += made.nbytes
                if made.drawn_s > PREPARED_S or made.nbytes > LARGEST_PREPARED_BYTES:
                    self._slow.update(one.uuid for one in cases[cases.index(case) :])
                    break
        self.seconds = before

    def _prepare(self, case: Case) -> InputSet:
        """The next of the case's typical inputs that are not ready yet, which are ready then."""
        ready, family = self._prepared.setdefault(case.uuid, deque()), self.operator.families[0]
        made = None if ready else self._prefetched.take(self._key, case, family)
        if made is None:
            foreseen = self.book.foreseen.pop(case.uuid, None)
            made = self._generated(case, family, fresh_seed() if foreseen is None else foreseen)
        ready.append(made)
        return made

    def prefetch(self, case: Case) -> bool:
        """Makes typical inputs for a later trial, if they are small; whether it did."""
        if self._prefetched.has(self._key, case):
            return False
        if self.operator.input_bytes(case) > LARGEST_PREFETCHED_BYTES:
            return False
        input_set = self._generated(case, self.operator.families[0], fresh_seed())
        return self._prefetched.put(self._key, input_set)

    def unrecorded(self, case: Case) -> InputSet:
        """Typical inputs whose seed is not recorded, for calls by which no verdict is reached."""
        ready = self._prepared.get(case.uuid)
        if ready and len(ready) > 1:  # the seed of the first may be promised
            return ready.pop()
        return self._generated(case, self.operator.families[0], fresh_seed())

    def _generated(self, case: Case, family: str, seed: int) -> InputSet:
        before = self.seconds
        with self._measured():
            made = self._made(case, family, seed)
        judged = self._judged(case, family, seed, made)
        return replace(judged, drawn_s=self.seconds - before)

    def _made(self, case: Case, family: str, seed: int) -> dict[str, Value]:
        generator = self.book.source.generator
        return self.operator.make_inputs(case, seed, family, self.device, generator)

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began

    def derived(self, input_set: InputSet, how: str) -> InputSet:
        """Inputs made from others in the recorded way, one of `DERIVED`."""
        return self.perturbed(input_set) if how == PERTURBED else self.rewritten(input_set)

    def perturbed(self, input_set: InputSet) -> InputSet:
        """Inputs that differ from others in a few elements.

        Only float tensors change, since integers may be indices. Without float tensors the typical
        inputs are made anew.
        """
        seed = self.book.next(input_set.case, PERTURBED)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        distributions = {sampled.probabilities for sampled in self.operator.sampled.values()}
        changed = {
            name: (_rolled_rows if name in distributions else _perturbed_tensor)(value, generator)
            for name, value in input_set.inputs.items()
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel()
        }
        if not changed or self.operator.draws_whole:
            fresh = self._made(input_set.case, self.operator.families[0], seed)
            return self._judged(input_set.case, PERTURBED, seed, fresh)
        return self._judged(input_set.case, PERTURBED, seed, {**input_set.inputs, **changed})

    def rewritten(self, input_set: InputSet) -> InputSet:
        """Copies with new values by the operator's `rewrite`, else perturbed inputs."""
        seed = self.book.next(input_set.case, REWRITE)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        inputs = {
            name: value.clone() if isinstance(value, torch.Tensor) else value
            for name, value in input_set.inputs.items()
        }
        if self.operator.rewrite(input_set.case, inputs, generator):
            return self._judged(input_set.case, REWRITE, seed, inputs)
        return self.perturbed(input_set)

    def _judged(self, case: Case, family: str, seed: int, inputs: dict[str, Value]) -> InputSet:
        if family in (self.operator.families[0], REWRITE):
            self.operator.count_work(case, inputs)
        with self._measured():
            expected, trusted = self.operator.expected_outputs(case, inputs)
            allowed = self.operator.policy.tolerance_of(case.uuid).nonfinite
            place = self.operator.reference_place
            require_allowed_values({**expected, **trusted}, allowed, place)
        mutable = self.operator.mutable_inputs
        return InputSet(case, family, seed, inputs, expected, trusted, mutable=mutable)


def prefetch_inputs(
    generator: InputGenerator, cases: Sequence[Case], interrupted: Callable[[], bool]
) -> None:
    """Makes inputs for the next trial of the same workloads, until a request comes."""
    for case in cases:
        if interrupted():
            return
        with contextlib.suppress(HarnessError):
            generator.prefetch(case)


def _perturbed_tensor(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A copy with a few random elements replaced by others of the tensor: its range is kept."""
    # As integers of the same size: torch cannot index every float format.
    flat = value.clone().flatten().view(BIT_VIEW[value.element_size()])
    count = max(1, int(PERTURBED_SHARE * flat.numel()))
    at = torch.randint(0, flat.numel(), (count,), generator=generator, device=value.device)
    source = torch.randint(0, flat.numel(), (count,), generator=generator, device=value.device)
    changed = _last_of_each(at)
    flat[at[changed]] = flat[source[changed]]
    return flat.view(value.dtype).view(value.shape)


def _rolled_rows(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A copy in which a few random rows of probabilities are rolled by a random distance.

    Each stays the distribution that a sampler may take it for. Of one whose sum is 0.9 the most
    probable values that reach p are others before it is scaled than after.
    """
    size = value.shape[-1]
    rows = value.clone().reshape(-1, size).view(BIT_VIEW[value.element_size()])
    count = max(1, int(PERTURBED_SHARE * len(rows)))
    device = value.device
    at = torch.randint(0, len(rows), (count,), generator=generator, device=device).unique()
    by = torch.randint(1, max(size, 2), (1,), generator=generator, device=device)
    rows[at] = rows[at].roll(int(by), -1)
    return rows.view(value.dtype).view(value.shape)


def _last_of_each(places: torch.Tensor) -> torch.Tensor:
    """Positions of the last occurrence of every place: a device writes a place twice in any order.

    Without them a seed would not give the same values again.
    """
    ordered, order = torch.sort(places, stable=True)
    ends = torch.ones_like(ordered, dtype=torch.bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    return order[ends]
