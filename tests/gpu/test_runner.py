"""A runner on the device: it has given up its rights, and its batches are graphs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_harness.tools.judge.processes.runner_process import RunnerProcess
from kernel_harness.tools.judge.replay.wall_clock import BATCHES, WitnessBatches, witness_in
from kernel_harness.tools.messages.runner import Batch, BatchDone

pytestmark = [pytest.mark.gpu, pytest.mark.process]
NAMESPACES = ("net", "ipc", "uts", "mnt")
CALLS = 20
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def runner() -> Iterator[RunnerProcess]:
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        home = Path(made, "runner")
        home.mkdir(mode=0o700)
        process = RunnerProcess(0, os.environ, home)  # noqa: TID251
        process.ready()
        yield process
        process.close()


def test_a_runner_with_a_context_has_no_rights_left(runner):
    lines = Path(f"/proc/{runner.pid}/status").read_text().splitlines()
    facts = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    assert facts["NoNewPrivs"] == ["1"]
    assert {int(facts[f"Cap{kind}"][0], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert "0" not in facts["Uid"] + facts["Gid"]


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of its own are sure for root alone")
@pytest.mark.parametrize("kind", NAMESPACES)
def test_a_runner_with_a_context_has_namespaces_of_its_own(runner, kind):
    own, ours = (os.readlink(f"/proc/{who}/ns/{kind}") for who in (runner.pid, "self"))
    assert own != ours


@pytest.mark.parametrize("with_call", [True, False], ids=["calls", "flushes_alone"])
def test_batches_are_launched_as_graphs(runner, with_call):
    request = Batch(calls=2 * CALLS, with_call=with_call, program="yardstick", in_graph=CALLS)
    for _ in range(2):
        done = runner.ask(request, BatchDone, TIMEOUT_S)
        assert done.by_graph and not done.note


def test_a_bound_of_the_yardstick_is_of_graphs(runner):
    bound = witness_in(
        runner, TIMEOUT_S, nodes=1, program="yardstick", batches=WitnessBatches(CALLS)
    )
    assert bound.batches == BATCHES and not bound.note
    assert bound.mean_ns > bound.error_ns > 0
