"""A real judge for the tests that need one, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...judging import JudgeProcess


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    process = JudgeProcess("cpu", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()
