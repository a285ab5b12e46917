"""Peers need packages of their own; a test of one skips where they are not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from kernel_harness.tools.errors import DatasetError


@contextlib.contextmanager
def skips_without_its_packages() -> Iterator[None]:
    """Skips the test when what is done inside needs a package that is not there."""
    try:
        yield
    except (ModuleNotFoundError, DatasetError) as error:
        missing = error.__cause__ if isinstance(error, DatasetError) else error
        if not isinstance(missing, ModuleNotFoundError):
            raise
        pytest.skip(f"the package {missing.name} is not installed")
