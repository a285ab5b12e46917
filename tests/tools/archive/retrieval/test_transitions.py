"""What is derived from a candidate and what it came from."""

from __future__ import annotations

import contextlib
import math
import random

import pytest

from kernel_harness.tools.archive.retrieval.transitions import (
    ALL,
    Sums,
    expected_gains,
    introduced,
    ratios,
    refresh,
)
from kernel_harness.tools.archive.store.amendments import AmendmentWords
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.measurement import TimeSource


def sums(*values: float, noise: float = 0.02) -> Sums:
    total = Sums()
    for value in values:
        total += Sums(1, value, value * value, noise, value, value)
    return total


def test_one_measurement_is_as_wide_as_its_noise_floor():
    gain = sums(math.log(1.25)).gain()
    assert gain is not None and gain.ratio == pytest.approx(1.25)
    assert gain.interval == pytest.approx((1.25 * math.exp(-0.02), 1.25 * math.exp(0.02)))


def test_a_few_measurements_reach_from_the_least_to_the_greatest():
    gain = sums(math.log(0.9), math.log(1.6)).gain()
    assert gain is not None and gain.interval == pytest.approx((0.9, 1.6)) and gain.measured == 2


def test_many_measurements_give_the_interval_of_students_t():
    logs = [0.1, 0.2, 0.15, 0.05, 0.25]
    gain = sums(*logs).gain()
    # scipy.stats.t.interval(0.95, 4, loc=0.15, scale=sem(logs))
    assert gain is not None
    assert [math.log(end) for end in gain.interval] == pytest.approx([0.05184, 0.24816], abs=1e-4)
    assert Sums().gain() is None


def test_only_what_no_measured_ancestor_has_is_introduced(bench):
    root = bench.add(technique=["plain"])
    child = bench.add(technique=["plain", "tma"], parents=[root.candidate_id])
    assert introduced(child, [root]) == ["tma"] and introduced(root, []) == ["plain"]


def test_ratios_are_to_the_fastest_ancestor_on_the_same_device_and_clock(bench):
    slow, fast = bench.add(latency_us=20.0), bench.add(latency_us=10.0)
    sealed = bench.add(latency_us=1.0, clock=TimeSource.SEALED)
    other = bench.add(latency_us=1.0, gpu="NVIDIA B200")
    child = bench.add(latency_us=5.0)
    parent, found = ratios(child, [slow, fast, sealed, other])
    assert parent == fast
    assert {r.regime: round(math.exp(r.log_ratio), 3) for r in found} == {
        ALL: 2.0,
        "small": 2.0,
        "large": 2.0,
    }
    assert ratios(child, [sealed, other]) == (None, [])
    assert ratios(bench.add(status=Status.TIMEOUT), [fast]) == (None, [])


def test_a_paired_comparison_outranks_two_latencies(bench):
    fast, baseline = bench.add(latency_us=1.0), bench.add(latency_us=10.0)
    child = bench.add(latency_us=9.0, ratio=1.3, baseline_hash=baseline.content_hash)
    parent, found = ratios(child, [fast, baseline])
    assert parent == baseline
    assert {round(math.exp(r.log_ratio), 3) for r in found} == {1.3}


def test_what_is_derived_is_derived_once(bench, archive):
    root = bench.add(technique=["plain"])
    bench.add(technique=["tma"], parents=[root.candidate_id])
    index = archive.synced.current()
    assert refresh(index) == 2 and refresh(index) == 0
    index.delete()
    assert refresh(archive.synced.current()) == 2


def test_ten_small_gains_outrank_a_lucky_one_and_failures_count_little(bench, archive):
    root = bench.add(latency_us=10.0, technique=["plain"])
    for _ in range(10):
        bench.add(latency_us=8.0, parents=[root.candidate_id], technique=["steady"])
    bench.add(latency_us=7.5, parents=[root.candidate_id], technique=["lucky"])
    for _ in range(8):
        bench.add(status=Status.TIMEOUT, parents=[root.candidate_id], technique=["lucky"])
    bench.add(latency_us=7.5, parents=[root.candidate_id], technique=["luckier"])
    index = archive.synced.current()
    refresh(index)
    with index.reading() as reader:
        gains = expected_gains(reader, {"scale_n64": 1.0})
    assert gains["steady"] > gains["luckier"] > gains["lucky"] > 0


def test_a_regime_decides_before_all_workloads_and_these_where_it_was_not_compared(bench, archive):
    root = bench.add(latency_us=10.0)
    for tag, small in (("here", 5.0), ("there", 20.0)):
        bench.add(
            latency_us=8.0,
            parents=[root.candidate_id],
            technique=[tag],
            regime_latencies={"small": small, "large": 16.0},
        )
    index = archive.synced.current()
    refresh(index)
    with index.reading() as reader:
        small = expected_gains(reader, {"scale_n64": 1.0}, regimes=["small"])
        none = expected_gains(reader, {"scale_n64": 1.0}, regimes=["unheard of"])
    assert small["here"] > 0 > small["there"]
    assert none["here"] == pytest.approx(none["there"]) and none["here"] > 0


@pytest.mark.parametrize("seed", range(3))
def test_what_is_derived_as_candidates_come_is_what_a_rebuilt_index_derives(bench, archive, seed):
    rng = random.Random(seed)
    nodes = []
    for _ in range(12):
        parents = [n.candidate_id for n in rng.sample(nodes, min(len(nodes), rng.randrange(3)))]
        failed = rng.random() < 0.4
        nodes.append(
            bench.add(
                latency_us=None if failed else rng.uniform(5, 20),
                status=Status.TIMEOUT if failed else Status.PASSED,
                parents=parents,
                technique=rng.sample(["a", "b", "c", "d"], rng.randrange(3)),
            )
        )
        refresh(archive.synced.current())
        if rng.random() < 0.4:
            tags = rng.sample(["a", "b", "c", "d"], 2)
            archive.amend(rng.choice(nodes).candidate_id, AmendmentWords(tags=tags))
        if len(nodes) > 2 and rng.random() < 0.4:
            older, younger = sorted(rng.sample(range(len(nodes)), 2))
            words = AmendmentWords(parents=[nodes[older].candidate_id])
            with contextlib.suppress(RequestError):  # it may descend from it by an amendment
                archive.amend(nodes[younger].candidate_id, words)
    came = derived(archive)
    archive.synced.rebuild()
    assert came and derived(archive) == came


def derived(archive):
    """All that is derived, by candidates in place of rows."""
    index = archive.synced.current()
    refresh(index)
    return {
        table: sorted(
            index.rows(
                f"SELECT c.id, t.technique, {columns}, p.id, t.log_ratio, t.noise, t.together"
                f" FROM {table} t JOIN candidates c ON c.seq = t.seq"
                " LEFT JOIN candidates p ON p.seq = t.parent"
            ),
            key=repr,
        )
        for table, columns in (("attempts", "t.outcome"), ("transitions", "t.regime"))
    }
