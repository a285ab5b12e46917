"""One call's kernels, copies, gaps and host time, read from a trace.

The traces are synthetic, in the form that the torch profiler exports.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.messages.profiler import CALL_MARK
from kernel_harness.tools.profiling.timeline.chrome_trace import kernel_profiles_of, read_timeline


def kernel(ts: float, dur: float, name: str = "k", *, stream: int = 7, cat: str = "kernel") -> dict:
    details = {
        "stream": stream,
        "grid": [264, 1, 1],
        "block": [256, 1, 1],
        "registers per thread": 64,
        "shared memory": 0,
    }
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": details}


def trace(*rows: dict, mark: tuple[float, float] = (1000.0, 20.0)) -> str:
    warm = [
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "ts": 10.0, "dur": 5.0},
        kernel(20.0, 3.0, "warm_up"),
    ]
    call = {"ph": "X", "cat": "user_annotation", "name": CALL_MARK, "ts": mark[0], "dur": mark[1]}
    shadow = {"ph": "X", "cat": "gpu_user_annotation", "name": CALL_MARK, "ts": 1005.0, "dur": 9.0}
    launch = {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": 1002.0, "dur": 2}
    meta = {"ph": "M", "name": "process_name", "ts": 0}
    return json.dumps({"traceEvents": [meta, *warm, call, shadow, launch, *rows]})


def read(*rows: dict, host_us: tuple[float, ...] = ()):
    return read_timeline(trace(*rows), uuid="w", axes={"n": 1}, host_us=host_us)


def test_only_what_follows_the_mark_belongs_to_the_call():
    got = read(kernel(1010.0, 30.0))
    assert [event.name for event in got.events] == ["k"]
    assert got.host_before_first_us == 10.0
    assert got.host_calls == {"cudaLaunchKernel": 1}


def test_copies_and_memsets_are_distinguished_from_kernels():
    got = read(
        kernel(1010.0, 5.0),
        kernel(1016.0, 2.0, "Memcpy DtoD", cat="gpu_memcpy"),
        kernel(1018.5, 1.0, "Memset", cat="gpu_memset"),
    )
    assert (got.kernels, got.copies, len(got.events)) == (1, 1, 3)


def test_overlapping_streams_count_once_in_the_busy_time():
    got = read(kernel(1010.0, 10.0), kernel(1015.0, 10.0, stream=8))
    assert got.busy_us == 15.0
    assert got.gap_us == 0.0
    assert [(s.stream, s.busy_us) for s in got.streams] == [(7, 10.0), (8, 10.0)]


def test_a_host_gap_between_two_kernels_is_launch_bound():
    got = read(kernel(1010.0, 5.0, "a"), kernel(1060.0, 5.0, "b"), host_us=(15.0,))
    assert got.launch_bound
    assert got.gaps[0].duration_us == 45.0
    assert (got.gaps[0].after, got.gaps[0].before) == ("a", "b")


def test_a_short_kernel_that_takes_longer_to_issue_is_launch_bound():
    got = read(kernel(1010.0, 3.0), host_us=(19.0, 21.0, 20.0))
    assert got.launch_bound
    assert got.host_us == 20.0
    assert "20.0 us to issue" in got.why


def test_a_long_kernel_is_not_launch_bound():
    assert not read(kernel(1010.0, 300.0), host_us=(20.0,)).launch_bound


def test_without_unprofiled_times_the_marks_own_length_stands_in():
    assert read(kernel(1010.0, 300.0)).host_us == 20.0


def test_a_call_that_launches_nothing_says_so():
    got = read()
    assert (got.kernels, got.launch_bound) == (0, False)
    assert "Nothing ran" in got.why


def test_kernels_get_occupancy_and_waves_from_the_architectures_limits():
    timeline = read(kernel(1010.0, 30.0), kernel(1050.0, 10.0, "b"))
    first, second = kernel_profiles_of(timeline, sm_count=132, compute_capability="9.0")
    assert (first.name, first.share) == ("k", 0.75)
    assert first.occupancy_theoretical_percent == 50.0
    assert first.waves == pytest.approx(264 / (132 * 4))
    assert second.duration_us == 10.0


def test_an_unknown_device_leaves_occupancy_out():
    (got,) = kernel_profiles_of(read(kernel(1010.0, 3.0)), sm_count=None, compute_capability=None)
    assert got.occupancy_theoretical_percent is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"traceEvents": 3}', "[1, 2]"])
def test_a_text_that_is_no_trace_is_an_error_of_ours(text):
    with pytest.raises(InfrastructureError):
        read_timeline(text, uuid="w", axes={})


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"ph": st.just("X"), "cat": st.sampled_from(["kernel", "gpu_memcpy", "cuda_runtime"])},
            optional={"name": json_values, "ts": json_values, "dur": json_values}
            | {"args": json_values, "tid": json_values},
        ),
        max_size=6,
    )
)
def test_any_events_of_a_candidate_are_read_or_refused(rows):
    got = read(*rows)
    assert got.busy_us <= got.span_us + 1e-6
    assert "NaN" not in got.model_dump_json()
