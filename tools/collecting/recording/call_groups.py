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
        contents: of integer tensors and masks.
        samples: of every tensor, some rows of a few calls.
        count: calls that were recorded.
        seconds: of the host, from call to return, of those.
    """

    tensors: dict[str, TensorSeen]
    numbers: dict[str, int | float]
    constants: dict[str, Any]
    outputs: tuple[TensorSeen, ...] | None = None
    written: tuple[str, ...] = ()
    returns: tuple[int | None, ...] | None = None
    contents: list[StoredContents] = field(default_factory=list[StoredContents])
    samples: dict[str, list[torch.Tensor]] = field(default_factory=dict[str, list[torch.Tensor]])
    count: int = 0
    seconds: float = 0.0
    entered: int = 0
    sampled: int = 0

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
        given = {
            name: value
            for name, value in arguments.items()
            if name in self.tensors
            and (name in masks or not value.dtype.is_floating_point)
            and not value.is_meta
        }
        self.entered += 1
        if not given:
            return True
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
