"""The code in an operator's folder: loaded anew, its `generate` called, and every call bounded.

That code may end the process, or never end itself. Neither may take the judge along, for others
wait for it. What a call into C does in the meantime cannot be stopped so; the server's own words on
a judge that died name the code then.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import torch

from ...errors import DatasetError
from ...workloads.operators import load_anew
from ...workloads.policy import Policy
from ..numerics.torch_settings import settings_kept
from ..philox.generator import PhiloxGenerator, TorchGenerator

P = ParamSpec("P")
R = TypeVar("R")
AGAIN_S = 1.0
"""A call that swallows being stopped is stopped again this often."""


class StoppedError(Exception):
    """Raised in place of an exit of an operator's code, and when it was stopped."""

    def __init__(self, words: str, remedy: str = "") -> None:
        super().__init__(words)
        self.remedy = remedy


_OVERDUE = (
    "Make it faster, or raise the setting cpu_budget_s (with a GPU gpu_budget_s), which is granted "
    "to it as to the candidate."
)


class _OverdueError(BaseException):
    """Raised inside the call; no `except Exception` of an operator's holds it."""


def bounded(
    call: Callable[P, R], limit_s: float, dtype: torch.dtype | None = None
) -> Callable[P, R]:
    """The same call, which raises `StoppedError` where it would exit, or has taken too long.

    What it sets in torch is set back when it returns.

    Args:
        dtype: the default one for it, where another is meant.
    """

    @functools.wraps(call)
    def called(*positional: P.args, **named: P.kwargs) -> R:
        try:
            with settings_kept(dtype), _alarm(limit_s):
                return call(*positional, **named)
        except _OverdueError:
            raise StoppedError(f"it had not returned after {limit_s:g} s", _OVERDUE) from None
        except SystemExit as ended:
            raise StoppedError(f"it called exit({ended.code!r})") from ended
        except Exception:
            raise
        except BaseException as ended:  # would end the judge
            raise StoppedError(f"it raised {type(ended).__name__}") from ended

    return called


class OperatorModule:
    """A Python file of an operator's folder; its functions are bounded, and so is loading it.

    The default dtype that the file sets while it is loaded is that of its functions, and of no
    others.
    """

    def __init__(self, path: Path, limit_s: float) -> None:
        self._limit_s = limit_s
        try:
            self._module, self._dtype = bounded(_loaded_with_dtype, limit_s)(path)
        except StoppedError as stopped:
            raise DatasetError(
                f"It cannot be imported: {stopped}", where=str(path), remedy=stopped.remedy
            ) from stopped

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return bounded(value, self._limit_s, self._dtype) if callable(value) else value


def _loaded_with_dtype(path: Path) -> tuple[ModuleType, torch.dtype]:
    return load_anew(path), torch.get_default_dtype()


def stamp(folder: Path | None) -> str:
    """A text that changes whenever a file of the folder does."""
    files = sorted(folder.glob("*.*")) if folder else []
    return ",".join(f"{f.name}:{f.stat().st_mtime_ns}" for f in files)


def loaded(folder: Path | None, file: str, limit_s: float) -> OperatorModule | None:
    """A module of the folder, its calls bounded; None where there is none of that name."""
    path = folder / file if folder else None
    return OperatorModule(path, limit_s) if path and path.is_file() else None


def asks_philox(inputs: OperatorModule) -> bool:
    """Whether an inputs.py draws by Philox: its `generate` has an argument of that name."""
    generate = getattr(inputs, "generate", None)
    return callable(generate) and takes(generate, "philox")


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function has an argument of that name."""
    return argument in inspect.signature(function).parameters


def timed_first(source: object, policy: Policy, asked: str, where: str) -> tuple[str, ...]:
    """The families of inputs that a module draws, that which is asked for before its first.

    Args:
        source: inputs.py, or what stands for it.
        asked: empty for the module's own order.
        where: the operator, for messages.

    Raises:
        DatasetError: when one that is asked for or offered by the policy is unknown, or the policy
            lets another rank than the module's first.
    """
    own, offered = tuple(getattr(source, "FAMILIES", ("typical",))), list(policy.input_families)
    if unknown := sorted({asked, *offered} - {"", *own}):
        raise DatasetError(
            f"The operator has no input family {', '.join(map(repr, unknown))}",
            where=where,
            remedy=f"Its families are {', '.join(own)}.",
        )
    if offered and offered[0] != own[0]:
        raise DatasetError(
            f"policy.toml lets input family {offered[0]!r} rank, and the first is {own[0]!r}",
            where=where,
            remedy="Name the first family of inputs.py first.",
        )
    return (asked, *(name for name in own if name != asked)) if asked else own


def own_inputs(
    inputs: OperatorModule,
    axes: Mapping[str, int],
    structure: Mapping[str, Any] | None,
    scalars: Mapping[str, Any],
    seed: int,
    family: str,
    values: PhiloxGenerator | TorchGenerator,
) -> Any:
    """What the operator's own code makes of a seed.

    It always gets a torch generator, and Philox beside it where it asks for it.
    """
    given = asks_philox(inputs) and isinstance(values, PhiloxGenerator)
    return inputs.generate(
        dict(axes),
        structure=structure,
        scalars=dict(scalars),
        generator=torch.Generator(device=values.device).manual_seed(seed),
        device=values.device,
        family=family,
        **({"philox": values} if given else {}),
    )


@contextlib.contextmanager
def _alarm(limit_s: float) -> Iterator[None]:
    """Raises `_OverdueError` in the main thread after a time; elsewhere nothing can be raised."""
    if not math.isfinite(limit_s) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def overdue(number: int, frame: Any) -> None:
        raise _OverdueError

    before, began = signal.signal(signal.SIGALRM, overdue), time.monotonic()
    left_s, again_s = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left_s:  # an alarm of somebody else's
            left_s = max(left_s - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left_s, again_s)
