"""A home, data folder and project of the test's own, for commands."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path, kernels_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a data folder and a project of one's own."""
    for name in ("home", "data", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("KERNEL_HARNESS_KERNELS_DIR", str(kernels_dir))
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path
