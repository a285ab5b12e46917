"""Traces one call of a solution on each workload, in a prewarmed process, and writes the traces."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import InfrastructureError
from ...messages.candidate import TraceRequest
from ...messages.judge import CallsTraced, TraceCalls, TracedCall
from ...messages.profiler import TRACE_BYTES
from ...messages.sockets import close_all
from ..calls.judged_call import CallOptions
from ..operators.input_sets import InputSet
from ..processes.context import JudgeContext
from ..processes.lost import ProcessLost
from .called_solution import CalledSolution

READ_BYTES = 8 << 20
READABLE = 0o644


def trace_calls(request: TraceCalls, context: JudgeContext) -> CallsTraced:
    """Traces the calls; where one could not be traced the answer says why.

    Raises:
        HarnessError: when the operator or the harness failed.
    """
    session = context.spawn()
    tracing = _Tracing(request, context, session)
    try:
        calls = tracing.calls()
    finally:
        context.end_later(tracing.close)
    return CallsTraced(
        request_id=request.request_id,
        calls=calls,
        granted=list(session.granted),
        missing=list(session.missing),
        seconds=tracing.times.seconds,
    )


class _Tracing(CalledSolution):
    """One process that traces the calls of a request."""

    def calls(self) -> list[TracedCall]:
        """Builds, then traces a call of each workload; after a lost process none is traced."""
        input_sets, fault = self.built()
        if fault is not None:
            return [TracedCall(reason=fault)] * len(input_sets)
        with self.times.measured("trace"):
            return [self._traced(n, one) for n, one in enumerate(input_sets)]

    def _traced(self, number: int, input_set: InputSet) -> TracedCall:
        layout = self.judged_call.placed(input_set)
        asked = self.judged_call.request_for(input_set, layout, CallOptions(late=False))
        self.session.ask(TraceRequest(arguments=asked.arguments, outputs=asked.outputs))
        answer = self.session.traced(self.request.call_timeout_s)
        if isinstance(answer, ProcessLost):
            return TracedCall(reason=f"its process was lost: {answer.detail}")
        traced, fds = answer
        try:
            if traced.fault is not None or len(fds) != 1:
                words = traced.fault.message if traced.fault else "there is no trace"
                return TracedCall(reason=f"the call fails: {words}")
            path = Path(self.request.folder) / f"trace-{number}.json"
            copy_bounded(fds[0], path)
        except InfrastructureError as error:
            return TracedCall(reason=str(error))
        finally:
            close_all(fds)
        return TracedCall(path=str(path), host_us=list(traced.host_us))


def copy_bounded(fd: int, path: Path) -> None:
    """Copies a file that its writer may still change.

    Raises:
        InfrastructureError: when it is longer than a trace may be.
    """
    at = 0
    with path.open("wb") as file:
        while part := os.pread(fd, READ_BYTES, at):
            at += file.write(part)
            if at > TRACE_BYTES:
                raise InfrastructureError(f"The trace is longer than {TRACE_BYTES} bytes")
    path.chmod(READABLE)


def not_traced(request: TraceCalls, words: str) -> CallsTraced:
    """The answer where tracing failed as a whole."""
    calls = [TracedCall(reason=words[:1_000])] * len(request.workloads)
    return CallsTraced(request_id=request.request_id, calls=calls)
