"""The code of a function that stands for a recorded one, written with that one's own parameters.

Packing arguments into a tuple and a dict and unpacking them again costs as much as all else
together that is done in a call that is not chosen, so it is not done where parameters are known.
"""

from __future__ import annotations

import functools
import inspect
import keyword
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Any

from torch.compiler import is_dynamo_compiling

OWN = "harness_"
"""Begins the names that the code has besides those of parameters."""
RECORDED = "harness_recorded"
"""Attribute of what stands for a function: that function."""
_CODE = """\
def recorded({signature}):
    if harness_compiling() or harness_count() < harness_due[0]:
        return harness_original({passed})
    return harness_choose(harness_original, ({positions}), {{{words}}})
"""
_KIND = inspect.Parameter
Choose = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


def wrapper_of(
    original: Callable[..., Any],
    count: Callable[[], int],
    due: list[int],
    choose: Choose,
    *,
    as_given: bool = False,
) -> Callable[..., Any]:
    """The function that stands for another, which it calls, and for chosen calls something else.

    Args:
        count: gives the number of a call.
        due: has the number of the next call that is chosen.
        choose: makes a chosen call of the function and its arguments.
        as_given: whether arguments are handed on by place or word as the program gave them.
    """
    parameters = None if as_given else _parameters(original)
    if parameters is None:
        return _marked(_packing(original, count, due, choose), original)
    scope: dict[str, Any] = {
        "harness_compiling": is_dynamo_compiling,
        "harness_count": count,
        "harness_due": due,
        "harness_original": original,
        "harness_choose": choose,
        "harness_defaults": {name: one.default for name, one in parameters.items()},
    }
    exec(compile(_written(parameters), "<recorded call>", "exec"), scope)
    return _marked(scope["recorded"], original)


def recorded_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function is that recorders lie over, one or several; other decorators stay."""
    while (below := getattr(function, RECORDED, None)) is not None:
        function = below
    return function


def _marked(stands: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Gives what stands for a function its name, and says that it does."""
    functools.update_wrapper(stands, original)
    setattr(stands, RECORDED, original)
    return stands


def _packing(
    original: Callable[..., Any], count: Callable[[], int], due: list[int], choose: Choose
) -> Callable[..., Any]:
    """The same for whatever parameters the function has."""
    compiling = is_dynamo_compiling

    def recorded(*args: Any, **kwargs: Any) -> Any:
        if compiling() or count() < due[0]:
            # A call without words is the cheaper one, and the usual.
            return original(*args, **kwargs) if kwargs else original(*args)
        return choose(original, args, kwargs)

    return recorded


def _parameters(original: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """What a function of Python's takes, and not what it says or one takes that it wraps.

    None for others, and where a call cannot be written of it.
    """
    function = original.__func__ if isinstance(original, MethodType) else original
    if not isinstance(function, FunctionType) or hasattr(function, "__signature__"):
        return None
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    if any(default is _KIND.empty for default in defaults):  # it would read as none
        return None
    try:
        parameters = inspect.signature(original, follow_wrapped=False).parameters
    except ValueError:  # a method without a place for its object, or names that are none
        return None
    if any(name.startswith(OWN) or keyword.iskeyword(name) for name in parameters):
        return None
    return parameters


def _written(parameters: Mapping[str, inspect.Parameter]) -> str:
    """The code of a wrapper."""
    signature: list[str] = []
    positions: list[str] = []
    words: list[str] = []
    passed: list[str] = []
    before: Any = None
    for name, one in parameters.items():
        if before is _KIND.POSITIONAL_ONLY is not one.kind:
            signature.append("/")
        if one.kind is _KIND.KEYWORD_ONLY and before not in (_KIND.VAR_POSITIONAL, one.kind):
            signature.append("*")
        before = one.kind
        default = "" if one.default is _KIND.empty else f"=harness_defaults[{name!r}]"
        if one.kind is _KIND.VAR_POSITIONAL:
            signature.append(f"*{name}")
            positions.append(f"*{name}, ")
        elif one.kind is _KIND.VAR_KEYWORD:
            signature.append(f"**{name}")
            words.append(f"**{name}")
        elif one.kind is _KIND.KEYWORD_ONLY:
            signature.append(name + default)
            words.append(f"{name!r}: {name}")
            passed.append(f"{name}={name}")
        else:
            signature.append(name + default)
            positions.append(f"{name}, ")
    if before is _KIND.POSITIONAL_ONLY:
        signature.append("/")
    passed = [place.removesuffix(", ") for place in positions] + passed
    return _CODE.format(
        signature=", ".join(signature),
        passed=", ".join([*passed, *(word for word in words if word.startswith("**"))]),
        positions="".join(positions),
        words=", ".join(words),
    )
