"""What a candidate's code leaves in its process is found."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from kernel_harness.tools.candidate.process.process_signs import ProcessSigns

SOURCE = """
import threading
from concurrent.futures import ThreadPoolExecutor

stop = threading.Event()
started = threading.Event()
pool = ThreadPoolExecutor(1)
pool.submit(int).result()


def stay():
    started.set()
    stop.wait(60)


def leave_one():
    threading.Thread(target=stay, daemon=True).start()
    started.wait(60)
"""


@pytest.fixture
def candidate(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "kernel.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("candidate_kernel", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.stop.set()
    module.pool.shutdown()


def test_a_thread_of_the_candidate_that_goes_on_is_found_and_a_pool_at_rest_is_not(
    candidate: ModuleType, tmp_path: Path
) -> None:
    signs = ProcessSigns()
    assert signs.found(tmp_path) == []
    candidate.leave_one()
    (found,) = signs.found(tmp_path)
    assert found == "a thread of its own is left running, in kernel.py, line 13"
    assert signs.found(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "owner, name, words",
    [
        (torch.cuda.Event, "elapsed_time", "torch.cuda.Event.elapsed_time was replaced"),
        (torch.cuda, "synchronize", "torch.cuda.synchronize was replaced"),
        (time, "perf_counter_ns", "time.perf_counter_ns was replaced"),
    ],
)
def test_a_replaced_clock_is_found(
    owner: object, name: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signs = ProcessSigns()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda *given: 0)
        assert signs.found(tmp_path) == [words]
    assert signs.found(tmp_path) == []
