"""What a profiler may do beside a candidate, and what of it is left when it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.sandbox.enter import LEFT_OUT_UNDER_A_TOOL
from kernel_harness.tools.messages.profiler import (
    LaunchOutcome,
    ProfileLaunch,
    read_message,
    write_message,
)

pytestmark = pytest.mark.process
LAUNCHER = "kernel_harness.tools.candidate.profiled.launch"
CAP_SYS_ADMIN = 1 << 21
FACTS = "touch mine; id -u; grep CapEff /proc/self/status | cut -f2; tail -n +3 /proc/self/net/dev"


def launched(
    folder: Path, script: str, **options: bool
) -> tuple[LaunchOutcome, subprocess.CompletedProcess[str]]:
    """Runs a shell's script as if it were a profiler."""
    folder.mkdir(mode=0o700)
    launch = ProfileLaunch(
        command=["/bin/sh", "-c", script],
        private_dir=str(folder),
        environment={"PATH": "/usr/bin:/bin"},
        outcome_file=str(folder / "outcome.json"),
        **options,
    )
    write_message(launch, folder / "launch.json")
    command = [sys.executable, "-m", LAUNCHER, str(folder / "launch.json")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return read_message(LaunchOutcome, folder / "outcome.json"), ran


def test_each_step_is_granted_or_missing_and_those_a_tool_cannot_bear_are_missing(tmp_path):
    outcome, ran = launched(tmp_path / "run", FACTS)
    assert ran.returncode == 0, ran.stderr
    reported = [*outcome.granted, *outcome.missing]
    assert sorted(reported) == sorted(set(reported))
    expected = {"net", "private_home", "uid", "no_new_privs", "rlimits"}
    assert {*reported, "userns"} == expected | LEFT_OUT_UNDER_A_TOOL
    assert set(outcome.missing) >= LEFT_OUT_UNDER_A_TOOL - {"userns"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root's rights to give up")
@pytest.mark.parametrize("keep_counters", [False, True])
def test_root_gives_up_its_account_its_network_and_all_but_what_counters_need(keep_counters):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        outcome, ran = launched(Path(folder) / "run", FACTS, keep_counters=keep_counters)
    user, capabilities, *interfaces = ran.stdout.split("\n")
    assert (user != "0") is ("uid" in outcome.granted)
    kept = [words for words in outcome.missing if words.startswith("capabilities")]
    assert int(capabilities, 16) == (CAP_SYS_ADMIN if kept else 0)
    assert not kept or keep_counters
    if "net" in outcome.granted:
        assert [line.split(":")[0].strip() for line in interfaces if line] == ["lo"]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user changes no account")
def test_a_folder_that_others_may_not_enter_keeps_the_account_as_it_was(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    outcome, ran = launched(closed / "run", FACTS)
    assert "uid" in outcome.missing
    assert ran.stdout.split()[0] == "0" and "No such" not in ran.stderr


@pytest.mark.parametrize(("script", "status"), [("exit 4", 4), ("kill -9 $$", 137)])
def test_the_command_s_exit_status_is_the_launcher_s(tmp_path, script, status):
    assert launched(tmp_path / "run", script)[1].returncode == status
