"""Integrity checks: one function for each claim.

Each takes what the judge observed and returns findings; a violation decides the verdict.
tests/adversarial/claims.py lists each claim with the candidates that attack it. Times come from a
process that the candidate could tamper with: they are bounded here, not proven.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ...schema.evaluation import OUT_OF_BOUNDS, Failure, Finding, Severity, Stage, Status
from ...schema.measurement import KernelTime, Measurement, TimeSource
from ...text import shorten
from ..calls.compared_bytes import same_bits
from ..calls.judged_call import CallOutcome
from ..calls.shared_memory import Damage
from ..operators.operator_adapter import Case
from .failures import ALIAS_CLAIM, LAZY_CLAIM, PROCESS_CLAIM, shielded

INPUTS = "inputs_unchanged"
BOUNDS = "writes_stay_inside"
JOINED = "work_is_joined"
PHYSICS = "not_faster_than_physics"
WALL_CLOCK = "clock_agrees_with_judge"
HOST_WORK = "no_hidden_host_work"
TWO_CLOCKS = "two_clocks_agree"
DECOY = "own_kernels_do_the_work"
LIBRARIES = "allowed_libraries_only"
TURN = "speaks_only_when_asked"
SAME_KERNELS = "recorded_call_is_ordinary"
DEPENDS = "outputs_depend_on_inputs"
LAUNCHES = "launches_as_compiled"
WHOLE_SET = "set_is_whole"

LEAST_OF_FLOOR = 0.9
HOST_ALLOWANCE_NS = 300_000
HOST_ALLOWANCE_PER_LAUNCH_NS = 20_000
"""A generous bound on launching from Python in a process that was idle.

Inputs lie on the device, and fetching them is an activity inside the span: host work before the
first activity can depend on their shapes only.
"""
EVENTS_ALLOWANCE_NS = 15_000
EVENTS_ALLOWANCE_PER_LAUNCH_NS = 5_000
CLOCK_SLACK_NS = 2_000
LIBRARY_SHARE = 0.1
OWN_ORIGINS = ("candidate", "copy", "memset", "unknown")

SEALED_HOST_WORK = "The sealed time does not hold it; who makes the call waits for it."

REMEDIES: dict[str, str] = {
    INPUTS: "Leave inputs as they are; work on a copy where you need to change them.",
    BOUNDS: "Mask every store by the true size; check the last tile and pointer arithmetic.",
    JOINED: "Join every stream and thread that writes outputs before returning, e.g. with "
    "torch.cuda.current_stream().wait_stream(side).",
    ALIAS_CLAIM: "Write results to memory of their own.",
    LAZY_CLAIM: "Return plain torch.Tensor objects whose values exist when the call returns.",
    PROCESS_CLAIM: "Leave clocks alone, and join every thread before the call returns.",
    PHYSICS: "Change nothing if the time is honest: report the operator's cost model. Otherwise "
    "do all of the work inside the call.",
    TWO_CLOCKS: "Leave clocks and profiling tools alone; await all work before the call returns.",
    WALL_CLOCK: "Leave clocks and profiling tools alone.",
    HOST_WORK: "Move the work from the host into kernels; hidden host time counts as latency.",
    DECOY: "Let your own kernels compute the outputs: with them disabled the result was still "
    "right, so something else computed it.",
    LIBRARIES: "Write the kernel yourself, or use a library that the policy.toml allows.",
    TURN: "Leave the process's descriptors alone.",
    LAUNCHES: "Let host code take one way: what it launches may depend on shapes and the device "
    "alone, never on whether it is interpreted.",
    SAME_KERNELS: "Launch the same kernels with the same numbers in every call of a workload, "
    "whether or not it is captured, and in every process.",
    DEPENDS: "Tell the person who owns the definition: a constant would pass for this output.",
    WHOLE_SET: "Tell the person who owns the workloads, or correct the lines named.",
}


def inputs_unchanged(outcome: CallOutcome, mutable: Sequence[str]) -> list[Finding]:
    """Inputs hold the same bytes after a call, except those declared mutable."""
    changed = [name for name in outcome.mutated if name not in mutable]
    if not changed:
        return []
    return [
        Finding(
            claim=INPUTS,
            severity=Severity.VIOLATION,
            message=f"The call changed its input {_listed(changed)}.",
            evidence={"inputs": changed},
        )
    ]


def writes_stay_inside(outcome: CallOutcome) -> list[Finding]:
    """The guard bands around every tensor are unchanged."""
    if not outcome.damage:
        return []
    words = [_stray_words(damage) for damage in outcome.damage]
    return [
        Finding(
            claim=BOUNDS,
            severity=Severity.VIOLATION,
            message=f"The call wrote out of bounds: {'; '.join(words[:4])}.",
            evidence={
                "guards": [[d.slot, d.side, d.nearest, d.nbytes] for d in outcome.damage[:16]]
            },
        )
    ]


def _stray_words(damage: Damage) -> str:
    """Size and place of a stray write, in bytes and in elements."""
    least = "at least " if damage.reaches_the_end else ""
    many = "element" if damage.elements == 1 else "elements"
    where = f"{damage.side} {_describe_slot(damage.slot)}"
    gap = damage.first * damage.dtype.itemsize
    place = f"{gap} bytes {where}" if gap else f"right {where}"
    dtype = str(damage.dtype).removeprefix("torch.")
    return f"{least}{damage.nbytes} bytes ({damage.elements} {many} of {dtype}) {place}"


def work_is_joined(outcome: CallOutcome) -> list[Finding]:
    """No output changed after the work ordered on the caller's stream had ended."""
    if not outcome.changed_late:
        return []
    return [
        Finding(
            claim=JOINED,
            severity=Severity.VIOLATION,
            message=f"Output {_listed(outcome.changed_late)} still changed after the call had "
            "returned: work runs on a stream or thread that the caller's stream does not wait for.",
            evidence={"outputs": outcome.changed_late},
        )
    ]


