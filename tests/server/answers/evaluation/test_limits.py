"""A short answer takes 500 tokens at most, and what an agent acts on stays."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.server.answers.evaluation.answer import evaluation_answer
from kernel_harness.server.answers.evaluation.limits import (
    MOST_KERNELS,
    ROWS,
    TEXTS_FIRST,
    limits_of,
)
from kernel_harness.server.answers.evaluation.models import EvaluationAnswer
from kernel_harness.tools.evaluation.service import Evaluated
from kernel_harness.tools.schema.drawn_inputs import HeldOutResult
from kernel_harness.tools.schema.evaluation import (
    DeviceInfo,
    Evaluation,
    Evidence,
    Executor,
    Failure,
    Finding,
    Integrity,
    Scope,
    Severity,
    Stage,
    StaticCheck,
    StaticKernel,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import (
    Comparison,
    Decision,
    Measurement,
    TimeSource,
    Totals,
)
from tests.records import make_record

REPOSITORY = Path(__file__).parents[4]
MOST_TOKENS = 500
CHARACTERS = 4
GPU = Evidence(
    started_at="2026-11-20T22:15:30+00:00",
    device=DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA, compute_capability="9.0"),
)
COMPARED = Comparison(
    ratio=1.5,
    interval=(1.4, 1.6),
    confidence=0.99,
    pairs=30,
    wins=30,
    sign_p=0.0,
    threshold=1.02,
    decision=Decision.FASTER,
)
WARNINGS = [
    Finding(
        claim="no_hidden_host_work",
        severity=Severity.WARNING,
        message="The host takes 371.7 µs for a call whose device span is 9.8 µs; 320 µs are "
        "allowed beyond it for 1 launch. The sealed time does not hold it; who makes the call "
        "waits for it.",
    ),
    Finding(
        claim="cold_only",
        severity=Severity.WARNING,
        message="Faster than the baseline with a cold L2 and not faster with a warm one, on 2 of "
        "the workloads: batch_size=64: 1.233x cold, 0.998x warm; batch_size=64: 1.239x cold, "
        "1.012x warm.",
    ),
]
SUSPECTED = Integrity(findings=WARNINGS, determinism="bitwise")
GCC = "".join(
    f"binding.cpp:{n}:19: error: expected primary-expression before ‘<’ token\n"
    f"   {n} |     in.logits_{n} = at<float>(routing_logits), in.bias = at<uint16_t>(bias);\n"
    "      |                   ^\n"
    "In file included from /opt/venv/lib/python3.12/site-packages/torch/include/c10/Device.h:4,\n"
    "                 from /opt/venv/lib/python3.12/site-packages/torch/include/c10/Guard.h:8,\n"
    for n in range(30, 70)
)
TRACEBACK = "Traceback (most recent call last):\n" + "".join(
    f'  File "kernel.py", line {n}, in step_{n}\n    step_{n + 1}(x[{n}], y, out=buffers[{n}])\n'
    for n in range(40)
)
KERNELS = StaticCheck(
    status="built",
    reason="Not launched on one of the workloads: " + "void prepare<1, 8>(Inputs), " * 20,
    kernels=[
        StaticKernel(
            name=f"void stage_{n}<2, 4>(Inputs, Maps)",
            target=target,
            config={"BLOCK": 64, "HEADS": 16, "num_warps": 4, "num_stages": 2},
            registers=100 + n,
            shared_bytes=83_968,
            spill_bytes=4 if n == 5 else 0,
            threads=128,
            occupancy=0.125,
            occupancy_limit="shared_memory",
            instructions={"tensor_mma": 68, "load_global": 47, "store_global": 18, "total": 984},
            notes=["Tensor instructions are mma.sync; tcgen05 is what reaches Blackwell's peak."],
            grids={f"{n:08x}": [[8, 32, 1]] for n in range(6)},
        )
        for n in range(7)
        for target in ("sm_100", "sm_90")
    ],
)


def rows(number: int, status: Status = Status.PASSED, *, timed: bool) -> list[WorkloadResult]:
    """So many workloads with three axes each."""
    measured: dict[str, Any] = {
        "latency_us": 17.54,
        "baseline_latency_us": 22.3,
        "speedup": 1.275,
        "comparison": COMPARED,
        "sol_percent": 80.2,
        "measurement": Measurement(timer="cupti", cold_ns=[17_540], clock=TimeSource.SEALED),
    }
    return [
        WorkloadResult(
            uuid=f"{n:08x}-0000-4000-8000-000000000000",
            axes={"total_seq_len": 1_000 + n, "num_seqs": n, "len_cu_seqlens": n + 1},
            status=status,
            floors_us={"B200": 2.338, "H200": 3.897},
            reason="the trial ended before it (compile_error)"
            if status is Status.NOT_RUN
            else None,
            **(measured if timed else {}),
        )
        for n in range(number)
    ]


def failure(stage: Stage, kind: str, **changes: Any) -> Failure:
    """A failure as the judge tells one, with texts as long as they come."""
    told = {
        "message": "Output 'new_state': 40,960 of 524,288 elements differ, all in rows 3 and 7; "
        "worst at [0, 3, 17, 96]: expected 0.7311, got 2.25 (3.1 times the limit).",
        "remedy": "Make the candidate right for every size and content that the definition "
        "allows: look for constants taken from the public workloads, sizes that do not divide "
        "the tile, and empty or very long sequences.",
    }
    return Failure(stage=stage, kind=kind, **{**told, **changes})


def record(number: int, **changes: Any) -> Evaluation:
    """An evaluation of so many workloads."""
    return make_record(
        **{
            "definition": "gdn_prefill_qk4_v8_d128_k_last",
            "evidence": GPU,
            "totals": Totals(passed=number),
            **changes,
        }
    )


def timed_record(
    number: int, scope: Scope, integrity: Integrity = SUSPECTED, **changes: Any
) -> Evaluation:
    """A pass with times, held-out sizes, a build for Blackwell and two findings."""
    totals = Totals(
        passed=number,
        mean_latency_us=9.1962,
        estimated_full_mean_us=7.0314,
        baseline_mean_latency_us=12.1721,
        geometric_mean_ratio=1.4341,
        ratio_interval=(1.4204, 1.4481),
        wins=number,
    )
    return record(
        number,
        scope=scope,
        workloads=rows(number, timed=True),
        totals=totals,
        baseline="gdn_decode_triton_baseline",
        held_out=HeldOutResult(called=3, left_out=4),
        integrity=integrity,
        static=KERNELS.model_copy(update={"reason": None}),
        **changes,
    )


def failed(number: int, status: Status, said: Failure, **changes: Any) -> Evaluation:
    """A failure on the last of so many workloads."""
    ran = rows(number - 1, timed=False)
    last = rows(number, status, timed=False)[-1]
    return record(
        number,
        status=status,
        stage=said.stage,
        failure=said,
        workloads=[*ran, last],
        totals=Totals(passed=number - 1, failed=1),
        **changes,
    )


def compiled(number: int) -> Evaluation:
    """Seven kernels, built for two targets."""
    return record(
        number,
        scope=Scope.STATIC,
        status=Status.COMPILED,
        static=KERNELS,
        workloads=rows(number, Status.NOT_RUN, timed=False),
        totals=Totals(not_run=number),
        not_timed_reason="scope static does not run the candidate",
    )


def not_compiled(number: int) -> Evaluation:
    """Forty errors of a C++ compiler."""
    said = failure(
        Stage.COMPILE, "compile_error", message="binding.cpp did not compile.", excerpt=GCC
    )
    return record(
        number,
        status=Status.COMPILE_ERROR,
        stage=Stage.COMPILE,
        failure=said,
        workloads=rows(number, Status.NOT_RUN, timed=False),
        totals=Totals(not_run=number),
    )


def on_a_cpu(number: int) -> Evaluation:
    """Right in the interpreter."""
    return record(
        number,
        scope=Scope.SMOKE,
        workloads=rows(number, timed=False),
        not_timed_reason="no GPU: candidates ran on the CPU or in Triton's interpreter",
        evidence=GPU.model_copy(update={"device": None}),
        static=KERNELS.model_copy(update={"reason": None}),
    )


def in_part(number: int) -> Evaluation:
    """Not all ran in the time that there was."""
    reason = "2 workloads were not run: 16.5 s of its own budget were left, and each takes longer"
    return record(
        number,
        status=Status.PARTIAL,
        partial_reason=reason,
        workloads=[
            *rows(number, timed=False),
            *[
                result.model_copy(update={"reason": reason})
                for result in rows(2, Status.NOT_RUN, timed=False)
            ],
        ],
        totals=Totals(passed=number, not_run=2),
    )


VIOLATION = "The call wrote out of bounds: 2 bytes right after output 'y'."
KINDS = {
    "compiled": compiled,
    "compile error": not_compiled,
    "smoke on a CPU": on_a_cpu,
    "part": in_part,
    "sample": lambda n: timed_record(n, Scope.SAMPLE),
    "sample without findings": lambda n: timed_record(n, Scope.SAMPLE, integrity=Integrity()),
    "full": lambda n: timed_record(n, Scope.FULL),
    "wrong": lambda n: failed(
        n,
        Status.INCORRECT_NUMERICAL,
        failure(
            Stage.CORRECTNESS,
            "wrong_values",
            axes={"total_seq_len": 1_000, "num_seqs": 4, "len_cu_seqlens": 5},
            output="new_state",
            index=[0, 3, 17, 96],
            expected=0.7311,
            got=2.25,
            mismatched=40_960,
            total=524_288,
            cluster="rows 3 and 7",
        ),
    ),
    "crash": lambda n: failed(
        n,
        Status.RUNTIME_ERROR,
        failure(Stage.CORRECTNESS, "exception", message="IndexError: 7", excerpt=TRACEBACK),
        log=TRACEBACK * 3,
    ),
    "violation": lambda n: failed(
        n,
        Status.INTEGRITY_VIOLATION,
        failure(Stage.INTEGRITY, "writes_stay_inside", message=VIOLATION),
        integrity=Integrity(
            findings=[
                Finding(claim="writes_stay_inside", severity=Severity.VIOLATION, message=VIOLATION),
                *WARNINGS,
            ]
        ),
    ),
    "timeout": lambda n: failed(
        n, Status.TIMEOUT, failure(Stage.CORRECTNESS, "timeout", excerpt=TRACEBACK)
    ),
}


def tokens_of(answer: EvaluationAnswer) -> int:
    written = json.dumps(answer.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False)
    return len(written) // CHARACTERS


@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("kind", KINDS)
def test_an_ordinary_answer_takes_500_tokens_and_tells_what_decides(kind: str, number: int):
    said = KINDS[kind](number)
    answer = evaluation_answer(Evaluated(said))
    assert tokens_of(answer) <= MOST_TOKENS
    assert answer.status == said.status and answer.next_steps and answer.evaluation_uri
    if said.failure:
        part = answer.failure
        assert part is not None and part.kind == said.failure.kind
        for name in ("index", "expected", "got"):
            assert getattr(part, name) == getattr(said.failure, name)
        assert said.failure.message[:80] in answer.summary
        assert answer.next_steps[0] == said.failure.remedy
        lost = [r for r in said.workloads if r.status not in (Status.PASSED, Status.NOT_RUN)]
        assert [w.status for w in answer.workloads if w.status] == [r.status for r in lost]
    if said.totals.mean_latency_us is not None:
        findings = answer.integrity.findings
        assert [f.claim for f in findings] == [f.claim for f in said.integrity.findings]
        for shown, known in zip(findings, said.integrity.findings, strict=True):
            assert str(shown.message)[:60] == known.message[:60]
        assert len(answer.workloads) >= min(number, 4 if findings else 7)
        assert "B200" in answer.summary


def test_what_a_compiler_says_of_includes_makes_room_for_its_errors():
    part = evaluation_answer(Evaluated(not_compiled(3))).failure
    assert part is not None and part.excerpt is not None
    assert "site-packages" not in part.excerpt and part.excerpt.count("error:") >= 4
    assert part.excerpt.startswith("binding.cpp:30:19: error:")


def test_of_kernels_that_do_not_all_fit_the_spilled_ones_of_the_first_target_are_shown():
    answer = evaluation_answer(Evaluated(compiled(4)))
    assert {part.target for part in answer.static} == {"sm_100"} and len(answer.static) >= 4
    assert [part.spill_bytes for part in answer.static if part.spill_bytes] == [4]
    assert "of 14" in str(answer.static_note) and "section='static'" in str(answer.static_note)


def test_many_workloads_point_to_the_record():
    answer = evaluation_answer(Evaluated(timed_record(100, Scope.FULL)))
    assert tokens_of(answer) <= MOST_TOKENS and len(answer.workloads) >= 3
    assert "of 100" in str(answer.workloads_shown) and "read_report" in str(answer.workloads_shown)


def test_texts_are_cut_before_rows_go():
    most = ROWS["concise"]
    first, tight, fewer = (
        limits_of("concise", most + TEXTS_FIRST, most),
        limits_of("concise", most, most),
        limits_of("concise", most - 1, most),
    )
    assert first.rows == tight.rows == most > fewer.rows
    assert first.finding > tight.finding > fewer.finding
    assert limits_of("concise", 0, MOST_KERNELS).kernels == 1


@pytest.mark.parametrize(
    ("operators", "least"),
    [("gdn_decode*", 40), pytest.param("*", 200, marks=pytest.mark.long)],
    ids=["one", "every"],
)
def test_no_evaluation_in_a_shipped_history_takes_more(
    monkeypatch: pytest.MonkeyPatch, operators: str, least: int
):
    """Most of them were timed on H200s."""
    benchmarks = REPOSITORY / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    recorded = runpy.run_path(str(benchmarks / "answer_tokens.py"))["recorded"]
    costs = [
        tokens_of(evaluation_answer(Evaluated(evaluation)))
        for bundle in sorted((REPOSITORY / "kernels").glob(f"{operators}/history.bundle"))
        for evaluation in recorded(bundle)
    ]
    assert len(costs) >= least and max(costs) <= MOST_TOKENS
