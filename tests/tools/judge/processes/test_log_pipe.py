"""A candidate's output, of which the beginning and the end are kept."""

from __future__ import annotations

import os

import pytest

from kernel_harness.tools.judge.processes.log_pipe import LOG_HEAD, LOG_TAIL, LogPipe


@pytest.mark.parametrize("extra", [0, 1])
def test_long_output_loses_its_middle_and_says_how_much(extra):
    log = LogPipe()
    text = "a" * LOG_HEAD + "x" * extra + "z" * LOG_TAIL
    os.write(log.write, text.encode())
    log.started()
    log.join()
    expected = "a" * LOG_HEAD + (f"\n… {extra} bytes cut …\n" if extra else "") + "z" * LOG_TAIL
    assert log.text() == expected
