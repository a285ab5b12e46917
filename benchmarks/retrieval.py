"""How often the archive's first five recommendations are what helps: recall at 5, held out.

    python benchmarks/retrieval.py                # a made-up archive, and the shipped histories
    python benchmarks/retrieval.py --seeds 20     # more made-up archives

The made-up archives are drawn from a world in which what a technique gains depends on the parent's
bottleneck and the operator's family; half of the trials are told without a bottleneck, a third
fail, and every ratio has noise. Asked are parents that the archive has never seen, on operators
that it knows well, a little, and not at all. What should be found are the five techniques of the
greatest true gain; what was tried most, and chance, are told beside it. The shipped histories are
replayed in the order of their trials: for each that was faster than its parent, the archive as it
was before is asked. Their candidates are also looked for by words: four of what was said of one,
and one that nobody said of it.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernel_harness.tools.archive.retrieval.filters import SearchRequest
from kernel_harness.tools.archive.retrieval.query import search_index
from kernel_harness.tools.archive.retrieval.transitions import introduced
from kernel_harness.tools.archive.store.entry import CandidateStatus, Node
from kernel_harness.tools.archive.store.index import Index
from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.settings import load_settings

FOUND = 5
TECHNIQUES = tuple(f"technique-{n:02d}" for n in range(40))
BOTTLENECKS = ("memory bandwidth", "memory latency", "compute", "launch", "occupancy")
FAMILIES = {
    "attention": "return torch.softmax(q @ k, -1) @ v",
    "norm": "return x * torch.rsqrt(x.pow(2).mean(-1) + 1e-6)",
    "experts": "return torch.topk(torch.sigmoid(x @ w), 8)",
    "scan": "return torch.cumsum(torch.exp(a), 0) * torch.outer(k, v)",
}
KNOWN = {"well": 300, "a little": 20, "not at all": 0}
"""Trials of an operator of each kind; each family has one of each."""
QUESTIONS = 4
WAYS = ("bottleneck told", "not told", "most tried")
NOISE = 0.02


@dataclass
class World:
    """What each technique truly gains, as ln of a ratio, by bottleneck and family."""

    rng: random.Random
    effects: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of_family = {f: {t: self.rng.gauss(0, 0.08) for t in TECHNIQUES} for f in FAMILIES}
        for bottleneck in BOTTLENECKS:
            bound = {t: self.rng.gauss(0, 0.12) for t in TECHNIQUES}
            for family in FAMILIES:
                self.effects[bottleneck, family] = {
                    t: bound[t] + of_family[family][t] for t in TECHNIQUES
                }

    def best(self, bottleneck: str, family: str) -> set[str]:
        """The five techniques that gain most there."""
        gains = self.effects[bottleneck, family]
        return set(sorted(gains, key=lambda t: -gains[t])[:FOUND])


def made_definition(family: str, kind: str) -> Definition:
    """An operator of a family; all of one family compute the same on other shapes."""
    tensor = {"shape": ["m", family], "dtype": "bfloat16"}
    return Definition.model_validate(
        {
            "name": f"{family}_{kind.replace(' ', '_')}",
            "op_type": family,
            "axes": {"m": {"type": "var"}, family: {"type": "const", "value": 64}},
            "inputs": {"x": tensor},
            "outputs": {"y": tensor},
            "reference": f"import torch\n\n\ndef run(x):\n    {FAMILIES[family]}\n",
        }
    )


def made_node(number: int, operator: Definition, latency_us: float | None, **more: object) -> Node:
    """A candidate of the made-up archive."""
    fields: dict[str, object] = {
        "candidate_id": f"{number:012x}",
        "commit": f"{number:040x}",
        "ref": f"refs/candidates/{operator.name}/{number:012x}",
        "parents": (),
        "definition": operator.name,
        "op_type": operator.op_type,
        "name": f"c{number}",
        "language": "triton",
        "hardware": "H200",
        "scope": "full",
        "status": "PASSED" if latency_us else "COMPILE_ERROR",
        "stage": "done",
        "outcome": CandidateStatus.UNTIMED if latency_us else CandidateStatus.FAILED,
        "outcome_words": "",
        "latency_us": latency_us,
        "clock": TimeSource.SEALED if latency_us else "",
        "speedup": None,
        "noise": NOISE,
        "at": number,
        "evaluation_id": f"e{number}",
        "content_hash": f"{number:064x}",
        "normalised_hash": f"{number:064x}",
    }
    return Node(**(fields | more))  # pyright: ignore[reportArgumentType]


def made_trials(world: World, operators: Mapping[str, Sequence[Definition]]) -> Iterator[Node]:
    """A search of each operator: a technique at a time on one of the last parents."""
    rng, number = world.rng, 0
    for family, members in operators.items():
        for operator, count in zip(members, KNOWN.values(), strict=True):
            parents: list[tuple[Node, str]] = []
            for trial in range(count):
                number += 1
                bottleneck = rng.choice(BOTTLENECKS)
                told = {"bottlenecks": (bottleneck,) if rng.random() < 0.5 else ()}
                if not trial:
                    node = made_node(number, operator, 20.0, technique=("plain",), **told)
                    parents.append((node, bottleneck))
                    yield node
                    continue
                parent, bound = rng.choice(parents[-10:])
                tag = rng.choice(TECHNIQUES)
                latency = None
                outcome = CandidateStatus.FAILED
                if rng.random() > 1 / 3:
                    gain = world.effects[bound, family][tag] + rng.gauss(0, NOISE / 2)
                    latency = (parent.latency_us or 20.0) / math.exp(gain)
                    outcome = CandidateStatus.EQUAL
                    if abs(gain) > NOISE:
                        better = gain > 0
                        outcome = CandidateStatus.FASTER if better else CandidateStatus.SLOWER
                node = made_node(
                    number,
                    operator,
                    latency,
                    parents=(parent.candidate_id,),
                    technique=(tag,),
                    outcome=outcome,
                    **told,
                )
                if latency is not None:
                    parents.append((node, bottleneck))
                yield node


def made_up(seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Recall at 5 in one made-up archive, by how well the operator is known."""
    world = World(random.Random(seed))
    operators = {family: [made_definition(family, kind) for kind in KNOWN] for family in FAMILIES}
    definitions = {d.name: d for members in operators.values() for d in members}
    nodes = list(made_trials(world, operators))
    index = Index(folder / f"{seed}.sqlite")
    index.add(nodes)
    tried: dict[str, int] = {}
    for node in nodes:
        for tag in node.technique:
            tried[tag] = tried.get(tag, 0) + 1
    most_tried = set(sorted(tried, key=lambda t: -tried[t])[:FOUND])
    hits: dict[str, dict[str, list[float]]] = {}
    for family, members in operators.items():
        for operator, kind in zip(members, KNOWN, strict=True):
            for question in range(QUESTIONS):
                bottleneck = BOTTLENECKS[(question + seed) % len(BOTTLENECKS)]
                parent = made_node(1 << 40, operator, 20.0, bottlenecks=(bottleneck,))
                request = SearchRequest(operator.name, op_type=family)
                found = search_index(index, request, parent, definitions).recommended[:FOUND]
                blind = search_index(index, request, None, definitions).recommended[:FOUND]
                best = world.best(bottleneck, family)
                row = hits.setdefault(
                    kind, {"bottleneck told": [], "not told": [], "most tried": []}
                )
                said_by_each = (
                    {d.technique for d in found},
                    {d.technique for d in blind},
                    most_tried,
                )
                for name, said in zip(WAYS, said_by_each, strict=True):
                    row[name].append(len(best & said) / FOUND)
    return {kind: {n: statistics.mean(v) for n, v in row.items()} for kind, row in hits.items()}


