"""The regions of a program's code that are entered while it is profiled: modules and functions.

Python itself says when a function is entered, so nothing of the program is replaced, and a function
is known by its code, whatever name it was imported under. Regions are forwards of modules,
functions of `torch.nn.functional`, and functions of the program and its libraries; not what torch
and Python's own library call within themselves.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

_TORCH = str(Path(torch.__file__).parent) + "/"
_FUNCTIONAL = f"{_TORCH}nn/functional.py"
_STANDARD = tuple({sysconfig.get_path(name) + "/" for name in ("stdlib", "platstdlib")})
_PACKAGES = tuple({sysconfig.get_path(name) + "/" for name in ("purelib", "platlib")})
_OWN = str(Path(__file__).resolve().parents[1]) + "/"
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
MOST_SHAPES = 256
"""Of one region; calls of further ones are counted with the last."""


@dataclass(frozen=True)
class RegionCode:
    """Code that is a region: a function's, or a module's forward."""

    name: str
    is_module: bool
    parameters: tuple[str, ...]


@dataclass
class RegionShapes:
    """Calls of a region with equal shapes.

    Attributes:
        shapes: shape of every tensor by its argument.
        read_bytes: of tensors among the arguments.
        written_bytes: of tensors that came back.
    """

    shapes: dict[str, tuple[int, ...]]
    read_bytes: int
    written_bytes: int = 0
    calls: int = 0


@dataclass
class CodeRegion:
    """Calls of one function or of modules alike, with tensors of equal types and ranks.

    Attributes:
        parameters: shapes of the module's own tensors.
        paths: where in the model such modules are.
    """

    name: str
    is_module: bool
    dtypes: dict[str, str]
    parameters: tuple[tuple[int, ...], ...]
    parameter_bytes: int
    extractable: bool
    paths: dict[str, None] = field(default_factory=dict[str, None])
    shapes: list[RegionShapes] = field(default_factory=list[RegionShapes])


def region_code(frame: FrameType) -> RegionCode | None:
    """What a function that was just entered is a region of; None: of none."""
    code = frame.f_code
    name = code.co_name
    if code.co_flags & _LAZY or name.startswith("<"):
        return None
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    is_module = name == "forward" and bool(names)
    is_module = is_module and isinstance(frame.f_locals.get(names[0]), torch.nn.Module)
    if not is_module and not _is_program(code):
        return None
    module = frame.f_globals.get("__name__", "")
    return RegionCode(f"{module}.{code.co_qualname}", is_module, names)


def _is_program(code: CodeType) -> bool:
    """Whether a function is one of the program or its libraries, and can be found by its name."""
    file = code.co_filename
    if "<locals>" in code.co_qualname or file.startswith("<"):
        return False
    if file == _FUNCTIONAL:
        return not code.co_name.startswith("_")
    if file.startswith((_TORCH, _OWN)):
        return False
    return file.startswith(_PACKAGES) or not file.startswith(_STANDARD)


def tensors_of(values: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors among arguments, and within tuples, lists and dicts of them, each with a name."""
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, tuple | list):
            yield from tensors_of({f"{name}[{n}]": one for n, one in enumerate(value)})
        elif isinstance(value, dict):
            yield from tensors_of({f"{name}[{key!r}]": one for key, one in value.items()})


def bytes_of(tensor: torch.Tensor) -> int:
    """Bytes of a tensor; what is expanded counts once."""
    if tensor.is_meta:
        return 0
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


class RegionTracker:
    """Notes every region that is entered in this thread between `start` and `stop`.

    Args:
        entered: is given the numbers of region and shapes; what it returns is called at the end.
    """

    def __init__(self, entered: Callable[[int, int], Callable[[], None]]) -> None:
        self.regions: list[CodeRegion] = []
        self._entered = entered
        self._codes: dict[CodeType, RegionCode | None] = {}
        self._numbers: dict[Any, int] = {}
        self._shape_numbers: dict[Any, int] = {}
        self._modules: dict[int, tuple[tuple[tuple[int, ...], ...], int]] = {}
        self._paths: dict[int, str] = {}
        self._open: list[tuple[FrameType, RegionShapes, Callable[[], None]]] = []

    def start(self, root: torch.nn.Module | None) -> None:
        """Begins to note; `root` tells where in the model a module is."""
        if root is not None and id(root) not in self._paths:
            self._paths = {id(module): path for path, module in root.named_modules()}
        sys.setprofile(self._event)

    def stop(self) -> None:
        """Ends the noting, and every region that is still open."""
        sys.setprofile(None)
        while self._open:
            self._open.pop()[2]()

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            try:
                known = self._codes[code]
            except KeyError:
                known = self._codes[code] = region_code(frame)
            if known is not None:
                self._enter(frame, known)
        elif event == "return" and self._open and self._open[-1][0] is frame:
            _, shapes, leave = self._open.pop()
            leave()
            if not shapes.written_bytes:
                found = dict(tensors_of({"": _plain(argument)}))
                shapes.written_bytes = sum(map(bytes_of, found.values()))

    def _enter(self, frame: FrameType, code: RegionCode) -> None:
        values = {name: frame.f_locals.get(name) for name in code.parameters}
        module = values.pop(code.parameters[0]) if code.is_module else None
        found = dict(tensors_of(values))
        dtypes = {n: str(t.dtype).removeprefix("torch.") for n, t in found.items()}
        parameters, parameter_bytes = self._parameters(module)
        key = (code.name, parameters, tuple((n, d, found[n].dim()) for n, d in dtypes.items()))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.regions)
            extractable = "<locals>" not in code.name
            self.regions.append(
                CodeRegion(
                    code.name, code.is_module, dtypes, parameters, parameter_bytes, extractable
                )
            )
        region = self.regions[number]
        if module is not None:
            region.paths.setdefault(self._paths.get(id(module), ""))
        at = self._shapes(number, found)
        shapes = region.shapes[at]
        shapes.calls += 1
        self._open.append((frame, shapes, self._entered(number, at)))

    def _shapes(self, number: int, found: dict[str, torch.Tensor]) -> int:
        shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
        key = (number, tuple(shapes.values()))
        at = self._shape_numbers.get(key)
        if at is None:
            every = self.regions[number].shapes
            if len(every) < MOST_SHAPES:
                sizes = [bytes_of(tensor) for tensor in found.values()]
                every.append(RegionShapes(shapes, sum(sizes)))
            at = self._shape_numbers[key] = len(every) - 1
        return at

    def _parameters(self, module: Any) -> tuple[tuple[tuple[int, ...], ...], int]:
        """Shapes of a module's own tensors and of those of modules within it, and their bytes."""
        if module is None:
            return (), 0
        found = self._modules.get(id(module))
        if found is None:
            own = [*module.parameters(), *module.buffers()]
            found = tuple(tuple(t.shape) for t in own), sum(map(bytes_of, own))
            self._modules[id(module)] = found
        return found


def _plain(result: Any) -> Any:
    """A result's tensors as a tuple where it is an object that holds them."""
    if isinstance(result, torch.Tensor | tuple | list | dict) or result is None:
        return result
    return tuple(getattr(result, "__dict__", {}).values())
