"""Answers a request to look into a call: the tensors that its host code names, in a file.

A tensor counts that a local variable of the candidate's Python holds when the function returns or
fails, as it is then. Inputs, outputs and pieces of them are told apart; kernels hold no tensors of
torch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ...messages.candidate import Traced, TraceRequest
from ...messages.profiler import MOST_TENSORS, OUTPUT_NAME, TENSOR_BYTES
from ..calls import torch_guards
from ..calls.caller import Caller
from ..cpu.fake_tensors import OnTheCpu
from ..cpu.launches import interpreted_launches
from ..faults import fault_of

FILE = "tensors.safetensors"


def inspect(caller: Caller, request: TraceRequest, private: Path) -> tuple[Traced, list[int]]:
    """Makes one call; the answer, and the descriptor of the file that goes with it.

    Of a call that fails the file holds what was named until then, where that can still be read.

    Args:
        private: a folder of this process's.
    """
    from safetensors.torch import save_file  # a process that is asked for nothing of it has it not

    call, returned = caller.bound(request.arguments, request.outputs)
    handed = caller.handed(request.arguments, request.outputs)
    watched = _LocalTensors(caller.source_dir, caller.entry, handed)
    path = private / FILE
    collecting = torch_guards.collects()
    fault = None
    try:
        with torch.no_grad():
            on_device = caller.on_device
            fakes = nullcontext() if on_device else _on_a_fake_device()
            try:
                with fakes:
                    sys.settrace(watched)
                    try:
                        call()
                    finally:
                        sys.settrace(None)
                if on_device:
                    torch.cuda.synchronize()
            except BaseException as error:
                fault = fault_of(error, caller.source_dir)
            outputs = returned or caller.handed([], request.outputs) if fault is None else []
            named = {f"{OUTPUT_NAME}{number}": one for number, one in enumerate(outputs)}
            for name, tensor in named.items():
                watched.keep(name, tensor)
            left = json.dumps(watched.left_out[:MOST_TENSORS])
            save_file(watched.kept, str(path), metadata={"left_out": left})
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except BaseException as error:
        return Traced(fault=fault or fault_of(error, caller.source_dir)), []
    finally:
        torch_guards.rehook(collecting)
        path.unlink(missing_ok=True)
    return Traced(fault=fault), [fd]


@contextmanager
def _on_a_fake_device() -> Iterator[None]:
    """As calls are made without a GPU, no function of an interpreted kernel being traced."""
    with interpreted_launches(), OnTheCpu():
        try:
            from triton.runtime.interpreter import InterpretedFunction
        except ImportError:
            yield
            return
        described = InterpretedFunction.run

        def run_untraced(*given: Any, **options: Any) -> Any:
            tracing = sys.gettrace()
            sys.settrace(None)
            try:
                return described(*given, **options)
            finally:
                sys.settrace(tracing)

        InterpretedFunction.run = run_untraced
        try:
            yield
        finally:
            InterpretedFunction.run = described


class _LocalTensors:
    """A trace function that keeps copies of the tensors that returning functions name.

    It follows the candidate's own functions alone, and no line of theirs.
    """

    def __init__(self, sources: Path, entry: str, handed: list[torch.Tensor]) -> None:
        self._sources, self._entry = str(sources), entry
        self._handed = [(t.data_ptr(), t.data_ptr() + max(t.nbytes, 1)) for t in handed]
        self._bytes_left = TENSOR_BYTES
        self.kept: dict[str, torch.Tensor] = {}
        self.left_out: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._sources):
            return None
        frame.f_trace_lines = False
        return self._leaving

    def _leaving(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "return":
            self._look(frame)
        return self._leaving

    def _look(self, frame: FrameType) -> None:
        function = frame.f_code.co_name
        prefix = "" if function == self._entry else f"{function}."
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, torch.Tensor) and not self._is_handed(value):
                with suppress(RuntimeError):  # of a device that failed nothing can be copied
                    self.keep(self._new_name(f"{prefix}{name}"), value)

    def keep(self, name: str, tensor: torch.Tensor) -> None:
        """Keeps a copy under a name, where there is place for it."""
        if len(self.kept) >= MOST_TENSORS or tensor.nbytes > self._bytes_left:
            self.left_out.append(f"{name} {list(tensor.shape)}")
            return
        self._bytes_left -= tensor.nbytes
        self.kept[name] = tensor.detach().clone(memory_format=torch.contiguous_format).cpu()

    def _is_handed(self, tensor: torch.Tensor) -> bool:
        if tensor.layout is not torch.strided or tensor.is_meta:
            return True
        address = tensor.data_ptr()
        return any(first <= address < last for first, last in self._handed)

    def _new_name(self, name: str) -> str:
        found, number = name, 1
        while found in self.kept:
            number += 1
            found = f"{name}#{number}"
        return found
