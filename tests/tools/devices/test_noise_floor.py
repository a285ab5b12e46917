"""The least effect: three times the noise of the latency's decade, and never below one percent."""

from __future__ import annotations

import pytest

from kernel_harness.tools.devices.noise_floor import UNKNOWN_NOISE_FLOOR, least_effect


@pytest.mark.parametrize(
    ("latency_us", "effect"),
    [(3.0, 0.036), (30.0, 0.015), (5_000.0, 0.01), (0.2, 0.036), (5e7, 0.01), (None, 0.036)],
)
def test_the_effect_is_three_times_the_noise_of_the_latencys_decade(latency_us, effect):
    assert least_effect(latency_us, {"0": 0.012, "1": 0.005, "3": 0.002}) == pytest.approx(effect)


@pytest.mark.parametrize("recorded", [None, {}, {"0": 0.012}, {"1": "wide"}, {"1": -1.0}])
def test_a_decade_without_a_usable_figure_has_the_figure_of_an_unknown_device(recorded):
    assert least_effect(30.0, recorded) == pytest.approx(3 * UNKNOWN_NOISE_FLOOR[1])
