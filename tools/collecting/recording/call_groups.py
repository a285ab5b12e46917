"""Calls alike in everything but contents, and what is kept of the contents.

Integer tensors and masks are the structure of a workload (page tables, lengths, indices): several
contents of one group are kept, chosen evenly among those that were seen. Of other tensors samples
are kept, by which the like of them can be drawn.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .tensor_samples import sample_of

MOST_CONTENTS = 4
"""Contents of integer tensors that are kept of one group."""
MOST_SAMPLED = 2
"""Calls of one group of whose tensors samples are taken."""


@dataclass(frozen=True)
class TensorSeen:
    """A tensor as a call had it.

    Attributes:
        strides: in elements; None where it was contiguous.
    """

    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...] | None


TENSORS = (torch.Tensor, torch.nn.Parameter)
LONGEST_OF_KEY = 64
"""Characters of a text, or values of a row: longer ones would make keys large, and slow to find."""
PLAIN = (bool, int, float, str, torch.dtype, type(None))
"""Kinds of values that a text can hold."""
SIZED = (str, tuple, list)


def key_of(arguments: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What tells a call's group again without looking closer; None where that has to be done.

    Calls of one group may have several. A float goes by its text, for one that is no number
    equals no other.
    """
    parts: list[Any] = []
    for name, value in arguments.items():
        kind = type(value)
        if kind in TENSORS:
            parts += (name, value.shape, value.dtype, value.stride())
        elif kind is float:
            parts += (name, kind, repr(value))
        elif isinstance(value, SIZED) and len(value) > LONGEST_OF_KEY:
            return None
        elif kind in PLAIN:
            parts += (name, kind, value)
        elif isinstance(value, SIZED) and all(type(one) in PLAIN for one in value):
            parts += (name, tuple, repr(tuple(value)))
        else:
            return None
    return tuple(parts)


def seen(value: torch.Tensor) -> TensorSeen:
    """The form of a tensor."""
    dtype = str(value.dtype).removeprefix("torch.")
    return TensorSeen(
        tuple(value.shape), dtype, None if value.is_contiguous() else tuple(value.stride())
    )


@dataclass
class StoredContents:
    """Integer tensors and masks as some calls had them.

    Attributes:
        count: of the calls.
    """

    tensors: dict[str, torch.Tensor]
    digest: str
    count: int = 1


class ByteLimit:
    """How much of contents may be kept yet, by all threads and functions together."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Takes bytes where there are so many left; negative ones are given back."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True


@dataclass
class CallGroup:
    """Calls alike in everything but contents.

    Attributes:
        tensors: by parameter.
        numbers: values of parameters that are ints or floats.
        constants: of those that are None, a bool, a string, an element type, or a row of such.
        outputs: what came back, or was written into arguments; None while it is not known.
        written: the arguments that were written, where the function returns nothing.
        returns: of a function that returns tensors and None in a row, which output each is.
        structure: names of tensors that hold no floating-point numbers; None while none was looked
            at.
        contents: of integer tensors and masks.
        samples: of every tensor, some rows of a few calls.
        count: calls that were recorded.
        seconds: of the host, from call to return, of those.
        listed: whether it is one of its function's, and not only of calls that are left out.
    """

    tensors: dict[str, TensorSeen]
    numbers: dict[str, int | float]
    constants: dict[str, Any]
    outputs: tuple[TensorSeen, ...] | None = None
    written: tuple[str, ...] = ()
    returns: tuple[int | None, ...] | None = None
    structure: tuple[str, ...] | None = None
    contents: list[StoredContents] = field(default_factory=list[StoredContents])
    samples: dict[str, list[torch.Tensor]] = field(default_factory=dict[str, list[torch.Tensor]])
    count: int = 0
    seconds: float = 0.0
    entered: int = 0
    sampled: int = 0
    listed: bool = False

    def keep(
        self,
        arguments: Mapping[str, Any],
        masks: Collection[str],
        space: ByteLimit,
        rng: random.Random,
    ) -> bool:
        """Keeps what integer tensors and masks of a call hold; returns whether there was space.

        After the first `MOST_CONTENTS`, each further content takes the place of one by the rule of
        reservoirs, so that each call had the same chance.
        """
        if self.structure is None:
            tensors = {name: arguments[name] for name in self.tensors}
            floating = [name for name, value in tensors.items() if value.dtype.is_floating_point]
            self.structure = tuple(name for name in tensors if name not in floating)
        names = self.structure
        if masks:
            names = tuple(name for name in self.tensors if name in masks or name in names)
        given = {name: value for name in names if not (value := arguments[name]).is_meta}
        if not given:
            return True
        self.entered += 1
        place = rng.randrange(self.entered)
        if place >= MOST_CONTENTS:
            return True
        size = sum(value.nbytes for value in given.values())
        if not space.take(size):
            return False
        tensors = {
            name: value.detach().to("cpu", copy=True).contiguous() for name, value in given.items()
        }
        digest = hashlib.sha256()
        for name, value in tensors.items():
            digest.update(name.encode() + value.reshape(-1).view(torch.uint8).numpy().tobytes())
        said = digest.hexdigest()[:16]
        for known in self.contents:
            if known.digest == said:
                known.count += 1
                space.take(-size)
                return True
        if len(self.contents) < MOST_CONTENTS:
            self.contents.append(StoredContents(tensors, said))
        else:
            space.take(-size)
            self.contents[place] = StoredContents(tensors, said)
        return True

    def sample(self, arguments: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Takes samples of a call's tensors, and returns them by name."""
        self.sampled += 1
        taken = {name: sample_of(arguments[name]) for name in self.tensors}
        found = {name: sample for name, sample in taken.items() if sample is not None}
        for name, sample in found.items():
            self.samples.setdefault(name, []).append(sample)
        return found
