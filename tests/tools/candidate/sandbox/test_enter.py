"""What the sandbox claims, tried from inside by a candidate that wants out."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch

from kernel_harness.tools.candidate.sandbox import enter as sandbox
from kernel_harness.tools.confinement import landlock
from kernel_harness.tools.messages import frames

pytestmark = pytest.mark.process

ROOT = os.geteuid() == 0
EVERY_STEP = {
    *("pid", "net", "ipc", "uts", "mount", "private_home", "uid", "no_new_privs", "rlimits"),
    *("landlock", "seccomp", "not_dumpable"),
}
PROBE = """
import errno, json, os, sys
def attempt(act):
    try:
        return ["done", repr(act())]
    except BaseException as error:
        return [type(error).__name__, str(getattr(error, "errno", error))]
seen = {}
BODY
print("SEEN" + json.dumps(seen))
def run(x, out):
    out.zero_()
"""


def seen_from_inside(candidate, body: str) -> dict:
    """Builds a candidate whose import runs `body`, which fills `seen`."""
    built = candidate.build({"kernel.py": PROBE.replace("BODY", body)})
    assert built.fault is None, built.fault
    line = next(line for line in candidate.log().splitlines() if line.startswith("SEEN"))
    return json.loads(line.removeprefix("SEEN"))


def spare_users() -> bool:
    """Whether files can be given to users far above those of this machine, as root can mostly."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chown(folder, 1_900_000_000, 1_900_000_000)
        except OSError:
            return False
    return ROOT


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def beside_cuda(interpreting):
    """A candidate as it is spawned beside a GPU: without a process namespace."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        end = interpreting.spawn(Path(folder), cuda=True)
        yield end
        end.close()


def test_every_step_is_either_granted_or_missing(candidate):
    spawned = candidate.spawned
    reported = [*spawned.granted, *spawned.missing]
    assert sorted(reported) == sorted(set(reported))
    assert set(reported) - {"userns"} == EVERY_STEP


@pytest.mark.skipif(not ROOT, reason="root is granted more")
def test_root_is_granted_another_user_and_its_own_namespaces(candidate):
    if "mount" in candidate.spawned.missing:
        pytest.skip("this machine refuses mount namespaces even to root")
    assert {"uid", "net", "mount", "no_new_privs", "seccomp"} <= set(candidate.spawned.granted)
    seen = seen_from_inside(
        candidate,
        "seen['uid'] = os.getresuid()\n"
        "seen['groups'] = os.getgroups()\n"
        "seen['caps'] = [l for l in open('/proc/self/status') if l.startswith('CapEff')]\n",
    )
    assert len(set(seen["uid"])) == 1 and 0 not in seen["uid"]
    assert seen["groups"] == []
    assert int(seen["caps"][0].split()[1], 16) == 0


def test_bounds_are_in_force_and_nothing_that_it_starts_gains_rights(candidate):
    names = ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_FSIZE")
    seen = seen_from_inside(
        candidate,
        f"import resource\nseen['bounds'] = [resource.getrlimit(getattr(resource, n)) "
        f"for n in {names}]\n"
        "seen['status'] = [l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')]\n",
    )
    for (soft, hard), most in zip(seen["bounds"], (0, 4096, 3600, 16 << 30), strict=True):
        assert 0 <= soft == hard <= most
    assert seen["status"] == ["NoNewPrivs:\t1\n"]


@pytest.mark.skipif(not ROOT, reason="needs namespaces of its own")
def test_shared_memory_and_the_name_of_the_host_are_its_own(candidate):
    """The segment may be read by every user: only the namespace keeps a candidate from it."""
    missing = {"ipc", "uts"} & set(candidate.spawned.missing)
    if missing:
        pytest.skip(f"this machine refuses {', '.join(sorted(missing))}")
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 4096, 0o1666)
    assert segment >= 0
    attach = f"libc.shmat({segment}, None, 0o10000)"
    libc.shmat.restype = ctypes.c_ssize_t
    try:
        assert libc.shmat(segment, None, 0o10000) != -1
        seen = seen_from_inside(
            candidate,
            "import ctypes, socket\nlibc = ctypes.CDLL(None)\n"
            f"libc.shmat.restype = ctypes.c_ssize_t\nseen['attached'] = {attach}\n"
            "seen['host'] = socket.gethostname()\n",
        )
    finally:
        libc.shmctl(segment, 0, None)
    assert seen["attached"] == -1
    assert seen["host"] != socket.gethostname()


@pytest.mark.skipif(not ROOT, reason="needs another uid or a process namespace")
def test_the_judges_descriptors_cannot_be_opened(candidate, beside_cuda):
    probe = f"seen['fd'] = attempt(lambda: os.listdir('/proc/{os.getpid()}/fd'))\n"
    assert seen_from_inside(candidate, probe)["fd"][0] in ("FileNotFoundError", "PermissionError")
    assert seen_from_inside(beside_cuda, probe)["fd"][0] == "PermissionError"


@pytest.mark.skipif(not ROOT, reason="needs another uid or a process namespace")
def test_the_judge_and_the_zygote_cannot_be_signalled(beside_cuda, interpreting):
    pids = (os.getpid(), interpreting.process.pid, os.getppid())
    seen = seen_from_inside(
        beside_cuda, f"seen['kill'] = [attempt(lambda p=p: os.kill(p, 0)) for p in {pids}]\n"
    )
    assert [outcome[0] for outcome in seen["kill"]] == ["PermissionError"] * 3


def test_there_is_no_network(candidate):
    seen = seen_from_inside(
        candidate,
        "import socket\n"
        "for name in ('AF_INET', 'AF_INET6', 'AF_NETLINK', 'AF_VSOCK'):\n"
        "    seen[name] = attempt(lambda: socket.socket(getattr(socket, name)))[0]\n"
        "seen['unix'] = attempt(socket.socketpair)[0]\n",
    )
    assert seen.pop("unix") == "done"
    assert set(seen.values()) == {"PermissionError"}


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_nothing_outside_the_private_folder_can_be_written(candidate, tmp_path):
    checkout = Path(sandbox.__file__).parents[1]
    seen = seen_from_inside(
        candidate,
        f"places = ['/usr/local/x', '/etc/x', {str(tmp_path / 'x')!r}, {str(checkout / 'x')!r},\n"
        f"          {sys.prefix + '/x'!r}, '/x', '/proc/sys/kernel/core_pattern']\n"
        "seen['outside'] = [attempt(lambda p=p: open(p, 'w'))[0] for p in places]\n"
        "seen['inside'] = attempt(lambda: open(os.environ['HOME'] + '/x', 'w').write('y'))[0]\n"
        "seen['scratch'] = attempt(lambda: open('/tmp/kernel_harness_x', 'w').write('y'))[0]\n",
    )
    assert "done" not in seen["outside"]
    assert seen["inside"] == "done"
    assert not Path("/tmp/kernel_harness_x").exists()


@pytest.mark.skipif(not ROOT, reason="needs a mount namespace or Landlock")
def test_neither_oracles_nor_evaluations_can_be_read(candidate):
    tools = Path(sandbox.__file__).parents[2]
    places = [tools / "messages", tools.parent / "kernels", tools / "schema" / "evaluation.py"]
    assert all(place.exists() for place in places)
    seen = seen_from_inside(
        candidate,
        f"for place in {[str(p) for p in places]}:\n"
        "    act = os.listdir if os.path.isdir(place) else open\n"
        "    seen[place] = attempt(lambda: act(place))[0]\n"
        "seen['import'] = attempt(lambda: __import__('kernel_harness.kernels'))[0]\n",
    )
    assert "done" not in seen.values()


def test_refused_system_calls_answer_that_they_are_not_permitted(candidate):
    if "seccomp" in candidate.spawned.missing:
        pytest.skip("this kernel refuses filters")
    seen = seen_from_inside(
        candidate,
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def number(act):\n"
        "    return ctypes.get_errno() if act() < 0 else 0\n"
        "seen['ptrace'] = number(lambda: libc.ptrace(0, 0, 0, 0))\n"
        "seen['unshare'] = number(lambda: libc.unshare(0x10000000))\n"
        "seen['dumpable'] = number(lambda: libc.prctl(4, 1, 0, 0, 0))\n"
        "seen['deathsig'] = number(lambda: libc.prctl(1, 0, 0, 0, 0))\n"
        "import threading\n"
        "thread = threading.Thread(target=lambda: seen.update(thread=True))\n"
        "thread.start(); thread.join()\n",
    )
    assert seen.pop("thread") is True
    assert set(seen.values()) == {1}


def test_only_the_judges_environment_is_there(interpreting, tmp_path_factory):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        end = interpreting.spawn(Path(folder), environment={"MARK": "1"})
        seen = seen_from_inside(end, "seen.update(os.environ)\nseen['cwd'] = os.getcwd()\n")
        end.close()
        private = str(end.private)
    assert seen["MARK"] == "1" and seen["cwd"] == private
    assert all(seen[name].startswith(private) for name in ("HOME", "TMPDIR", "TRITON_CACHE_DIR"))
    assert "PYTEST_CURRENT_TEST" not in seen


def test_what_is_imported_late_and_compilers_still_work_inside(candidate):
    seen = seen_from_inside(
        candidate,
        "import subprocess\n"
        "for name in ('sqlite3', 'xml.dom.minidom', 'torch.fx', 'scipy.linalg'):\n"
        "    seen[name] = attempt(lambda: __import__(name))\n"
        "open('a.c', 'w').write('int main(){return 7;}')\n"
        "seen['gcc'] = attempt(lambda: subprocess.run(['gcc', 'a.c', '-o', 'a.out']).returncode)\n"
        "seen['run'] = attempt(lambda: subprocess.run(['./a.out']).returncode)\n"
        "seen['python'] = attempt(lambda: subprocess.run([sys.executable, '-c', '']).returncode)\n",
    )
    assert seen.pop("run") == ["done", "7"]
    assert seen.pop("gcc") == ["done", "0"] and seen.pop("python") == ["done", "0"]
    assert {outcome[0] for outcome in seen.values()} == {"done"}


def test_a_daemon_that_left_its_group_is_killed_with_the_candidate(beside_cuda):
    seen = seen_from_inside(
        beside_cuda,
        "import time\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.write(w, str(os.getpid()).encode())\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "seen['pid'] = int(os.read(r, 20))\n",
    )
    os.kill(seen["pid"], 0)
    beside_cuda.reap()
    with pytest.raises(ProcessLookupError):
        os.kill(seen["pid"], 0)


def test_processes_are_bounded_and_a_burst_of_them_is_reaped(interpreting):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        end = interpreting.spawn(Path(folder), max_processes=24)
        seen = seen_from_inside(
            end,
            "import time\n"
            "made = 0\n"
            "try:\n"
            "    while made < 40:\n"
            "        if os.fork() == 0:\n"
            "            time.sleep(600)\n"
            "        made += 1\n"
            "except OSError as error:\n"
            "    seen['errno'] = error.errno\n"
            "seen['made'] = made\n",
        )
        end.close()
    if "uid" in end.spawned.granted:
        assert seen["made"] < 40 and seen["errno"] == 11
    assert interpreting.process.poll() is None


@pytest.mark.skipif(not spare_users(), reason="needs to become other users")
def test_a_candidate_that_has_all_the_processes_it_may_takes_none_of_another_s(interpreting):
    fill = (
        "import time\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(600)\n"
        "except OSError as error:\n"
        "    seen['errno'] = error.errno\n"
        "seen['uid'] = os.getuid()\n"
    )
    one = "seen['status'] = os.system('true')\nseen['uid'] = os.getuid()\n"
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        os.chmod(first, 0o755)
        os.chmod(second, 0o755)
        greedy = interpreting.spawn(Path(first), max_processes=24, cuda=True)
        modest = interpreting.spawn(Path(second), max_processes=24, cuda=True)
        full = seen_from_inside(greedy, fill)
        assert full["errno"] == errno.EAGAIN
        seen = seen_from_inside(modest, one)
        assert seen["uid"] != full["uid"] and seen["status"] == 0
        greedy.close()
        modest.close()


@pytest.mark.skipif(not spare_users(), reason="needs to become other users")
def test_candidates_cannot_signal_each_other(interpreting):
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        os.chmod(first, 0o755)
        os.chmod(second, 0o755)
        one = interpreting.spawn(Path(first), cuda=True)
        other = interpreting.spawn(Path(second), cuda=True)
        probe = f"seen['kill'] = attempt(lambda: os.kill({other.spawned.pid}, 0))\n"
        assert seen_from_inside(one, probe)["kill"][0] == "PermissionError"
        one.close()
        other.close()


@pytest.mark.parametrize(
    ("code", "status"),
    [("os._exit(7)", 7), ("import ctypes; ctypes.string_at(0)", -11), ("os.abort()", -6)],
)
def test_how_a_candidate_ended_is_told(candidate, code, status):
    source = f"import os\ndef run(x, out):\n    {code}\n"
    assert candidate.build({"kernel.py": source}).fault is None
    with pytest.raises(frames.WireError):
        candidate.call([1.0], [torch.ones(1)])
    assert candidate.reap() == status


def test_megabytes_of_printing_arrive_in_the_log_and_harm_nothing(candidate):
    source = "def run(x, out):\n    print('y' * 3_000_000)\n    out.zero_()\n"
    candidate.build({"kernel.py": source})
    received = []
    os.set_blocking(candidate.log_read, True)

    def drain():
        while sum(map(len, received)) < 3_000_000:
            received.append(os.read(candidate.log_read, 1 << 20))

    reader = threading.Thread(target=drain)
    reader.start()
    called, _ = candidate.call([torch.ones(2)], [torch.ones(2)])
    reader.join(20)
    assert called.fault is None
    assert b"".join(received).startswith(b"yyy")


def test_a_step_can_be_left_out_and_is_then_missing(interpreting):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        skip = {sandbox.SKIP_VARIABLE: "landlock,seccomp,pid"}
        end = interpreting.spawn(Path(folder), environment=skip)
        end.close()
    assert {"landlock", "seccomp", "pid"} <= set(end.spawned.missing)


@pytest.mark.parametrize("without", ["", "mount"])
def test_there_is_a_place_for_temporary_files_with_and_without_mounts(interpreting, without):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        end = interpreting.spawn(Path(folder), environment={sandbox.SKIP_VARIABLE: without})
        seen = seen_from_inside(
            end, "import tempfile\nseen['made'] = attempt(tempfile.mkdtemp)[0]\n"
        )
        end.close()
    assert seen["made"] == "done"