def after_call(outcome: CallOutcome, mutable: Sequence[str]) -> list[Finding]:
    """Every check of a single call."""
    return [
        *writes_stay_inside(outcome),
        *inputs_unchanged(outcome, mutable),
        *work_is_joined(outcome),
    ]


AFTER_CALL = (BOUNDS, INPUTS, JOINED, ALIAS_CLAIM, LAZY_CLAIM, TURN)


def clock_agrees(outcome: CallOutcome) -> list[Finding]:
    """No claimed time exceeds the judge's wall time from request to answer."""
    claimed = max(outcome.called.span_ns or 0, outcome.called.host_ns or 0)
    if claimed <= outcome.elapsed_ns + CLOCK_SLACK_NS:
        return []
    return [
        Finding(
            claim=WALL_CLOCK,
            severity=Severity.VIOLATION,
            message=f"A call claimed {claimed / 1e3:.1f} µs, but from request to answer only "
            f"{outcome.elapsed_ns / 1e3:.1f} µs passed.",
            evidence={"claimed_ns": claimed, "elapsed_ns": outcome.elapsed_ns},
        )
    ]


def not_faster_than_physics(
    latency_us: float, floor_us: float | None, *, upper_bound: bool, device: str
) -> list[Finding]:
    """No latency lies below what the device's memory and arithmetic allow.

    Args:
        latency_us: median cold latency.
        floor_us: least time by the device's data sheet; None for an unknown device.
        upper_bound: whether the cost model may count more work than a kernel must do; then a
            latency below the floor is only a warning.
    """
    if floor_us is None or latency_us >= LEAST_OF_FLOOR * floor_us:
        return []
    severity = Severity.WARNING if upper_bound else Severity.VIOLATION
    return [
        Finding(
            claim=PHYSICS,
            severity=severity,
            message=f"faster_than_physics: {latency_us:.3g} µs measured, {floor_us:.3g} µs is the "
            f"least that {device} can take for the bytes and FLOPs of this workload.",
            evidence={"latency_us": latency_us, "floor_us": floor_us},
        )
    ]


