"""Which nodes of a cluster can be used together, and why not the others. Pure.

Times of two machines compare only where what makes them is the same: the harness, torch, Triton,
the driver, the model of the GPU and its highest clocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..devices.gpus import is_called

COMPARED = ("kernel-harness", "torch", "triton", "driver")
"""Of the versions that a judge names."""


@dataclass(frozen=True)
class NodeFacts:
    """What a judge says of the node that it is on.

    Attributes:
        judge: its name in this cluster.
        versions: of packages and the driver.
        clocks: the device's highest, in MHz, by kind; empty where nothing tells them.
    """

    judge: str
    host: str
    device: str
    versions: Mapping[str, str] = field(default_factory=dict)
    clocks: Mapping[str, int] = field(default_factory=dict)
    uuid: str = ""

    def differences(self, other: NodeFacts) -> list[str]:
        """What of this one is not as the other has it, in words."""
        found = []
        if self.device != other.device:
            found.append(f"the device is {self.device}, not {other.device}")
        for name in COMPARED:
            own, theirs = self.versions.get(name), other.versions.get(name)
            if own != theirs:
                found.append(f"{name} is {own or 'missing'}, not {theirs or 'missing'}")
        if dict(self.clocks) != dict(other.clocks):
            found.append(f"the clocks are {_words(self.clocks)}, not {_words(other.clocks)} MHz")
        return found


@dataclass(frozen=True)
class NodeChoice:
    """The judges that are used, and by name why each other one is not."""

    used: tuple[NodeFacts, ...]
    refused: Mapping[str, str]


def chosen_nodes(
    found: Sequence[NodeFacts], harness: str, model: str = "", like: NodeFacts | None = None
) -> NodeChoice:
    """The most judges that are alike, of the server's version of the harness.

    Args:
        model: words of the device's name, where one is asked for.
        like: one that is in use, which others must be like.
    """
    refused: dict[str, str] = {}
    fit: list[NodeFacts] = []
    for facts in found:
        version = facts.versions.get("kernel-harness")
        if version != harness:
            refused[facts.judge] = f"kernel-harness is {version or 'missing'}, not {harness}"
        elif model and not is_called(facts.device, model):
            refused[facts.judge] = f"the device is {facts.device}, and {model} is asked for"
        else:
            fit.append(facts)
    if not fit:
        return NodeChoice((), refused)
    first = like or _most_common(fit)
    used = []
    for one in fit:
        if differences := one.differences(first):
            refused[one.judge] = "; ".join(differences)
        else:
            used.append(one)
    return NodeChoice(tuple(used), refused)


def _most_common(fit: Sequence[NodeFacts]) -> NodeFacts:
    """One of the most that are alike."""
    kinds = Counter(tuple(one.differences(fit[0])) for one in fit)
    kind = kinds.most_common(1)[0][0]
    return next(one for one in fit if tuple(one.differences(fit[0])) == kind)


def _words(clocks: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {mhz}" for kind, mhz in sorted(clocks.items())) or "unknown"
