"""On machines that refuse steps of the sandbox, each refused step is named and all others hold."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.candidate.sandbox import namespaces

from ..conftest import JudgeEnd
from .test_enter import EVERY_STEP, is_alive, seen_from_inside

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make other machines"),
]

ORDINARY = 4321
PREPARE = """
import ctypes, os, struct, sys
from pathlib import Path
from kernel_harness.tools.candidate.sandbox import namespaces, seccomp
from kernel_harness.tools.confinement import syscalls
needed = {Path(sys.prefix), Path(sys.base_prefix), Path(namespaces.__file__).parents[3]}

def closed_above(owner):
    "Lays over the folder above the checkout one that only its owner may enter."
    path = Path(namespaces.__file__).resolve().parents[3]
    options = f"mode=0700,size=1m,uid={owner},gid={owner}"
    assert syscalls.unshare(syscalls.CLONE_NEWNS) == 0
    assert namespaces.cover_file_system([namespaces.Cover(path.parent, (path,), options)])

def reachable():
    "Opens the way to the interpreter to other users, as it is on most machines."
    assert syscalls.unshare(syscalls.CLONE_NEWNS) == 0
    closed = namespaces.closed_to_others(needed)
    plan = namespaces.plan_covers(closed, needed, is_dir=frozenset(closed))
    assert namespaces.cover_file_system(plan)

def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)

def refuse(*numbers):
    "Has the kernel answer EPERM to system calls, as a container's seccomp profile does."
    program = [(0x20, 0, 0, 0)]  # load the number
    for number in numbers:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050001)]
    program += [(0x06, 0, 0, 0x7FFF0000)]
    packed = b"".join(struct.pack("=HBBI", *step) for step in program)
    held = ctypes.create_string_buffer(packed)
    head = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(held))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0:
        assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, head, 0, 0) == 0, ctypes.get_errno()

"""
RUN = "os.execv(sys.argv[1], sys.argv[1:])\n"
DOCKER = (
    "chown,dac_override,fsetid,fowner,mknod,net_raw,setgid,setuid,setfcap,setpcap,"
    "net_bind_service,sys_chroot,kill,audit_write"
)
SET_CAPABILITIES = (
    "os.execv('/usr/bin/setpriv', ['setpriv', '--inh-caps=-all', "
    f"'--bounding-set=-all,{','.join('+' + name for name in DOCKER.split(','))}', *sys.argv[1:]])\n"
)
NEW_NAMESPACES = "272, 165, 435"  # unshare, mount, clone3 of x86-64


ALWAYS = "private_home no_new_privs rlimits seccomp not_dumpable signing_key"


@dataclass(frozen=True)
class Machine:
    """What is done before the zygote starts, and which steps it must refuse and grant there."""

    prepare: str
    owner: int = 0
    refused: str = ""
    granted: str = ""


MACHINES = {
    "root with Docker's capabilities and a checkout under a closed folder": Machine(
        "closed_above(0)\n" + SET_CAPABILITIES,
        refused="net ipc uts pid mount uid",
    ),
    "root with Docker's capabilities and a checkout in another user's closed home": Machine(
        "closed_above(1000)\n" + SET_CAPABILITIES,
        refused="net ipc uts pid mount uid "
        "capabilities_(CAP_DAC_OVERRIDE_is_kept_to_read_what_others_own)",
    ),
    "root with Docker's capabilities": Machine(
        "reachable()\n" + SET_CAPABILITIES,
        refused="net ipc uts pid mount",
        granted="uid",
    ),
    "umask 077": Machine("os.umask(0o077)\n" + RUN, granted="uid net mount pid"),
    "a user namespace with user 0 only": Machine(
        "os.execv('/usr/bin/unshare', ['unshare', '--user', '--map-root-user', *sys.argv[1:]])\n",
        refused="uid",
        granted="net mount pid",
    ),
    "an ordinary user with a home that cannot be written": Machine(
        "reachable()\n"
        "syscalls.mount('/root', '/root', '', syscalls.MS_BIND | syscalls.MS_REC)\n"
        "flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY\n"
        "assert syscalls.mount('none', '/root', '', flags) == 0\n"
        f"become({ORDINARY})\n" + RUN,
        owner=ORDINARY,
        refused="uid",
    ),
    "an ordinary user who may make no namespace": Machine(
        f"reachable()\nbecome({ORDINARY})\nrefuse({NEW_NAMESPACES})\n" + RUN,
        owner=ORDINARY,
        refused="uid userns net ipc uts pid mount",
    ),
    "root under a container's seccomp profile": Machine(
        f"refuse({NEW_NAMESPACES})\n" + RUN,
        refused="net ipc uts pid mount",
    ),
}


def uncovered() -> str:
    """A place for temporary files that does not lie under the folder above the checkout."""
    above = Path(namespaces.__file__).resolve().parents[3].parent
    places = (tempfile.gettempdir(), "/var/tmp", "/dev/shm")
    return next(place for place in places if not Path(place).resolve().is_relative_to(above))


ALWAYS_TRIED = list(MACHINES)[1]
"""The others are tried by `make test-long`; test_ordinary_user.py has a user who is not root."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if name == ALWAYS_TRIED else [pytest.mark.long])
        for name in MACHINES
    ]
)
def on_machine(request):
    chosen = MACHINES[request.param]
    judge = JudgeEnd(interpret=True, prefix=(sys.executable, "-c", PREPARE + chosen.prepare))
    with tempfile.TemporaryDirectory(dir=uncovered()) as folder:
        key = Path(folder, "key")
        key.write_text("private")
        key.chmod(0o600)
        for path in (folder, key):
            os.chown(path, chosen.owner, chosen.owner)
        os.chmod(folder, 0o755)
        end = judge.spawn(Path(folder), owner=chosen.owner, signing_key=str(key))
        yield chosen, end, key
        judge.close()
        if end.spawned.pid:
            dies_along(end.pid)


def dies_along(pid: int) -> None:
    """Fails the test where a candidate outlives the zygote, which ends with the judge."""
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_a_candidate_is_called_its_refused_steps_are_named_and_it_ends_with_the_judge(on_machine):
    chosen, candidate, key = on_machine
    spawned = candidate.spawned
    assert spawned.pid > 0, spawned.missing
    granted = set(spawned.granted)
    refused = {step.replace(" ", "_") for step in spawned.missing}
    assert EVERY_STEP <= granted | refused and not granted & refused
    assert set(chosen.refused.split()) <= refused
    assert {*ALWAYS.split(), *chosen.granted.split()} <= granted
    seen = seen_from_inside(
        candidate,
        "import colorsys, subprocess\n"  # neither read before the confinement nor its own
        f"seen['key'] = attempt(lambda: open({str(key)!r}).read())\n"
        "seen['run'] = subprocess.run([sys.executable, '-c', 'import wave']).returncode\n",
    )
    assert seen["run"] == 0
    assert seen["key"][0] in ("PermissionError", "FileNotFoundError") or seen["key"][1] == "''"
    called, (snapshot,) = candidate.call([torch.ones(2)], [torch.ones(2)])
    assert called.fault is None and torch.equal(snapshot, torch.zeros(2))
