"""Many small cases as one test: to be collected, run and told of takes longer than most of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def for_each(
    names: str, cases: Iterable[Any], ids: Callable[[Any], Any] = str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes one test of a test and its cases, which are given as to `pytest.mark.parametrize`.

    All are tried; each that fails is told with its name. Fixtures are made once for all of them.

    Args:
        names: of the parameters, by comma.
        cases: a value for the one parameter, or so many.
        ids: the name of a case.
    """
    parameters = [name.strip() for name in names.split(",")]
    every = list(cases)
    assert every, "no cases"

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def folded(**fixtures: Any) -> None:
            failed = []
            for case in every:
                values = (case,) if len(parameters) == 1 else case
                try:
                    test(**dict(zip(parameters, values, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"in the case {ids(case)}")
                    failed.append(error)
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(every)} cases", failed)

        left = [p for name, p in signature.parameters.items() if name not in parameters]
        folded.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return folded

    return decorated
