"""What the command of a cluster says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli


def test_a_cluster_that_cannot_be_named_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["cluster", "status", "http://nowhere"]) == cli.EXIT_ERROR
    assert capsys.readouterr().err
