"""What a program is made of, where no targets are named: its functions, modules without modules
in them, and functions of torch that lie within neither.

Functions are those of the program's own files, not of installed packages; those that the started
file itself defines cannot be replaced before they are called. Modules are those with parameters.
A part that calls another part with tensors is no leaf, and is left out.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.machinery
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import torch

from ..adapters.table import adapter_of
from .call_groups import ByteLimit
from .targets import TargetPlace, is_lazy, place_of, put_remembering
from .traced_function import TracedFunction

LEAST_SHARE = 0.01
"""Of the time of all leaves together; parts that take less are left out. What the program does
besides, as loading a model, tells nothing of them."""
FUNCTIONAL = """
    linear scaled_dot_product_attention conv1d conv2d conv3d embedding layer_norm rms_norm
    group_norm batch_norm softmax log_softmax silu gelu relu glu cross_entropy interpolate
""".split()
TORCH_FUNCTIONS = (
    *(f"torch.nn.functional.{name}" for name in FUNCTIONAL),
    *(f"torch.{name}" for name in "matmul mm bmm addmm baddbmm einsum topk sort".split()),
)
_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")
)
_OURS = Path(__file__).resolve().parents[3]


class ProgramParts:
    """Puts recorders on all parts, and tells at the end which of them count.

    Args:
        space: for what is kept of contents.
        share: of the calls that are recorded.
        stack: undoes all.
    """

    def __init__(self, space: ByteLimit, share: float, stack: contextlib.ExitStack) -> None:
        self._space = space
        self._share = share
        self._stack = stack
        self._recorders: dict[str, TracedFunction] = {}
        self._codes: dict[CodeType, TracedFunction] = {}
        self._of_torch: set[TracedFunction] = set()
        self._inner: set[TracedFunction] = set()

    def find(self) -> None:
        """Puts recorders on what is there, and sees to it that what comes later gets them."""
        for name in TORCH_FUNCTIONS:
            self._of_torch.add(self._record(place_of(name)))
        for module in list(sys.modules.values()):
            if isinstance(module, ModuleType) and _is_own(getattr(module, "__file__", None)):
                self._functions_of(module)
        for found in gc.get_objects():
            # By type alone: asking some objects for their class runs code of theirs.
            if issubclass(type(found), torch.nn.Module) and [*found.parameters(recurse=False)]:
                self._module(found)
        hook = torch.nn.modules.module.register_module_parameter_registration_hook(
            lambda module, name, parameter: self._module(module)
        )
        self._stack.callback(hook.remove)
        finder = OwnModulesFinder(self._functions_of)
        sys.meta_path.insert(0, finder)
        self._stack.callback(sys.meta_path.remove, finder)

    def kept(self) -> list[TracedFunction]:
        """The leaves that took their share of the time, the longest first.

        What was never given a tensor is part of no computation, as a package's lazy imports.
        """
        leaves = [
            recorder
            for recorder in self._recorders.values()
            if recorder not in self._inner and recorder.seconds and _had_tensors(recorder)
        ]
        least = LEAST_SHARE * sum(recorder.seconds for recorder in leaves)
        long = [recorder for recorder in leaves if recorder.seconds >= least]
        return sorted(long, key=lambda recorder: -recorder.seconds)

    def _functions_of(self, module: ModuleType) -> None:
        for name, value in list(vars(module).items()):
            own = isinstance(value, FunctionType) and value.__module__ == module.__name__
            if own and not is_lazy(value):
                self._record(TargetPlace(f"{module.__name__}.{name}", module, name))

    def _module(self, module: torch.nn.Module) -> None:
        kind = type(module)
        name = f"{kind.__module__}.{kind.__qualname__}.forward"
        if name not in self._recorders and isinstance(kind.forward, FunctionType):
            self._record(TargetPlace(name, kind, "forward"))

    def _record(self, place: TargetPlace) -> TracedFunction:
        known = self._recorders.get(place.name)
        if known is not None:
            return known
        original = place.original
        recorder = TracedFunction(
            place.name,
            original,
            self._space,
            share=self._share,
            adapter=adapter_of(place.name, original),
            within=self._within,
        )
        self._recorders[place.name] = recorder
        code = getattr(inspect.unwrap(original), "__code__", None)
        if code is not None:
            self._codes[code] = recorder
        self._stack.callback(recorder.stop)
        self._stack.callback(place.put(recorder))
        put_remembering(place, recorder, self._stack)
        return recorder

    def _within(self, recorder: TracedFunction) -> str | None:
        """Looks where a chosen call lies: the parts around it are no leaves.

        Functions of torch are not parts of their own where a leaf calls them.
        """
        around = self._around(inspect.currentframe(), recorder)
        if recorder not in self._of_torch:
            self._inner.update(around)
        elif around and around[0] not in self._inner:
            return f"within {around[0].name}"
        return None

    def _around(
        self, frame: FrameType | None, recorder: TracedFunction
    ) -> Sequence[TracedFunction]:
        found: list[TracedFunction] = []
        while frame is not None:
            part = self._codes.get(frame.f_code)
            if part is not None and part is not recorder:
                found.append(part)
            frame = frame.f_back
        return found


def _had_tensors(recorder: TracedFunction) -> bool:
    return any(group.tensors for group in recorder.groups.values())


class OwnModulesFinder:
    """Has something done with each module of the program's own once it is imported."""

    def __init__(self, done: Callable[[ModuleType], None]) -> None:
        self._done = done

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The specification that would be found anyway, whose loader tells when it has loaded."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or not _is_own(spec.origin):
            return None
        load: Callable[[ModuleType], None] = spec.loader.exec_module

        def load_and_tell(module: ModuleType) -> None:
            load(module)
            self._done(module)

        spec.loader.exec_module = load_and_tell
        return spec


def _is_own(file: str | None) -> bool:
    """Whether a module's file is the program's own: of no installed package, nor of ours."""
    if file is None or not file.endswith(".py"):
        return False
    return _is_own_folder(os.path.dirname(file))


@functools.cache
def _is_own_folder(folder: str) -> bool:
    """The same of a folder: torch's program has thousands of files in a few hundred."""
    path = Path(folder).resolve()
    return not any(path.is_relative_to(place) for place in (*_INSTALLED, _OURS))
