"""Regions are told by code, types, ranks and parameters, whatever name they are called by."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from kernel_harness.tools.model_level.ranking.regions import RegionTracker


def total(pair, scale=2.0):
    return [inner(value) * scale for value in pair][0]


def inner(x):
    return F.relu(x)


def lazy(x):
    yield x


def failing(x):
    raise ValueError


def tracked(act, root=None):
    entered, left = [], []

    def enter(region, shapes):
        entered.append((region, shapes))
        return lambda: left.append((region, shapes))

    tracker = RegionTracker(enter)
    tracker.start(root)
    try:
        act()
    finally:
        tracker.stop()
    assert sorted(left) == sorted(entered)
    return [(tracker.regions[region], shapes) for region, shapes in entered]


def names(found) -> list[str]:
    return [region.name.rpartition(".")[2] for region, _ in found]


def test_functions_of_the_program_and_of_torch_nn_functional():
    renamed = total
    found = tracked(lambda: renamed((torch.ones(2, 3), torch.ones(4))))
    assert names(found) == ["total", "inner", "relu", "inner", "relu"]
    region = found[0][0]
    assert region.dtypes == {"pair[0]": "float32", "pair[1]": "float32"}
    (shapes,) = region.shapes
    assert shapes.shapes == {"pair[0]": (2, 3), "pair[1]": (4,)}
    assert (shapes.read_bytes, shapes.written_bytes) == (40, 24)
    # Ranks differ, so these are two regions; with equal ranks they would be two shapes of one.
    assert found[1][0] is not found[3][0]


def test_calls_with_other_shapes_are_of_the_same_region():
    def act():
        for rows in (1, 2, 1):
            inner(torch.ones(rows, 3))

    found = [one for one in tracked(act) if one[0].name.endswith("inner")]
    assert [shapes for _, shapes in found] == [0, 1, 0]
    assert [s.calls for s in found[0][0].shapes] == [2, 1]


def test_modules_have_their_paths_and_parameters():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    found = tracked(lambda: model(torch.ones(1, 4)), model)
    assert names(found) == ["forward"] * 4
    first, last = found[1][0], found[3][0]
    assert found[2][0] is first and list(first.paths) == ["0", "1"] and list(last.paths) == ["2"]
    assert first.parameters == ((4, 4), (4,)) and first.parameter_bytes == 80


def test_what_is_expanded_counts_once():
    found = tracked(lambda: inner(torch.ones(1, 4).expand(100, 4)))
    assert found[0][0].shapes[0].read_bytes == 16


def test_generators_and_what_torch_calls_itself_are_none():
    assert not tracked(lambda: list(lazy(torch.ones(1))))
    assert not tracked(lambda: torch.distributions.Normal(0.0, 1.0).sample())


def test_a_region_that_raises_is_closed():
    def act():
        try:
            failing(torch.ones(1))
        except ValueError:
            inner(torch.ones(1))

    assert names(tracked(act)) == ["failing", "inner", "relu"]
