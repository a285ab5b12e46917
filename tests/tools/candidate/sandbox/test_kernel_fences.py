"""The pure parts of the sandbox: filters, access rights, and plans of what to cover."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.sandbox import seccomp
from kernel_harness.tools.candidate.sandbox.enter import SKIP_VARIABLE, skipped_steps
from kernel_harness.tools.candidate.sandbox.namespaces import plan_covers
from kernel_harness.tools.confinement import landlock

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED, REFUSED, ABSENT = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def verdict(machine: str, number: int, argument: int = 0, architecture: int | None = None) -> int:
    """Runs the filter as the kernel would, on one system call."""
    if architecture is None:
        architecture = MACHINES[machine]
    memory = struct.pack("=IIQQ", number, architecture, 0, argument)
    code = seccomp.program(machine)
    held, at = 0, 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x20:
            (held,) = struct.unpack_from("=I", memory, operand)
        elif operation == 0x06:
            return operand
        else:
            met = {
                0x15: held == operand,
                0x35: held >= operand,
                0x45: bool(held & operand),
            }[operation]
            at += yes if met else no


@pytest.mark.parametrize("machine", MACHINES)
def test_every_named_call_is_refused_and_its_neighbours_are_not(machine):
    column = list(MACHINES).index(machine)
    numbers = {number for n in seccomp.DENIED.values() if (number := n[column]) is not None}
    for number in numbers:
        assert verdict(machine, number) == REFUSED
    special = {n[column] for n in ((41, 198), (56, 220), (435, 435), (157, 167))}
    for number in set(range(470)) - numbers - special:
        assert verdict(machine, number) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_only_unix_sockets_can_be_made(machine):
    number = {"x86_64": 41, "aarch64": 198}[machine]
    assert verdict(machine, number, socket.AF_UNIX) == ALLOWED
    for family in (socket.AF_INET, socket.AF_INET6, 16, 17, 38, 40):
        assert verdict(machine, number, family) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_can_be_made_and_namespaces_cannot(machine):
    number = {"x86_64": 56, "aarch64": 220}[machine]
    assert verdict(machine, number, 0x3D0F00) == ALLOWED
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, number, 0x3D0F00 | flag) == REFUSED
    assert verdict(machine, 435) == ABSENT


def test_calls_of_another_architecture_or_of_x32_are_refused():
    assert verdict("x86_64", 0, architecture=0x40000003) == REFUSED
    assert verdict("x86_64", 0x40000000 | 1) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_every_jump_of_the_filter_lands_inside_it(machine):
    code = seccomp.program(machine)
    assert all(at + 1 + max(yes, no) < len(code) for at, (_, yes, no, _) in enumerate(code[:-1]))
    assert all(max(yes, no) < 256 for _, yes, no, _ in code)


@given(st.integers(0, 20))
def test_a_newer_landlock_restricts_no_less(version):
    files, ports, scopes = landlock.handled(version)
    more_files, more_ports, more_scopes = landlock.handled(version + 1)
    assert files & more_files == files
    assert ports & more_ports == ports
    assert scopes & more_scopes == scopes
    assert files <= landlock.EVERYTHING


def covers(covered: list[str], needed: list[str]) -> dict[str, list[str]]:
    paths = [Path(p) for p in covered]
    plan = plan_covers(paths, map(Path, needed), is_dir=frozenset(paths))
    return {str(c.place): [str(p) for p in c.shown] for c in plan}


def test_what_is_needed_below_a_cover_shows_through_once():
    plan = covers(["/root", "/tmp"], ["/root/.pyenv", "/root/.pyenv/lib", "/usr", "/tmp/private"])
    assert plan == {"/root": ["/root/.pyenv"], "/tmp": ["/tmp/private"]}


def test_a_cover_inside_another_is_laid_only_where_it_can_be_seen():
    plan = covers(
        ["/root", "/root/work", "/root/venv/site/kernel_harness"], ["/root/venv", "/root/work/.x"]
    )
    assert plan == {
        "/root": ["/root/venv", "/root/work/.x"],
        "/root/venv/site/kernel_harness": [],
    }


def test_what_is_needed_is_never_covered_itself():
    assert covers(["/home"], ["/home"]) == {}


@given(st.lists(st.sampled_from(["/a", "/a/b", "/a/b/c", "/d", "/d/e"])), st.booleans())
def test_every_needed_folder_stays_visible(needed, more):
    covered = ["/a", "/d", *(["/a/b"] if more else [])]
    for path in map(Path, needed):
        hidden = False
        for place, shown in covers(covered, needed).items():
            if path.is_relative_to(place):
                hidden = not any(path.is_relative_to(s) for s in shown)
        assert not hidden


def test_steps_are_left_out_by_name():
    assert skipped_steps({SKIP_VARIABLE: "net,seccomp"}) == {"net", "seccomp"}
    assert skipped_steps({}) == frozenset()
