"""What an ordinary user's candidate is granted: a user namespace, where the kernel allows one."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from ..conftest import JudgeEnd
from .test_enter import is_alive, seen_from_inside

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user"),
]

ORDINARY = 4321
BECOME = f"""
import os, sys
from pathlib import Path
from kernel_harness.tools.candidate.sandbox import namespaces
from kernel_harness.tools.confinement import syscalls
needed = {{Path(p) for p in (sys.prefix, sys.base_prefix)}}
assert syscalls.unshare(syscalls.CLONE_NEWNS) == 0
closed = namespaces.closed_to_others(needed)
plan = namespaces.plan_covers(closed, needed, is_dir=frozenset(closed))
assert namespaces.cover_file_system(plan)
os.setgroups([])
os.setresgid({ORDINARY}, {ORDINARY}, {ORDINARY})
os.setresuid({ORDINARY}, {ORDINARY}, {ORDINARY})
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def ordinary():
    judge = JudgeEnd(interpret=True, prefix=(sys.executable, "-c", BECOME))
    yield judge
    judge.close()


@pytest.fixture
def their_candidate(ordinary):
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, ORDINARY, ORDINARY)
        end = ordinary.spawn(Path(folder), owner=ORDINARY)
        yield end
        end.close()


def test_it_calls_and_says_that_the_user_is_the_judges_own(their_candidate):
    spawned = their_candidate.spawned
    assert spawned.pid > 0
    assert "uid" in spawned.missing
    assert {"no_new_privs", "rlimits", "not_dumpable"} <= set(spawned.granted)
    their_candidate.build({"kernel.py": "def run(x, out):\n    out.copy_(x * 2)\n"})
    called, (snapshot,) = their_candidate.call([torch.ones(2)], [torch.zeros(2)])
    assert called.fault is None and torch.equal(snapshot, torch.full((2,), 2.0))


def test_namespaces_are_granted_by_a_user_namespace_and_its_rights_given_up(their_candidate):
    if "userns" in their_candidate.spawned.missing:
        pytest.skip("this kernel lets ordinary users make no user namespace")
    assert {"net", "ipc", "uts", "pid", "mount"} <= set(their_candidate.spawned.granted)
    seen = seen_from_inside(
        their_candidate,
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "seen['mount'] = libc.mount(b'none', b'/', None, 0, None)\n"
        "seen['caps'] = [l for l in open('/proc/self/status') if l.startswith('CapEff')]\n"
        "seen['pids'] = [n for n in os.listdir('/proc') if n.isdigit()]\n",
    )
    assert seen["mount"] == -1
    assert int(seen["caps"][0].split()[1], 16) == 0
    assert len(seen["pids"]) <= 3


def test_the_zygote_of_the_same_user_cannot_be_reached(ordinary, their_candidate):
    zygote = ordinary.process.pid
    seen = seen_from_inside(
        their_candidate,
        f"seen['fd'] = attempt(lambda: os.listdir('/proc/{zygote}/fd'))[0]\n"
        f"seen['kill'] = attempt(lambda: os.kill({zygote}, 9))[0]\n",
    )
    assert seen["fd"] in ("FileNotFoundError", "PermissionError")
    assert seen["kill"] in ("ProcessLookupError", "PermissionError")
    assert is_alive(zygote)
