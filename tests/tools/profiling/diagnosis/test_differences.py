"""Of two profiles only the differences that matter are reported."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.profiling.diagnosis.differences import MOST, differences

from ..profiles import profile, stalled


def figures(mine, theirs) -> list[str]:
    return [d.figure for d in differences("w", mine, theirs)]


def test_equal_profiles_have_no_differences():
    assert differences("w", [profile()], [profile()]) == []


def test_noise_is_not_a_difference():
    mine = profile(duration_us=50.5, dram_percent=22, registers=42)
    assert differences("w", [mine], [profile()]) == []


def test_a_shorter_kernel_with_fewer_bytes_is_called_better():
    mine = profile(duration_us=25, dram_bytes=1e6)
    theirs = profile(duration_us=50, dram_bytes=4e6)
    got = differences("w", [mine], [theirs])
    assert {d.figure for d in got} == {"duration_us", "dram_bytes"}
    assert all("better" in d.says for d in got)


def test_a_fused_call_shows_fewer_launches_first():
    mine = [profile(duration_us=5)]
    theirs = [profile(duration_us=5), profile(name="second", duration_us=5)]
    got = differences("w", mine, theirs)
    assert {got[0].kernel, got[1].kernel} == {"call"}
    assert {"launches", "duration_us"} == {d.figure for d in got[:2]}


def test_a_moved_stall_is_reported_with_both_shares():
    mine = profile(stalls=stalled(barrier=0.5, long_scoreboard=0.1))
    theirs = profile(stalls=stalled(long_scoreboard=0.6))
    got = {d.figure: (d.value, d.other) for d in differences("w", [mine], [theirs])}
    assert got["stall_barrier_percent"] == (50, 0)
    assert got["stall_long_scoreboard_percent"] == (10, 60)


def test_differences_in_a_small_kernel_weigh_less():
    mine = [profile(share=0.95), profile(name="b", share=0.05, tensor_percent=80)]
    theirs = [profile(share=0.95, tensor_percent=20), profile(name="c", share=0.05)]
    got = [d.kernel for d in differences("w", mine, theirs) if d.figure == "tensor_percent"]
    assert got == ["kernel", "b"]


def test_a_figure_that_one_side_lacks_is_not_compared():
    assert figures([profile(dram_percent=None)], [profile(dram_percent=90)]) == []


@given(
    st.lists(st.floats(0, 1e6), min_size=0, max_size=4),
    st.lists(st.floats(0, 1e6), min_size=0, max_size=4),
)
def test_the_list_is_bounded_and_ranked(mine, theirs):
    got = differences(
        "w",
        [profile(duration_us=d, dram_bytes=d * 7) for d in mine],
        [profile(duration_us=d, l1_percent=99) for d in theirs],
    )
    weights = [d.weight for d in got]
    assert len(got) <= MOST
    assert weights == sorted(weights, reverse=True)
