"""What one call's kernels are compiled to for a target, in a process that runs none of them."""

from __future__ import annotations

from pathlib import Path

from ...errors import InfrastructureError
from ...messages.candidate import CompileRequest
from ...messages.judge import CodeCompiled, CompileCode
from ...messages.sockets import close_all
from ...text import shorten
from ..calls.judged_call import CallOptions
from ..checks.static_check import HOST
from ..processes.context import JudgeContext
from ..processes.device import device_facts
from ..processes.lost import ProcessLost
from .called_solution import CalledSolution
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


class _Compiling(CalledSolution):
    """One process that compiles for one target."""

    def __init__(self, request: CompileCode, context: JudgeContext) -> None:
        super().__init__(request, context, context.spawn_compiler(request.target), device=HOST)
        self._asked = request

    def answer(self) -> CodeCompiled:
        """Builds, then compiles what the call launches."""
        (input_set,), fault = self.built()
        if fault is not None:
            return self._failed(fault)
        call, target = self.judged_call, self._asked.target
        request = call.request_for(input_set, call.placed(input_set), CallOptions(late=False))
        self.session.ask(
            CompileRequest(
                targets={target: device_facts(target)},
                arguments=request.arguments,
                outputs=request.outputs,
                code=True,
            )
        )
        return self._received()

    def _received(self) -> CodeCompiled:
        request = self._asked
        found = self.session.compiled(request.build_timeout_s)
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

    def _failed(self, words: str) -> CodeCompiled:
        return not_compiled(self._asked, words)
