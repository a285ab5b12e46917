"""The shipped operators, read once."""

import pytest

from kernel_harness.tools.settings import Settings
from kernel_harness.tools.workloads.dataset import Dataset


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    return Dataset.load(settings.kernels_dir)