def no_hidden_host_work(
    span_ns: float, host_ns: float, launches: float, *, sealed: bool = False
) -> list[Finding]:
    """Host time beyond the device's span (medians of both) stays within what launching takes.

    Args:
        sealed: whether the span is that of replays, in which no host code runs.
    """
    allowance = HOST_ALLOWANCE_NS + HOST_ALLOWANCE_PER_LAUNCH_NS * launches
    if host_ns - span_ns <= allowance:
        return []
    return [
        Finding(
            claim=HOST_WORK,
            severity=Severity.WARNING,
            message=f"The host takes {host_ns / 1e3:.1f} µs for a call whose device span is "
            f"{span_ns / 1e3:.1f} µs; {allowance / 1e3:.0f} µs are allowed beyond it for "
            f"{launches:.0f} launches. "
            + (SEALED_HOST_WORK if sealed else "It is ranked by the host time."),
            evidence={"span_ns": span_ns, "host_ns": host_ns, "allowance_ns": allowance},
        )
    ]


def after_timing(
    measurement: Measurement,
    *,
    floor_us: float | None,
    upper_bound: bool,
    device: str,
    libraries: Sequence[str],
    language: str,
) -> list[Finding]:
    """Every check of one workload's samples; arguments as in those checks."""
    span_ns = statistics.median(measurement.cold_ns)
    launches = sum(kernel.launches for kernel in measurement.kernels) / len(measurement.cold_ns)
    sealed = measurement.clock is TimeSource.SEALED
    hidden: list[Finding] = []
    if measurement.host_ns:
        host_ns = statistics.median(measurement.host_ns)
        hidden = no_hidden_host_work(span_ns, host_ns, launches, sealed=sealed)
    return [
        *hidden,
        *not_faster_than_physics(span_ns / 1e3, floor_us, upper_bound=upper_bound, device=device),
        *allowed_libraries_only(measurement.kernels, libraries, language),
    ]


def two_clocks_agree(span_ns: float, events_ns: float, launches: float) -> list[Finding]:
    """CUDA events around a call measure no more than the CUPTI span (medians) and launch gaps."""
    gaps = EVENTS_ALLOWANCE_NS + EVENTS_ALLOWANCE_PER_LAUNCH_NS * launches
    allowance = 0.5 * span_ns + gaps
    if events_ns <= span_ns + allowance:
        return []
    return [
        Finding(
            claim=TWO_CLOCKS,
            severity=Severity.WARNING,
            message=f"CUDA events saw {events_ns / 1e3:.1f} µs of a call whose span was claimed as "
            f"{span_ns / 1e3:.1f} µs; at most {(span_ns + allowance) / 1e3:.1f} µs were expected.",
            evidence={"span_ns": span_ns, "events_ns": events_ns},
        )
    ]


def own_kernels_do_the_work(still_right: bool) -> list[Finding]:
    """With the candidate's own kernels disabled the result is wrong."""
    if not still_right:
        return []
    return [
        Finding(
            claim=DECOY,
            severity=Severity.VIOLATION,
            message="decoy: with the candidate's own kernels disabled its outputs were still "
            "right.",
        )
    ]


def recorded_call_is_ordinary(words: str) -> Finding:
    """Other kernels, grids or parameters were recorded than ordinary calls launch."""
    return Finding(claim=SAME_KERNELS, severity=Severity.VIOLATION, message=f"The {words}.")


def launched_something(
    language: str, *, interpreted: bool, launched_nothing: bool
) -> list[Finding]:
    """A Triton candidate launches a kernel in the interpreter.

    A warning only: for tiny sizes an honest candidate may use torch. On a GPU the time by origin
    tells more, and kernels can be launched in ways that cannot be disabled.
    """
    if language != "triton" or not interpreted or not launched_nothing:
        return []
    return [
        Finding(
            claim=DECOY,
            severity=Severity.WARNING,
            message="A right result came without any Triton kernel being launched: a library "
            "computed it. On a GPU its time will count as that library's.",
        )
    ]


