"""Calls of one function: what they were given, grouped by shapes, counted and timed.

The function is called with what it was given and its result is handed on as it is. A fault of the
recorder's own is counted and changes nothing for the program. A call that is not chosen costs a
counter; the chosen ones lie at random distances, so that no rhythm of a program's layers hides any.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...schema.drawn_inputs import ValueStatistics
from ..adapters.adapter import Adapter, RememberedCalls
from .call_arguments import CallArguments
from .call_groups import MOST_SAMPLED, PLAIN, ByteLimit, CallGroup, TensorSeen, key_of, seen
from .module_state import StateReader
from .returned_values import returned_places, returned_tensors
from .tensor_samples import statistics_of, two_valued
from .wrapper_code import wrapper_of

MOST_GROUPS = 512
"""Of one function; further ones are counted together and left out of the dataset."""
MOST_KEYS = 4 * MOST_GROUPS
"""By which calls are known again."""
MOST_SAMPLED_CALLS = 32
"""Of one function, of whose tensors samples are taken: more would make recording dearer."""

WITHOUT_VALUES = "torch._subclasses."
"""Begins the module of those types of tensors by which torch traces programs: they hold nothing."""

Within = Callable[["TracedFunction"], str | None]
"""Says why a chosen call is left out, for it lies within another that is recorded."""


class TracedFunction:
    """Records the calls of one function; for any threads.

    Args:
        name: by which the program names it.
        original: that is called.
        space: for what is kept of contents.
        share: of the calls that are recorded.
        adapter: makes inputs of arguments; None where they are the arguments.
        module: whose forward the original is, where that is bound already.
        names: of the arguments, where the original has no signature.
        within: asked of each chosen call.

    Attributes:
        unwraps: whether a reference may be what decorators lie over, for it is compared with calls.
    """

    unwraps = False

    def __init__(
        self,
        name: str,
        original: Callable[..., Any],
        space: ByteLimit,
        *,
        share: float = 1.0,
        adapter: Adapter | None = None,
        module: torch.nn.Module | None = None,
        names: tuple[str, ...] | None = None,
        within: Within | None = None,
    ) -> None:
        self.name = name
        self.original = original
        self.adapter = adapter
        self.remembered = RememberedCalls()
        self.groups: dict[Any, CallGroup] = {}
        self._known: dict[Any, CallGroup] = {}
        self.skipped: dict[str, int] = {}
        self.of_module: set[str] = set()
        self.masks: set[str] = set()
        self.contents_not_kept = 0
        self._sampled = 0
        self._module = module
        self._space = space
        self._arguments = CallArguments(original, names)
        self._state = StateReader(original)
        self._within = within
        self._writes = names is not None
        self._lock = threading.Lock()
        self._rng = random.Random(name)  # of its own: the program's draws stay what they were
        self._distance = math.log1p(-share) if share < 1.0 else None
        self._counter = itertools.count(1)
        self._due = [1]
        self._total: int | None = None

    @property
    def calls(self) -> int:
        """How many calls there were, recorded or not; to be asked when no more come."""
        if self._total is None:
            self._total = next(self._counter) - 1
        return self._total

    @property
    def chosen(self) -> int:
        """How many calls were looked at: recorded, or left out with a reason."""
        return sum(g.count for g in self.groups.values()) + sum(self.skipped.values())

    @property
    def stands_for(self) -> float:
        """How many calls one that was looked at stands for."""
        return self.calls / self.chosen if self.chosen else 1.0

    @property
    def seconds(self) -> float:
        """The host's time in all calls, as those tell that were recorded."""
        return sum(group.seconds for group in self.groups.values()) * self.stands_for

    def statistics(self, group: CallGroup, name: str) -> ValueStatistics | None:
        """What an input's values are like: in the group, or where none was looked at in any."""
        samples = group.samples.get(name)
        if samples is None:
            samples = [s for g in self.groups.values() for s in g.samples.get(name, ())]
        return statistics_of(samples)

    def wrapper(self) -> Callable[..., Any]:
        """The function that stands for the original."""
        count, as_given = self._counter.__next__, self.adapter is not None
        return wrapper_of(self.original, count, self._due, self._chosen, as_given=as_given)

    def call(self, original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Calls what stands for the original in this call, as a kernel with its grid does."""
        if next(self._counter) < self._due[0]:
            return original(*args, **kwargs)
        return self._chosen(original, args, kwargs)

    def stop(self) -> None:
        """Records nothing more, where something lies over what stands for the original."""
        self._due[0], self._distance = sys.maxsize, None

    def _chosen(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        distance = self._distance
        if distance is not None:
            steps = math.log(1.0 - self._rng.random()) / distance
            self._due[0] += 1 + int(steps)
        try:
            entered = self._entered(args, kwargs)
        except Exception as error:  # whatever arguments are like, the program goes on
            entered = self._skip(f"not recorded: {type(error).__name__}")
        begin = time.perf_counter()
        try:
            result = original(*args, **kwargs)
        except BaseException:
            if entered is not None:
                self._skip("it raised an exception")
            raise
        seconds = time.perf_counter() - begin
        if entered is not None:
            try:
                self._left(*entered, result, seconds)
            except Exception as error:
                self._skip(f"not recorded: {type(error).__name__}")
        return result

    # What follows runs once in a hundred calls, when no cache has it any more: of a call of a known
    # kind as little as can be is done, and in few functions.

    def _entered(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[CallGroup, Mapping[str, Any], Mapping[str, Any]] | None:
        """The group of a call that is about to be made, its arguments, and copies of some."""
        if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
            return self._skip("within a graph capture")
        arguments = self._inputs(args, kwargs)
        if arguments is None:
            return self._skip("not a call that the adapter takes")
        key = key_of(arguments)
        group = self._known.get(key)
        if group is None:
            described = self._described(arguments)
            if isinstance(described, str):
                return self._skip(described)
            group = described
            if key is not None and len(self._known) < MOST_KEYS:
                self._known[key] = group
        if self._within is not None and group.tensors and (why := self._within(self)):
            return self._skip(why)
        if not group.listed:
            found = self._listed(group, key)
            if found is None:
                return self._skip("too many shapes")
            group = found
        if group.structure != () or group.sampled < MOST_SAMPLED or self.masks:
            with self._lock:
                # For a call may change what it is given: before it.
                self._sample(group, arguments)
                if not group.keep(arguments, self.masks, self._space, self._rng):
                    self.contents_not_kept += 1
        if self._writes and group.outputs is None:
            return group, arguments, _copies(arguments)
        return group, arguments, {}

    def _described(self, arguments: Mapping[str, Any]) -> CallGroup | str:
        """A group that a call is of; or why it is of none."""
        group = CallGroup({}, {}, {})
        for name, value in arguments.items():
            if (why := self._placed(group, name, value)) is not None:
                return why
        return group

    def _listed(self, one: CallGroup, key: Any) -> CallGroup | None:
        """The group that there is already, or this one; None where there are too many."""
        said = repr((one.tensors, one.numbers, one.constants))
        with self._lock:
            if said not in self.groups and len(self.groups) >= MOST_GROUPS:
                return None
            group = self.groups.setdefault(said, one)
            group.listed = True
            if key in self._known:
                self._known[key] = group
            return group

    def _placed(self, group: CallGroup, name: str, value: Any) -> str | None:
        """Notes an argument as what it is to a workload; returns why it can be nothing to one."""
        if isinstance(value, torch.Tensor):
            if type(value).__module__.startswith(WITHOUT_VALUES):
                return "within a compilation"
            group.tensors[name] = seen(value)
        elif self._is_number(name, value):
            group.numbers[name] = value
        elif isinstance(value, PLAIN):
            group.constants[name] = value
        elif isinstance(value, tuple | list) and all(isinstance(v, PLAIN) for v in value):
            group.constants[name] = tuple(value)
        else:
            return f"{name} is a {type(value).__name__}"
        return None

    def _sample(self, group: CallGroup, arguments: Mapping[str, Any]) -> None:
        """Takes samples of a call's tensors, where there are not enough of its kind yet."""
        if group.sampled >= MOST_SAMPLED or self._sampled >= MOST_SAMPLED_CALLS:
            return
        self._sampled += 1
        self.masks.update(two_valued(group.sample(arguments)))

    def _is_number(self, name: str, value: Any) -> bool:
        """Whether a value is an input that a workload states; a module's own do not vary."""
        if isinstance(value, bool) or name in self.of_module:
            return False
        return isinstance(value, int | float)

    def _left(
        self,
        group: CallGroup,
        arguments: Mapping[str, Any],
        copies: Mapping[str, Any],
        result: Any,
        seconds: float,
    ) -> None:
        if group.outputs is not None:
            with self._lock:
                group.count += 1
                group.seconds += seconds
            return
        written: tuple[str, ...] = ()
        came = result if self.adapter is None else self.adapter.outputs(result)
        outputs = _outputs(came)
        if result is None:
            self._writes = True
            written = tuple(n for n, copy in copies.items() if not _same(copy, arguments[n]))
            outputs = tuple(seen(arguments[name]) for name in written) or None
        with self._lock:
            if outputs is not None:
                group.outputs, group.written = outputs, written or group.written
                group.returns = returned_places(came)
            group.count += 1
            group.seconds += seconds

    def _inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Inputs by name: arguments, what a module holds, or what the adapter makes of them."""
        if self.adapter is not None:
            return self.adapter.made(self.remembered, args, kwargs)
        arguments = self._arguments.named(args, kwargs)
        first = next(iter(arguments.values()), None)
        module = self._module
        if module is None and isinstance(first, torch.nn.Module):
            module = arguments.pop(next(iter(arguments)))
        if module is not None:
            state = self._state.read(module, arguments)
            self.of_module |= state.keys()
            arguments |= state
        return arguments

    def _skip(self, why: str) -> None:
        with self._lock:
            self.skipped[why] = self.skipped.get(why, 0) + 1


def _copies(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of the arguments of a function that is known to return nothing, for one call."""
    return {
        name: value.detach().clone()
        for name, value in arguments.items()
        if isinstance(value, torch.Tensor)
    }


def _outputs(result: Any) -> tuple[TensorSeen, ...] | None:
    tensors = returned_tensors(result)
    return None if tensors is None else tuple(seen(value) for value in tensors)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of one form have the same bits."""
    if not one.numel():
        return True
    first, second = (t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(first, second)
