"""What stands for a recorded function is called as that one is, whatever its parameters."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import types
from typing import Any

import pytest
import torch

from kernel_harness.tools.collecting.recording.wrapper_code import wrapper_of
from tests.folding import for_each

MISSING: Any = object()


class Counted:
    """A method among them."""

    def method(self, x, y=MISSING):
        return self, x, y


def places(a, b, /, c=1):
    return a, b, c


def only_places(a, b=2, /):
    return a, b


def words(a, *, b, c=MISSING):
    return a, b, c


def rest(a, *more, b=2, **others):
    return a, more, b, others


def all_kinds(a, /, b, *more, c, d=MISSING, **others):
    return a, b, more, c, d, others


def nothing():
    return "nothing"


def own_name(harness_due, harness_original=3):
    return harness_due, harness_original


def decorated(function):
    @functools.wraps(function)
    def outer(*given, scale=1, **others):
        return function(*given, **others), scale

    return outer


@decorated
def inner(x):
    return x


def says_otherwise(*given, **others):
    return given, others


says_otherwise.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=3)]
)


def says_nonsense(x):
    return x


says_nonsense.__signature__ = "(x)"  # type: ignore[attr-defined]


def looks_required(x=1, y=inspect.Parameter.empty):
    return x, y


def named(name: str) -> Any:
    """A function whose one parameter has a name that no source could give it."""
    code = says_nonsense.__code__.replace(co_varnames=(name,))
    return types.FunctionType(code, {}, "named")


def keyword_first() -> Any:
    code = only_places.__code__.replace(co_varnames=("class", "b"))
    return types.FunctionType(code, {}, "keyword_first", (2,))


CALLS = [
    (places, (1, 2), {}),
    (places, (1, 2), {"c": 3}),
    (only_places, (1,), {}),
    (words, (1,), {"b": 2}),
    (words, (), {"b": 2, "a": 1, "c": 5}),
    (rest, (1,), {}),
    (rest, (1, 2, 3), {"b": 4, "z": 5}),
    (all_kinds, (1, 2, 3), {"c": 4, "z": 5, "a": 6}),
    (nothing, (), {}),
    (own_name, (1,), {}),
    (inner, (1,), {"scale": 2}),
    (Counted().method, (1,), {"y": 2}),
    (math.hypot, (3.0, 4.0), {}),
    (int, ("11",), {"base": 2}),
    (functools.partial(words, b=1), (1,), {"c": 2}),
    (says_otherwise, (1,), {"z": 2}),
    (says_otherwise, (), {}),
    (says_nonsense, (1,), {}),
    (looks_required, (), {}),
    (types.MethodType(type, 1), (), {}),
    (types.MethodType(torch.Tensor.add, torch.tensor(1.0)), (1,), {}),
    (named("x=print('run')"), (1,), {}),
    (keyword_first(), (1,), {}),
]


@pytest.mark.parametrize("as_given", [False, True])
@for_each("call", CALLS, ids=lambda call: str(getattr(call[0], "__name__", "other")))
def test_chosen_calls_and_others_are_the_functions_own(call, as_given):
    function, args, kwargs = call
    count = itertools.count(1).__next__
    chosen: list[Any] = []

    def choose(original, args, kwargs):
        chosen.append((args, kwargs))
        return original(*args, **kwargs)

    stands = wrapper_of(function, count, [2], choose, as_given=as_given)
    expected = function(*args, **kwargs)
    assert stands(*args, **kwargs) == expected and not chosen
    assert stands(*args, **kwargs) == expected and len(chosen) == 1
    assert not as_given or chosen == [(args, kwargs)]


def test_wrong_arguments_are_the_functions_own_error_and_no_call():
    count = itertools.count(1)
    stands = wrapper_of(words, count.__next__, [100], lambda *_: None)
    with pytest.raises(TypeError, match=r"words\(\) missing 1 required keyword-only"):
        stands(1)
    assert next(count) == 1
    assert inspect.signature(stands) == inspect.signature(words)
    assert stands.__name__ == "words"


def test_methods_are_bound_and_defaults_are_the_same_objects():
    class Other(Counted):
        method = wrapper_of(Counted.method, itertools.count(1).__next__, [100], lambda *_: None)

    one = Other()
    assert one.method(1) == (one, 1, MISSING)


def test_a_method_without_a_place_for_its_object_gives_its_own_error():
    stands = wrapper_of(types.MethodType(nothing, 1), itertools.count(1).__next__, [1], _called)
    with pytest.raises(TypeError, match=r"nothing\(\) takes 0 positional arguments but 1"):
        stands()


def _called(original, args, kwargs):
    return original(*args, **kwargs)