def spoke_when_asked(failure: Failure | None) -> list[Finding]:
    """The process sent nothing out of turn while building or mapping memory."""
    if failure is None or failure.kind != "protocol":
        return []
    return [Finding(claim=TURN, severity=Severity.VIOLATION, message=failure.message)]


def allowed_libraries_only(
    kernels: Sequence[KernelTime], allowed: Sequence[str], language: str
) -> list[Finding]:
    """Device time is spent in the candidate's kernels or in libraries that the policy allows."""
    shares: dict[str, float] = {}
    for kernel in kernels:
        if kernel.origin not in OWN_ORIGINS and kernel.origin not in allowed:
            shares[kernel.origin] = shares.get(kernel.origin, 0.0) + kernel.share
    foreign = {origin: share for origin, share in shares.items() if share > 0.01}
    if not foreign:
        return []
    heavy = max(foreign.values()) > LIBRARY_SHARE and language != "python"
    return [
        Finding(
            claim=LIBRARIES,
            severity=Severity.VIOLATION if heavy else Severity.WARNING,
            message="Kernels of "
            + _listed(
                [f"{origin} ({100 * share:.0f} % of time)" for origin, share in foreign.items()]
            )
            + " are not allowed here.",
            evidence={"shares": dict(foreign), "allowed": list(allowed)},
        )
    ]


def same_outputs(one: CallOutcome, other: CallOutcome) -> bool:
    """Whether two calls left the same bytes in every output."""
    return all(same_bits(value, other.outputs[name]) for name, value in one.outputs.items())


def worst(findings: Sequence[Finding]) -> Finding | None:
    """The first violation, if any."""
    return next((f for f in findings if f.severity is Severity.VIOLATION), None)


def violation(finding: Finding, case: Case) -> tuple[Status, Failure]:
    """The status and failure of a workload for a violation.

    A store past the end of a tensor is an error of kernels that mean no harm, and is told as one.
    """
    stray = finding.claim == BOUNDS
    failure = Failure(
        stage=Stage.CORRECTNESS if stray else Stage.INTEGRITY,
        kind=OUT_OF_BOUNDS if stray else finding.claim,
        message=finding.message,
        remedy=REMEDIES[finding.claim],
        workload_uuid=case.uuid,
        axes=case.axes,
    )
    status = Status.RUNTIME_ERROR if stray else Status.INTEGRITY_VIOLATION
    return status, shielded(failure, case)


def _describe_slot(slot: str) -> str:
    role, _, name = slot.partition(":")
    words = {
        "in": "input",
        "out": "output",
        "snap": "the judge's copy of",
        "late": "the late copy of",
    }
    return f"{words[role]} {name!r}"


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items)


def outputs_depend_on_inputs(constant: Sequence[str]) -> list[Finding]:
    """Every output of the reference changes with its inputs; no fault of the candidate."""
    if not constant:
        return []
    return [
        Finding(
            claim=DEPENDS,
            severity=Severity.WARNING,
            message=f"The definition's output {_listed(list(constant))} does not depend on the "
            "inputs: it was the same for all that were tried, so a constant passes for it.",
            evidence={"outputs": list(constant)},
        )
    ]


def set_is_whole(unusable: Sequence[str]) -> list[Finding]:
    """Every line of the operator's workloads is one that can be judged."""
    if not unusable:
        return []
    return [
        Finding(
            claim=WHOLE_SET,
            severity=Severity.WARNING,
            message=f"{len(unusable)} of the set's workloads cannot be used, so nothing was judged "
            f"on them: {shorten('; '.join(unusable[:3]), 400)}.",
            evidence={"lines": [shorten(words, 400) for words in unusable[:16]]},
        )
    ]
