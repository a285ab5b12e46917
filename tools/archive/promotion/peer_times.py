"""What others' programs took on a device, beside what a promotion measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ...devices.targets import suits
from ...schema.evaluation import Evaluation
from ...schema.flashinfer_trace import Solution
from ..store.entry import Node
from .rule_outcome import RuleOutcome


@dataclass(frozen=True)
class PeerTime:
    """One peer's mean on a device; `latency_us` is None where it was never timed there.

    Attributes:
        sealed: whether the mean was sealed. A claimed one holds the gaps of the host.
    """

    name: str
    latency_us: float | None = None
    sealed: bool = False


def peer_times(peers: Mapping[str, Solution], nodes: Iterable[Node], gpu: str) -> list[PeerTime]:
    """Each peer with its newest latency on a device, a sealed one where there is any.

    Peers that were written for other devices are left out.

    Args:
        nodes: the operator's candidates in the archive; a peer is one of them once it was tried.
    """
    newest: dict[str, Node] = {}
    timed = (n for n in nodes if n.verified and n.hardware == gpu and n.latency_us is not None)
    for node in sorted(timed, key=lambda node: (node.sealed, node.at)):
        newest[node.content_hash] = node
    due = {n: peer for n, peer in peers.items() if suits(peer.spec.target_hardware, gpu)}
    found = {name: newest.get(peer.content_hash()) for name, peer in due.items()}
    return [
        PeerTime(name) if node is None else PeerTime(name, node.latency_us, node.sealed)
        for name, node in found.items()
    ]


def peers_beaten(
    peers: Sequence[PeerTime], verification: Sequence[Evaluation]
) -> list[RuleOutcome]:
    """Which peers a candidate is faster than on this device; it forbids no promotion.

    Nothing is said without peers, nor where the verification was not timed.
    """
    means = [us for e in verification if (us := e.totals.mean_latency_us) is not None]
    if not peers or not means:
        return []
    mean_us = fmean(means)
    parts: list[str] = []
    ratios = {p.name: p.latency_us / mean_us for p in peers if p.latency_us is not None}
    for peer in peers:
        if (ratio := ratios.get(peer.name)) is not None:
            slower = "" if ratio > 1.0 else "slower than "
            clock = "sealed" if peer.sealed else "claimed"
            parts.append(
                f"{slower}{peer.name} {peer.latency_us:.4g} us ({ratio:.3g} times, {clock})"
            )
    if missing := [peer.name for peer in peers if peer.name not in ratios]:
        parts.append(f"not timed here: {', '.join(missing)}")
    beaten = sum(ratio > 1.0 for ratio in ratios.values())
    words = f"beats {beaten} of {len(peers)} peers: {'; '.join(parts)}"
    passed = beaten == len(ratios)
    return [RuleOutcome("peers_beaten", passed, beaten, None, words, applied=False)]
