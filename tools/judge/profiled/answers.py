"""The answers to a profiler's requests: each made by its module, or the reason why it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ...messages.frames import Message
from ...messages.judge import CompileCode, InspectCall, RecordCalls, TraceCalls
from ..processes.context import JudgeContext
from .compiled_code import compile_code, not_compiled
from .inspected_calls import inspect_call, not_inspected
from .recorded_calls import not_recorded, record_calls
from .traced_calls import not_traced, trace_calls

logger = logging.getLogger(__name__)

_Made = Callable[[Any, JudgeContext], Message]
_NotMade = Callable[[Any, str], Message]
ANSWERS: Mapping[type[Message], tuple[_Made, _NotMade]] = {
    RecordCalls: (record_calls, not_recorded),
    TraceCalls: (trace_calls, not_traced),
    InspectCall: (inspect_call, not_inspected),
    CompileCode: (compile_code, not_compiled),
}


def answer_of(
    request: RecordCalls | TraceCalls | InspectCall | CompileCode, context: JudgeContext
) -> Message:
    """Returns the answer to a request; where the operator or the harness failed it says so."""
    made, not_made = ANSWERS[type(request)]
    try:
        context.drain()
        return made(request, context)
    except Exception as error:
        logger.exception("%s could not be carried out", type(request).__name__)
        return not_made(request, str(error))
