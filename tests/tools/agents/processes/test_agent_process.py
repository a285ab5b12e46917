"""Processes of agents: how each ends, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.agents.processes.agent_process import (
    MOST_PROCESSES,
    AgentEnd,
    AgentRun,
    AgentStart,
    run_agent,
)
from kernel_harness.tools.agents.processes.confined import TOO_MANY_PROCESSES

pytestmark = pytest.mark.anyio
FORKS = """
import subprocess, sys, time
number = int(sys.argv[1])
for _ in range(number):
    subprocess.Popen(["sleep", "300"], start_new_session=True)
if number > 20:
    time.sleep(300)
"""


async def run(work: Path, *arguments: str, processes: int = MOST_PROCESSES) -> AgentRun:
    await asyncio.to_thread(work.mkdir)
    start = AgentStart(
        arguments=[sys.executable, "-P", "-c", *arguments],
        stdin="",
        work=work,
        environment={"PATH": os.defpath},
        readable=[Path("/")],
        writable=[work],
        confine=False,
        processes=processes,
    )
    return await run_agent(start, work.parent / "command.json", 120.0, asyncio.Event())


def left_in(work: Path) -> list[str]:
    """Ids of the processes whose working folder it is."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == str(work):
                found.append(pid)
        except OSError:
            continue
    return found


async def test_an_agent_with_too_many_processes_is_ended_with_all_of_them(tmp_path: Path) -> None:
    ended = await run(tmp_path / "work", FORKS, "40", processes=20)
    assert (ended.end, ended.status) == (AgentEnd.FAILED, TOO_MANY_PROCESSES)
    assert "more than 20 processes" in ended.errors
    assert not left_in(tmp_path / "work")


async def test_what_an_agent_leaves_behind_is_ended_and_costs_it_nothing(tmp_path: Path) -> None:
    ended = await run(tmp_path / "work", FORKS, "15", processes=20)
    assert (ended.end, ended.status) == (AgentEnd.DONE, 0)
    assert not left_in(tmp_path / "work")
