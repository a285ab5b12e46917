"""Times are foretold from those of others that share values, with how far they may be off."""

from __future__ import annotations

import itertools
import math

import pytest

from kernel_harness.tools.tuning.race.main_effects import FREE, effects_number, forecast, levels_of

VALUES = {
    f"{tile}/{warps}": {"TILE": tile, "WARPS": warps, "SIZE": 128}
    for tile, warps in itertools.product((16, 32, 64, 128, 256), (1, 2, 4, 8))
}


def time_of(name: str) -> float:
    """A product of what tile and warps take."""
    tile, warps = map(int, name.split("/"))
    return 3.0 * (1 + abs(math.log2(tile / 64))) * (1 + 0.1 * warps)


def test_products_of_effects_are_foretold_exactly():
    levels = levels_of(VALUES)
    times = {name: time_of(name) for name in VALUES if name not in ("64/8", "16/2")}
    found = forecast(levels, times)
    assert found is not None and set(found.us) == set(VALUES)
    for name, us in found.us.items():
        assert us == pytest.approx(time_of(name), rel=1e-3)
    assert found.slack == pytest.approx(1.0, abs=1e-3)


def test_sums_of_effects_are_foretold_exactly_too():
    """As of a kernel of which each constant slows another part."""
    levels = levels_of(VALUES)
    sums = {name: 2.0 + abs(math.log2(int(name.split("/")[0]) / 64)) for name in VALUES}
    times = {name: us + 0.3 * int(name.split("/")[1]) for name, us in sums.items()}
    left_out = ("64/8", "16/2")
    found = forecast(levels, {name: us for name, us in times.items() if name not in left_out})
    assert found is not None and set(found.us) == set(VALUES)
    for name in left_out:
        assert found.us[name] == pytest.approx(times[name], rel=1e-3)
    assert found.slack == pytest.approx(1.0, abs=1e-3)


def test_what_all_share_is_no_constant_and_an_absent_value_is_one():
    levels = levels_of({"a": {"X": 1, "Y": 2}, "b": {"X": 1}, "c": {"X": 1, "Y": 3}})
    assert levels == {"a": (("Y", "2"),), "b": (("Y", "None"),), "c": (("Y", "3"),)}
    assert effects_number(levels) == 3 and levels_of({}) == {}


def test_nothing_is_foretold_from_too_few_or_of_a_value_that_was_never_timed():
    levels = levels_of(VALUES)
    few = list(VALUES)[:FREE]
    assert forecast(levels, {name: time_of(name) for name in few}) is None
    others = {name: time_of(name) for name in VALUES if not name.startswith("128")}
    found = forecast(levels, others)
    assert found is not None and set(found.us) == set(others)
    assert found.least("128/1") == 0.0


def test_one_slow_run_moves_no_forecast_and_widens_none():
    levels = levels_of(VALUES)
    times = {name: time_of(name) for name in VALUES if name != "16/1"}
    times["64/4"] *= 1.25
    found = forecast(levels, times)
    assert found is not None and found.slack < 1.05
    for name, us in found.us.items():
        assert us == pytest.approx(time_of(name), rel=0.03)


def test_the_slack_covers_every_time_that_was_shorter():
    levels = levels_of(VALUES)
    times = {name: time_of(name) for name in VALUES if name != "16/1"}
    times["64/4"] /= 3
    found = forecast(levels, times)
    assert found is not None and found.slack > 1.9
    assert found.least("16/1") < found.us["16/1"] / 1.9