@dataclass(frozen=True)
class Shipped:
    """The shipped histories, with the definitions of their operators."""

    nodes: list[Node]
    definitions: Mapping[str, Definition]


def shipped(folder: Path) -> Shipped:
    """Reads the shipped histories, in the order of their trials."""
    harness = Harness.open(load_settings({"data_dir": str(folder), "device": "cpu"}))
    for bundle in sorted(harness.settings.kernels_dir.glob("*/history.bundle")):
        fetch(harness.archive, str(bundle))
    definitions = {name: found.definition for name, found in harness.dataset.operators.items()}
    nodes = sorted(harness.archive.iter(), key=lambda node: node.at)
    harness.archive.close()
    return Shipped(nodes, definitions)


def replayed(histories: Shipped, folder: Path) -> tuple[int, int, int]:
    """Improvements, those by a technique tried before, and those that were recommended."""
    index = Index(folder / "replayed.sqlite")
    by_id: dict[str, Node] = {}
    met: set[str] = set()
    improvements = possible = found = 0
    for node in histories.nodes:
        parents = [by_id[p] for p in node.parents if p in by_id and by_id[p].latency_us is not None]
        if node.outcome is CandidateStatus.FASTER and parents:
            improvements += 1
            if known := set(introduced(node, parents)) & met:
                possible += 1
                request = SearchRequest(node.definition, op_type=node.op_type)
                answer = search_index(index, request, parents[0], histories.definitions)
                found += bool(known & {d.technique for d in answer.recommended[:FOUND]})
        index.add([node])
        by_id[node.candidate_id] = node
        met |= set(node.technique)
    return improvements, possible, found


