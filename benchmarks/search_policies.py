"""Which policy of select_parent finds the fastest program in a number of attempts.

    python benchmarks/search_policies.py                 # 30 attempts, 1,000 seeds
    python benchmarks/search_policies.py --attempts 60 --seeds 2000

Each policy is run on each landscape of `landscapes` with the same seeds. The first table has the
best latency over the least possible one, a geometric mean over the seeds with its 95 % interval; a
search that found nothing has the reference's. The second has, seed by seed, each policy's best over
that of epsilon_greedy: above 1, epsilon_greedy is better. search_only and multi_agent_only differ
from epsilon_greedy and reflexion by their agents alone, which no landscape knows, so they are not
run.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from landscapes import Attempt, Landscape, made_up, recorded

from kernel_harness.tools.archive.search.parent_selection import choose
from kernel_harness.tools.archive.search.tree import ROOT, TreeNode
from kernel_harness.tools.archive.store.entry import CandidateStatus

POLICIES = ("epsilon_greedy", "best_first", "best_of_k", "reflexion", "ucb", "mcts")
NORMAL_95 = 1.96


def best_found(landscape: Landscape, policy: str, attempts: int, seed: int) -> float:
    """The log of the best latency over the least possible one, after some attempts."""
    chance = random.Random(f"{landscape.name}:{seed}")
    nodes: list[TreeNode] = []
    tried: dict[str, Attempt] = {}
    for number in range(attempts):
        parent = choose(nodes, policy, seed * 1_000 + number).candidate_id
        begins = parent == ROOT
        attempt = landscape.begin(chance) if begins else landscape.expand(tried[parent], chance)
        name = f"c{number}"
        tried[name] = attempt
        nodes.append(
            TreeNode(
                name,
                CandidateStatus.EQUAL if attempt.works else CandidateStatus.FAILED,
                attempt.latency if attempt.works else None,
                at=number + 1,
                parents=() if begins else (parent,),
            )
        )
    works = [attempt.latency for attempt in tried.values() if attempt.works]
    return math.log(min([landscape.root, *works]) / landscape.floor)


def interval(logs: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean with its 95 % interval."""
    mean = statistics.fmean(logs)
    half = NORMAL_95 * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def words(logs: Sequence[float]) -> str:
    """A geometric mean and its interval, as a cell of a table."""
    mean, low, high = interval(logs)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def say(line: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Runs every policy on every landscape and prints both tables."""
    parser = argparse.ArgumentParser(description="Compares policies of select_parent.")
    parser.add_argument("--attempts", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1_000)
    given = parser.parse_args()
    landscapes = made_up() + recorded(Path(__file__).resolve().parents[1] / "kernels")
    against: list[str] = []
    say(f"{given.attempts} attempts, {given.seeds} seeds: best over least possible")
    say("| landscape | " + " | ".join(POLICIES) + " |")
    for landscape in landscapes:
        found = {
            policy: [best_found(landscape, policy, given.attempts, s) for s in range(given.seeds)]
            for policy in POLICIES
        }
        say(f"| {landscape.name} | " + " | ".join(map(words, found.values())) + " |")
        paired = (
            words([a - b for a, b in zip(logs, found["epsilon_greedy"], strict=True)])
            for policy, logs in found.items()
            if policy != "epsilon_greedy"
        )
        against.append(f"| {landscape.name} | " + " | ".join(paired) + " |")
    say("\neach policy's best over that of epsilon_greedy, seed by seed")
    say("| landscape | " + " | ".join(POLICIES[1:]) + " |")
    say("\n".join(against))
    return 0


if __name__ == "__main__":
    sys.exit(main())
