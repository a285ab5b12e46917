"""What one call's kernels are compiled to for a target, in a process that runs none of them."""

from __future__ import annotations

import random
from pathlib import Path

from ...errors import InfrastructureError
from ...messages.candidate import BuildRequest, Built, CompileRequest
from ...messages.judge import CodeCompiled, CompileCode
from ...messages.sockets import close_all
from ...schema.flashinfer_trace import Definition, Workload
from ...text import shorten
from ..calls.judged_call import CallOptions, JudgedCall
from ..checks.static_check import HOST
from ..operators.input_sets import InputSet
from ..operators.operator_adapter import OperatorAdapter
from ..processes.context import JudgeContext
from ..processes.device import device_facts
from ..processes.lost import ProcessLost
from .traced_calls import copy_bounded

FILE = "code.json"


def compile_code(request: CompileCode, context: JudgeContext) -> CodeCompiled:
    """Compiles the call of the request's one workload; where that fails the answer says why.

    Raises:
        HarnessError: when the operator or the harness failed.
    """
    context.start_compiler()
    compiling = _Compiling(request, context)
    try:
        return compiling.answer()
    finally:
        context.end_later(compiling.close)


def not_compiled(request: CompileCode, words: str) -> CodeCompiled:
    """The answer where it failed as a whole."""
    return CodeCompiled(request_id=request.request_id, fault=shorten(words, 1_000))


class _Compiling:
    """One process that compiles for one target."""

    def __init__(self, request: CompileCode, context: JudgeContext) -> None:
        self._request = request
        self._operator = OperatorAdapter(
            Definition.model_validate(request.definition), *request.places
        )
        definition = self._operator.definition
        self._build = BuildRequest.of(
            request.solution,
            content_hash=request.content_hash,
            argument_count=len(definition.inputs),
            output_count=len(definition.outputs),
        )
        self._session = context.spawn_compiler(request.target)
        self._call = JudgedCall(
            self._session,
            definition,
            HOST,
            random.Random(),
            by_destination=self._build.destination_passing_style,
        )

    def answer(self) -> CodeCompiled:
        """Builds, then compiles what the call launches."""
        request = self._request
        self._session.ask(self._build)
        input_set = self._input_set()
        built = self._session.answer(Built, request.build_timeout_s)
        if isinstance(built, ProcessLost):
            return self._failed(f"its process was lost: {built.detail}")
        if built.fault is not None:
            return self._failed(f"it could not be built: {built.fault.message}")
        lost = self._call.map([input_set.case])
        if lost is not None:
            return self._failed(f"its process was lost: {lost.detail}")
        asked = self._call.request_for(
            input_set, self._call.placed(input_set), CallOptions(late=False)
        )
        self._session.ask(
            CompileRequest(
                targets={request.target: device_facts(request.target)},
                arguments=asked.arguments,
                outputs=asked.outputs,
                code=True,
            )
        )
        return self._received()

    def close(self) -> None:
        """Ends the process."""
        self._call.close()

    def _received(self) -> CodeCompiled:
        request = self._request
        found = self._session.compiled(request.build_timeout_s)
        if isinstance(found, ProcessLost):
            return self._failed(f"its process was lost: {found.detail}")
        compiled, fds = found
        try:
            failed = compiled.failures.get(request.target)
            if compiled.fault is not None or failed or len(fds) != 1:
                said = compiled.fault.message if compiled.fault else failed
                return self._failed(said or "nothing came beside its answer")
            path = Path(request.folder) / FILE
            copy_bounded(fds[0], path)
        except InfrastructureError as error:
            return self._failed(str(error))
        finally:
            close_all(fds)
        return CodeCompiled(
            request_id=request.request_id,
            kernels=list(compiled.kernels),
            notes=list(compiled.notes),
            path=str(path),
        )

    def _input_set(self) -> InputSet:
        operator, (one,) = self._operator, self._request.workloads
        case = operator.case(Workload.model_validate(one.workload))
        inputs = operator.make_inputs(case, one.seed, operator.families[0], HOST)
        return InputSet(case, operator.families[0], one.seed, inputs, {}, {})

    def _failed(self, words: str) -> CodeCompiled:
        return not_compiled(self._request, words)