def looked_for(histories: Shipped, folder: Path) -> tuple[float, float]:
    """Shares of the candidates that are found first, and among the first five, by words."""
    rng = random.Random(1)
    index = Index(folder / "words.sqlite")
    index.add(histories.nodes)
    said = {n.candidate_id: _words(f"{n.hypothesis} {n.lesson}") for n in histories.nodes}
    every = sorted({word for words in said.values() for word in words})
    places: list[int | None] = []
    for node in histories.nodes:
        own = said[node.candidate_id]
        foreign = rng.choice([word for word in every if word not in own])
        query = " ".join([*rng.sample(sorted(own), min(4, len(own))), foreign])
        page = search_index(index, SearchRequest(node.definition, query=query)).candidates
        ids = [found.candidate_id for found in page]
        places.append(ids.index(node.candidate_id) if node.candidate_id in ids else None)
    first = statistics.mean(place == 0 for place in places)
    return first, statistics.mean(place is not None and place < FOUND for place in places)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text.lower()))


def main() -> int:
    """Measures and prints both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="made-up archives")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retrieval-") as name:
        rows = [made_up(seed, Path(name)) for seed in range(arguments.seeds)]
        histories = shipped(Path(name) / "data")
        improvements, possible, found = replayed(histories, Path(name))
        first, soon = looked_for(histories, Path(name))
    print("| recall at 5, mean ± 1.96 SE | " + " | ".join(rows[0]["well"]) + " | chance |")  # noqa: T201
    print("|---|" + "---:|" * 4)  # noqa: T201
    for kind in KNOWN:
        cells = []
        for way in rows[0][kind]:
            values = [row[kind][way] for row in rows]
            error = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if rows[1:] else 0.0
            cells.append(f"{statistics.mean(values):.2f} ± {error:.2f}")
        print(f"| operator known {kind} | {' | '.join(cells)} | {FOUND / len(TECHNIQUES):.2f} |")  # noqa: T201
    print(  # noqa: T201
        f"Shipped histories: of {improvements} improvements {possible} used a technique that had "
        f"been tried before; {found} of these were among the first {FOUND} recommended.\n"
        f"By words {first:.0%} of {len(histories.nodes)} are found first, {soon:.0%} in {FOUND}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
