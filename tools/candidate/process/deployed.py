"""Answers requests to make a call as those will who put the program into theirs.

A framework captures calls into graphs and launches these again on other values, has `torch.compile`
call an operator of its own, and works on while the device does. Outputs are judged like those of
any call; what is said of waits and of memory is a claim.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ...driver.cupti import Cupti, ModuleCallbacks
from ...errors import CapabilityError
from ...messages.candidate import Argument, Called, CallRequest, TensorRef
from ...messages.launches import CallOnHost
from ..calls import torch_guards
from ..calls.caller import Caller
from ..calls.shared_memory import DTYPES
from ..cpu.fake_memory import lay
from ..cpu.fake_tensors import OnTheCpu
from ..cpu.host_waits import MOST_WAITS, noted_waits
from ..cpu.launches import interpreted_launches
from ..faults import CandidateError, fault_of
from ..recording.default_stream import WAITS

OPERATOR = "deployed::candidate"
KINDS = {bool: "bool", int: "int", float: "float"}
"""Of scalars, as a schema names them."""
COMPILING: dict[str, Any] = {"compile_threads": 1}
"""Torch starts no processes to compile in then, of which the sandbox allows few."""


class DeployedCalls:
    """Makes calls of one program in the ways of those who use it.

    Args:
        caller: of the program, which has been called in the ordinary way before.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captured: list[torch.Tensor] = []
        self._compiled: Callable[..., Any] | None = None

    def call(self, request: CallRequest) -> Called:
        """Makes one call; the program's failure is part of the answer."""
        caller, on_host = self._caller, None
        collecting = torch_guards.collects()
        try:
            with torch.no_grad():
                if request.way == "watched":
                    returned, on_host = self._watched(request)
                else:
                    returned = getattr(self, f"_as_{request.way}")(request)
                produced = returned or caller.handed([], request.outputs)
                for value, target in zip(
                    produced, caller.handed([], request.snapshots), strict=True
                ):
                    torch_guards.copy(target, value)
            if caller.on_device:
                torch.cuda.synchronize()
        except BaseException as error:
            return Called(fault=fault_of(error, caller.source_dir))
        finally:
            torch_guards.rehook(collecting)
        return Called(on_host=on_host)

    def _watched(self, request: CallRequest) -> tuple[list[torch.Tensor], CallOnHost]:
        caller = self._caller
        passed, _ = caller.passed(request.arguments, request.outputs)
        if not caller.on_device:
            lay(passed)
            with interpreted_launches(), OnTheCpu(), noted_waits() as seen:
                returned = self._made(passed, request)
            return returned, CallOnHost(waits=seen.names)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with _device_waits() as waits:
            returned = self._made(passed, request)
        given = sum(value.nbytes for value in returned)
        peak = torch.cuda.max_memory_allocated() - before - given
        return returned, CallOnHost(waits=waits, peak_bytes=max(peak, 0))

    def _as_captured(self, request: CallRequest) -> list[torch.Tensor]:
        passed, _ = self._caller.passed(request.arguments, request.outputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._captured = self._made(passed, request)
        self._graph = graph
        return self._as_replayed(request)

    def _as_replayed(self, request: CallRequest) -> list[torch.Tensor]:
        if self._graph is None:
            raise CandidateError("not_captured", "No graph was captured before")
        self._graph.replay()
        return self._captured

    def _as_compiled(self, request: CallRequest) -> list[torch.Tensor]:
        passed, written = self._caller.passed(request.arguments, request.outputs)
        if self._compiled is None:
            operator = self._operator(request, written)
            self._compiled = torch.compile(
                lambda *values: operator(*values), fullgraph=True, options=COMPILING
            )
        result = self._compiled(*passed)
        if written:
            return []
        return [result] if isinstance(result, torch.Tensor) else list(result)

    def _made(self, values: Sequence[Any], request: CallRequest) -> list[torch.Tensor]:
        lent = [values[position] for position in request.returnable]
        return self._caller.made_with(values, request.outputs, lent)

    def _operator(self, request: CallRequest, written: int) -> Callable[..., Any]:
        """The program as an operator of torch's, of which the compiler knows the schema alone."""
        device, outputs = self._caller.device, request.outputs

        def implementation(*values: Any) -> Any:
            returned = self._made(values, request)
            return None if written else returned[0] if len(returned) == 1 else tuple(returned)

        operator: Any = torch.library.custom_op(
            OPERATOR,
            implementation,
            mutates_args=[f"out{number}" for number in range(written)],
            schema=schema_of(request.arguments, len(outputs), written=bool(written)),
        )
        if not written:

            def described(*values: Any) -> Any:
                made = [
                    torch.empty(ref.shape, dtype=DTYPES[ref.dtype], device=device)
                    for ref in outputs
                ]
                return made[0] if len(made) == 1 else tuple(made)

            operator.register_fake(described)
        return operator


def schema_of(arguments: Sequence[Argument], outputs: int, *, written: bool) -> str:
    """The schema of an operator with these arguments, in torch's words.

    Args:
        written: whether outputs are the last arguments, and not returned.
    """
    kinds = [
        "Tensor" if isinstance(value, TensorRef) else KINDS[type(value.value)]
        for value in arguments
    ]
    named = [f"{kind} in{number}" for number, kind in enumerate(kinds)]
    if written:
        named += [f"Tensor(w{number}!) out{number}" for number in range(outputs)]
        return f"({', '.join(named)}) -> ()"
    given = "Tensor" if outputs == 1 else f"({', '.join(['Tensor'] * outputs)})"
    return f"({', '.join(named)}) -> {given}"


@contextlib.contextmanager
def _device_waits() -> Iterator[list[str] | None]:
    """The driver calls in which the host waits meanwhile; None where they cannot be seen."""
    waits: list[str] = []

    def entered(number: int, parameters: int) -> None:
        if WAITS[number] not in waits and len(waits) < MOST_WAITS:
            waits.append(WAITS[number])

    try:
        callbacks = ModuleCallbacks(Cupti(), lambda cubin, module: None)
    except CapabilityError:
        yield None
        return
    try:
        with callbacks.watching(tuple(WAITS), entered):
            yield waits
    finally:
        callbacks.close()
