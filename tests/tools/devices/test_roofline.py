"""Floors: what bounds them, what they refuse, and which device is which."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.devices.hardware import (
    identify,
    load_hardware,
    shipped_hardware,
)
from kernel_harness.tools.devices.roofline import (
    Cost,
    floors,
    mean_cost,
    scaled_cost,
    sol_exec_bench_score_guarded,
    sol_percent,
)
from kernel_harness.tools.errors import DatasetError
from tests.folding import for_each

H200 = shipped_hardware()["H200"]
B200 = shipped_hardware()["B200"]
TIMES = st.floats(1e-3, 1e6)


def test_bytes_alone_are_bound_by_memory() -> None:
    found = floors(Cost(bytes_read=2.4e9, bytes_written=2.4e9), H200)
    assert found.nominal_us == pytest.approx(1000.0)
    assert found.calibrated_us == pytest.approx(4.8e9 / 4.3e12 * 1e6)
    assert found.limiter == "memory"


def test_operations_of_one_unit_add_up_and_other_units_work_beside_it() -> None:
    cost = Cost(flops={"fp8": 1.979e12, "bf16": 0.9895e12, "fp32": 6.7e10})
    found = floors(cost, H200)
    assert found.nominal_us == pytest.approx(2000.0)
    assert found.limiter == "tensor"


def test_a_precision_the_device_lacks_counts_at_a_wider_ones_rate() -> None:
    a100 = shipped_hardware()["A100-SXM-80GB"]
    assert floors(Cost(flops={"fp8": 3.12e14}), a100).nominal_us == pytest.approx(1e6)
    assert floors(Cost(flops={"fp4": 1.979e15}), H200).nominal_us == pytest.approx(1e6)


def test_a_precision_nobody_knows_is_refused() -> None:
    with pytest.raises(DatasetError, match="'fp7'"):
        floors(Cost(flops={"fp7": 1.0}), H200)


def test_the_latency_floor_adds_launches_and_waits_for_serial_steps() -> None:
    chain = floors(Cost(bytes_read=1.0, serial_steps=100, step_us=2.0), B200)
    assert chain.latency_us == pytest.approx(1.7 + 198.0)
    loads = floors(Cost(bytes_read=1.0, serial_steps=2), B200)
    assert loads.latency_us == pytest.approx(1.7 + 0.7)


def test_a_device_without_a_launch_time_has_no_latency_floor() -> None:
    found = floors(Cost(bytes_read=1e6), shipped_hardware()["H100-SXM"])
    assert (found.calibrated_us, found.latency_us) == (None, None)


def test_no_work_has_no_limiter() -> None:
    assert floors(Cost(), H200).limiter == "none"


@given(st.floats(0, 1e12), st.floats(0, 1e12), st.floats(0, 1e15))
def test_more_work_never_lowers_a_floor(read: float, more: float, flops: float) -> None:
    small = floors(Cost(bytes_read=read, flops={"fp8": flops}), H200)
    large = floors(Cost(bytes_read=read + more, flops={"fp8": flops * 2}), H200)
    assert large.nominal_us >= small.nominal_us
    assert small.calibrated_us is not None and small.calibrated_us >= small.nominal_us
    assert small.latency_us is not None and small.latency_us >= small.calibrated_us


def test_sol_percent_is_floor_over_latency_or_nothing() -> None:
    assert sol_percent(5.0, 10.0) == 50.0
    assert sol_percent(None, 10.0) is None
    assert sol_percent(5.0, None) is None
    assert sol_percent(0.0, 10.0) is None
    assert sol_percent(5.0, 0.0) is None


def test_parity_is_a_half_and_the_floor_is_one() -> None:
    assert sol_exec_bench_score_guarded(4.0, 4.0, 1.0).value == 0.5
    assert sol_exec_bench_score_guarded(1.0, 4.0, 1.0).value == 1.0


@pytest.mark.parametrize(
    ("latency", "baseline", "floor", "words"),
    [
        (0.95, 1.1, 1.0, "below the floor"),
        (0.9, 1.1, 1.0, "below the floor"),
        (0.8, 1.1, 1.0, "below the floor"),
        (0.5, 1.5, 1.0, "below the floor"),
        (2.0, 1.0, 1.0, "not above the floor"),
        (2.0, 0.5, 1.0, "not above the floor"),
        (math.nan, 2.0, 1.0, "finite"),
        (2.0, math.inf, 1.0, "finite"),
        (2.0, 2.0, 0.0, "positive"),
    ],
)
def test_where_the_published_formula_breaks_there_is_no_number(
    latency: float, baseline: float, floor: float, words: str
) -> None:
    guarded = sol_exec_bench_score_guarded(latency, baseline, floor)
    assert guarded.value is None
    assert words in guarded.reason


@given(TIMES, TIMES, TIMES)
def test_a_number_that_is_given_lies_between_nothing_and_one(
    latency: float, baseline: float, floor: float
) -> None:
    value = sol_exec_bench_score_guarded(latency, baseline, floor).value
    assert value is None or 0.0 < value <= 1.0


@for_each(
    "name, sm_count, memory_mhz, expected",
    [
        ("NVIDIA H200", 132, 3201, "H200"),
        ("NVIDIA B200", 148, 3996, "B200"),
        ("NVIDIA H100 80GB HBM3", 132, 2619, "H100-SXM"),
        ("NVIDIA H100 PCIe", 114, 1593, "H100-PCIe"),
        ("NVIDIA A100-SXM4-80GB", 108, 1593, "A100-SXM-80GB"),
        ("NVIDIA A100-SXM4-40GB", 108, 1215, "A100-SXM-40GB"),
        ("H200", 132, None, "H200"),
        ("NVIDIA H100 80GB HBM3", 114, 1593, None),
        ("NVIDIA H100 PCIe", 132, 2619, None),
        ("NVIDIA H200 NVL", 132, 3201, None),
        ("NVIDIA H100 NVL", 132, 2619, None),
        ("NVIDIA H100 SXM5 96GB", 132, 2619, None),
        ("NVIDIA H100 96GB HBM3", 132, 2619, None),
        ("NVIDIA H800", 132, 2619, None),
        ("NVIDIA H20", 78, 2619, None),
        ("NVIDIA GH200 480GB", 132, 2619, None),
        ("NVIDIA GH200 144G HBM3e", 132, 3201, None),
        ("NVIDIA GB200", 148, 3996, None),
        ("NVIDIA B200 NVL", 148, 3996, None),
        ("NVIDIA B300", 148, 3996, None),
        ("NVIDIA B100", 148, 3996, None),
        ("NVIDIA A100-PCIE-40GB", 108, 1215, None),
        ("NVIDIA A100 80GB PCIe", 108, 1512, None),
        ("NVIDIA A100-SXM4-80GB", 108, 1215, None),
        ("NVIDIA A100-SXM4-40GB", 108, 1593, None),
        ("NVIDIA A800-SXM4-80GB", 108, 1593, None),
        ("NVIDIA H200 MIG 1g.18gb", 16, 3201, None),
        ("NVIDIA B200", 70, 3996, None),
        ("NVIDIA H200", 131, 3201, None),
        ("nvidia h200", 132, 3201, None),
        ("NVIDIA H200 ", 132, 3201, "H200"),
        ("NVIDIA H200", 16, 3201, None),
        ("NVIDIA H200", None, 3201, None),
        ("NVIDIA H200", 132, 1593, None),
        ("NVIDIA GeForce RTX 4090", 128, 10501, None),
        ("", 132, 3201, None),
    ],
)
def test_a_device_is_recognised_by_all_of_its_marks_or_not_at_all(
    name: str, sm_count: int | None, memory_mhz: int | None, expected: str | None
) -> None:
    found = identify(name, sm_count, memory_mhz)
    assert (found.name if found else None) == expected


def test_every_figure_has_a_source_and_no_rate_is_one_with_sparsity() -> None:
    table = shipped_hardware()
    assert {"A100-SXM-80GB", "A100-SXM-40GB", "H100-SXM", "H100-PCIe", "H200", "B200"} <= set(table)
    for device in table.values():
        assert device.flops["bf16"].value < 13.5 * device.flops["tf32"].value / 6
        assert device.flops["fp32"].value < 1e14
        seen = device.calibrated
        if seen.memory_bytes_per_s:
            assert seen.memory_bytes_per_s.value < device.memory_bytes_per_s.value
        for precision, rate in seen.flops.items():
            assert rate.value < device.flops[precision].value


def test_memory_clocks_and_bandwidths_fit_each_other() -> None:
    bus_bits = {"A100": 5120, "H100": 5120, "H200": 6144, "B200": 8192}
    for device in shipped_hardware().values():
        low, high = device.identity.memory_mhz
        width = next(bits for chip, bits in bus_bits.items() if device.name.startswith(chip))
        bandwidth = 2 * (low + high) / 2 * 1e6 * width / 8
        assert bandwidth == pytest.approx(device.memory_bytes_per_s.value, rel=0.03)


def test_the_mean_of_several_inputs_is_an_expectation() -> None:
    costs = [Cost(bytes_read=1.0, flops={"fp8": 4.0}), Cost(bytes_read=3.0, flops={"fp8": 8.0})]
    mean = mean_cost(costs)
    assert (mean.bytes_read, mean.flops) == (2.0, {"fp8": 6.0})
    assert mean.expected and mean.may_exceed and not costs[0].may_exceed
    twice = scaled_cost(mean, 2.0)
    assert floors(twice, H200).nominal_us == pytest.approx(2 * floors(mean, H200).nominal_us)


def test_a_malformed_table_says_where(tmp_path: Path) -> None:
    path = tmp_path / "hardware.json"
    path.write_text("{}")
    with pytest.raises(DatasetError, match="No table of devices"):
        load_hardware(path)
    path.write_text(json.dumps({"devices": {"X": {"description": "x"}}}))
    with pytest.raises(DatasetError, match="compute_capability"):
        load_hardware(path)


def test_a_cost_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Cost(bytes_read=-1.0)
    with pytest.raises(ValueError, match="finite"):
        Cost(flops={"fp8": math.inf})
    with pytest.raises(ValueError, match="at least one kernel"):
        Cost(dependent_kernels=0)
