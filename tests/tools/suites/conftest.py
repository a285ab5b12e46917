"""What a suite's tests begin with: its tasks imported, once for all modules that name it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_harness.tools.suites.operator_folder import Imported
from kernel_harness.tools.workloads.dataset import Dataset

from ...judging import JudgeProcess
from .suite_case import Bringing, Judged, Judging, SuiteCase, probed_here


@pytest.fixture
def probed() -> Iterator[None]:
    """Tasks are looked at in this process."""
    with probed_here():
        yield


@pytest.fixture(scope="session")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Bringing:
    """A suite's tasks as they were imported."""
    found: dict[str, Imported] = {}

    def bring(case: SuiteCase) -> Imported:
        if case.name not in found:
            with probed_here():
                found[case.name] = case.bring(tmp_path_factory.mktemp(case.name))
        return found[case.name]

    return bring


@pytest.fixture(scope="module")
def imported(request: pytest.FixtureRequest, brought: Bringing) -> Imported:
    """The tasks of a module's CASE."""
    return brought(request.module.CASE)


@pytest.fixture(scope="module")
def dataset(imported: Imported) -> Dataset:
    """The operators of a module's CASE."""
    return Dataset.load(imported.folder)


@pytest.fixture(scope="session")
def judged(brought: Bringing, judge: JudgeProcess) -> Judging:
    """The records of a suite's candidates."""
    found: dict[str, Judged] = {}

    def records(case: SuiteCase) -> Judged:
        if case.name not in found:
            found[case.name] = Judged(brought(case), judge)
        return found[case.name]

    return records
