"""What a candidate says is bounded and printable before anybody reckons with it or reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages import frames


def said(**words: Any) -> Any:
    return frames.decode(wire.from_candidate, json.dumps(words).encode())


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "called", "fault": {"kind": "exception", "message": "\x1b[2Jno"}},
        {"kind": "called", "timer_note": "\x1b[2Jno"},
        {"kind": "built", "log": "\x1b[2Jno"},
        {"kind": "compiled", "failures": {"sm\x1b[2J": "\x1b[2Jno"}},
        {"kind": "compiled", "notes": ["\x1b[2Jno"]},
        {
            "kind": "compiled",
            "kernels": [{"name": "k", "target": "t", "config": {"\x1b[2J": "\x1b"}}],
        },
    ],
)
def test_no_word_of_a_candidate_keeps_a_control_code(words):
    assert "\x1b" not in repr(said(**words).model_dump()).encode().decode("unicode_escape")


@pytest.mark.parametrize("kind", ["", "size 65", "SIZE", "a" * 41, "\x1b[2J", "x\n"])
def test_a_fault_s_kind_is_one_short_word(kind):
    with pytest.raises(frames.WireError):
        said(kind="called", fault={"kind": kind, "message": "no"})


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "called", "span_ns": 10**400},
        {"kind": "called", "host_ns": -(10**40)},
        {"kind": "called", "dropped_activities": -1},
        {"kind": "built", "seconds": float("nan")},
        {"kind": "built", "seconds": float("inf")},
        {"kind": "built", "seconds": -1.0},
        {"kind": "compiled", "kernels": [{"name": "k", "target": "t", "registers": 10**30}]},
        {"kind": "compiled", "failures": {f"sm_{n}": "no" for n in range(41)}},
    ],
)
def test_a_number_that_no_statistics_can_reckon_with_is_no_answer(words):
    with pytest.raises(frames.WireError):
        said(**words)


def test_what_an_honest_process_says_arrives_as_it_was_said():
    kernel = {"name": "k", "target": "sm_90", "registers": 32, "opcodes": {"HMMA": 4}}
    kernel["config"] = {"BLOCK": 64, "name": "a", "flag": True, "share": 0.5, "none": None}
    answer = said(kind="compiled", kernels=[kernel])
    assert answer.kernels[0].config == kernel["config"]
    assert answer.kernels[0].config["flag"] is True
    activity = {"name": "k", "start_ns": 1_700_000_000_000_000_000, "end_ns": 2, "grid": [1, 2, 3]}
    called = said(kind="called", span_ns=3_000, activities=[activity])
    assert called.span_ns == 3_000 and called.activities[0].start_ns == activity["start_ns"]


def test_a_build_request_is_made_of_a_solution_s_own_fields():
    spec = {"language": "cuda", "binding": "torch", "entry_point": "k.cu::run"}
    spec |= {"destination_passing_style": False, "target_hardware": ["H200"], "dependencies": []}
    sources = [{"path": "k.cu", "content": "//"}]
    request = wire.BuildRequest.of(
        {"name": "s", "spec": spec, "sources": sources},
        content_hash="sha256:1",
        argument_count=2,
        output_count=1,
    )
    assert (request.language, request.binding) == ("cuda", "torch")
    assert request.entry_point == "k.cu::run" and not request.destination_passing_style
    assert request.sources == sources and request.cuda_arch is None
