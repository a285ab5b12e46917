"""What becomes of a candidate's process that answers, dies, hangs, or speaks out of turn."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.processes import candidate_process
from kernel_harness.tools.judge.processes.candidate_process import (
    ProcessSession,
    SpawnOptions,
    ZygoteGoneError,
    ZygoteHandle,
    request,
)
from kernel_harness.tools.judge.processes.log_pipe import LogPipe
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.sockets import WireClosedError, recv_frame, send_frame
from kernel_harness.tools.messages.zygote import (
    Pause,
    Paused,
    Reap,
    Reaped,
    Spawn,
    Spawned,
    to_zygote,
)

from ....judging import make_solution


@dataclass
class Reaper:
    """A zygote as far as a session needs one."""

    status: int | None = -11
    gone: bool = False
    reaped: list[int] = field(default_factory=list)

    def reap(self, pid: int) -> int | None:
        self.reaped.append(pid)
        if self.gone:
            raise InfrastructureError("the zygote is gone")
        return self.status


@dataclass
class Ends:
    """A session, and the candidate's end of its socket."""

    session: ProcessSession
    theirs: socket.socket
    reaper: Reaper
    private: Path
    log: LogPipe


@pytest.fixture
def ends(tmp_path) -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    reaper, log, private = Reaper(), LogPipe(), tmp_path / "private"
    private.mkdir()
    spawned = Spawned(pid=17, granted=["seccomp"], missing=[])
    zygote: Any = reaper
    yield Ends(ProcessSession(zygote, spawned, ours, log, private), theirs, reaper, private, log)
    with contextlib.suppress(OSError):
        log.started()
    theirs.close()
    ours.close()


def test_an_answer_in_turn_is_returned(ends):
    send_frame(ends.theirs, wire.Mapped())
    assert request(ends.session, wire.Collect(), wire.Mapped, 5.0) == wire.Mapped()
    asked, _ = recv_frame(ends.theirs, wire.to_candidate)
    assert asked == wire.Collect() and ends.reaper.reaped == []


def test_a_process_that_dies_is_told_by_its_signal(ends):
    ends.theirs.close()
    lost = request(ends.session, wire.Collect(), wire.Collected, 5.0)
    assert lost == ProcessLost("crash", "The candidate's process was killed by SIGSEGV.", -11)
    assert ends.reaper.reaped == [17] and not ends.private.exists()


def test_a_process_that_does_not_answer_in_time_is_ended(ends):
    lost = ends.session.answer(wire.Collected, 0.0)
    assert isinstance(lost, ProcessLost) and lost.kind == "timeout"
    assert ends.reaper.reaped == [17]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x00\x00\x00\x02{}", id="no kind"),
        pytest.param(b"\x7f\xff\xff\xff", id="too long"),
        pytest.param(b"\x00\x00\x00\x03\xff\xfe\xfd", id="no text"),
    ],
)
def test_bytes_that_are_no_message_break_the_protocol(ends, frame):
    ends.theirs.sendall(frame)
    lost = ends.session.answer(wire.Collected, 5.0)
    assert isinstance(lost, ProcessLost) and lost.kind == "protocol"
    assert ends.reaper.reaped == [17]


def test_an_answer_to_another_request_breaks_the_protocol(ends):
    send_frame(ends.theirs, wire.Mapped())
    lost = ends.session.answer(wire.Collected, 5.0)
    assert isinstance(lost, ProcessLost)
    assert lost.kind == "protocol" and "'mapped' out of turn" in lost.detail


def test_a_process_that_reads_nothing_is_given_up(ends, monkeypatch):
    monkeypatch.setattr(candidate_process, "SEND_SOURCES_TIMEOUT_S", 0.01)
    solution = make_solution("#" * (1 << 20), definition="affine_n64").model_dump(mode="json")
    build = wire.BuildRequest.of(solution, content_hash="0", argument_count=4, output_count=2)
    ends.session.ask(build)
    lost = ends.session.answer(wire.Built, 5.0)
    assert isinstance(lost, ProcessLost)
    assert lost.kind == "protocol" and "takes none" in lost.detail


def test_a_lost_process_stays_lost_and_is_ended_once(ends):
    first = ends.session.answer(wire.Collected, 0.0)
    again = request(ends.session, wire.Collect(), wire.Collected, 5.0)
    ends.session.close()
    assert again is first and ends.reaper.reaped == [17]


def test_descriptors_that_a_candidate_sends_are_closed(ends):
    read, write = os.pipe()
    send_frame(ends.theirs, wire.Mapped(), [read, read])
    os.close(read)
    assert os.write(write, b"x") == 1, "those on their way can still be read from"
    assert ends.session.answer(wire.Mapped, 5.0) == wire.Mapped()
    with pytest.raises(BrokenPipeError):
        os.write(write, b"x")
    os.close(write)


def test_ending_asks_it_to_leave_first(ends):
    ends.session.close()
    assert recv_frame(ends.theirs, wire.to_candidate)[0] == wire.Exit()
    with pytest.raises(WireClosedError):
        recv_frame(ends.theirs, wire.to_candidate)


def test_a_process_that_is_asked_to_exit_is_reaped_when_it_is_closed(ends):
    ends.session.ask_to_exit()
    assert recv_frame(ends.theirs, wire.to_candidate)[0] == wire.Exit()
    assert ends.reaper.reaped == [] and ends.private.exists()
    ends.session.close()
    ends.session.ask_to_exit()
    assert ends.reaper.reaped == [17] and not ends.private.exists()


def test_its_folder_goes_even_where_the_zygote_is_gone(ends):
    ends.reaper.gone = True
    with pytest.raises(InfrastructureError):
        ends.session.close()
    assert not ends.private.exists()


def test_a_prewarmed_process_is_there_as_long_as_its_socket_is(ends):
    process, theirs = ends.session, ends.theirs
    process.prepare(0)
    send_frame(theirs, wire.Prepared())
    assert process.prepared() and process.prepared()
    theirs.close()
    assert not process.prepared()


def test_a_process_that_speaks_unasked_is_not_used(ends):
    process, theirs = ends.session, ends.theirs
    process.prepare(0)
    send_frame(theirs, wire.Prepared())
    send_frame(theirs, wire.Mapped())
    assert not process.prepared()


def test_the_first_answer_waits_for_the_device(ends):
    process, theirs = ends.session, ends.theirs
    process.prepare(0)
    send_frame(theirs, wire.Prepared())
    send_frame(theirs, wire.Built(seconds=1.0))
    assert process.answer(wire.Built, 5.0) == wire.Built(seconds=1.0)


def test_whether_it_came_up_is_known_before_its_first_answer(ends):
    process, theirs = ends.session, ends.theirs
    process.prepare(0)
    send_frame(theirs, wire.Prepared())
    send_frame(theirs, wire.Built(seconds=1.0))
    assert process.came_up()
    assert process.answer(wire.Built, 5.0) == wire.Built(seconds=1.0)


def test_one_that_ended_while_it_made_its_context_did_not_come_up(ends):
    ends.session.prepare(0)
    ends.theirs.close()
    assert not ends.session.came_up()


class FakeZygote:
    """Stands for the process that `ZygoteHandle` starts; answers from a thread.

    Args:
        spawned: what it answers to a spawn; None: it closes its socket instead.
        said: what its candidate prints.
    """

    def __init__(self, spawned: Spawned | None, said: bytes = b"") -> None:
        self._spawned, self._said = spawned, said
        self.asked: list[Spawn | Reap | Pause] = []
        self.command: list[str] = []
        self.ended = False

    def __call__(self, command: list[str], *, pass_fds: list[int], **_: Any) -> FakeZygote:
        self.command = command
        self._socket = socket.socket(fileno=os.dup(pass_fds[0]))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self) -> None:
        with self._socket, contextlib.suppress(WireClosedError):
            while True:
                message, fds = recv_frame(self._socket, to_zygote)
                self.asked.append(message)
                if fds:
                    os.write(fds[1], self._said)
                for fd in fds:
                    os.close(fd)
                if isinstance(message, Reap):
                    send_frame(self._socket, Reaped(pid=message.pid, exit_status=3))
                elif isinstance(message, Pause):
                    send_frame(self._socket, Paused(count=1))
                elif self._spawned is None:
                    return
                else:
                    send_frame(self._socket, self._spawned)

    def poll(self) -> int | None:
        return -9 if self.ended else None

    def kill(self) -> None:
        self.ended = True

    def wait(self) -> int:
        return -9


UP = Spawned(pid=17, granted=["seccomp"], missing=["landlock"])


@pytest.fixture
def private(tmp_path, monkeypatch) -> Path:
    """The folder that the next candidate gets."""
    folder = tmp_path / "private"

    def made() -> Path:
        folder.mkdir()
        return folder

    monkeypatch.setattr(candidate_process, "private_folder", made)
    return folder


def handle(monkeypatch, zygote: FakeZygote, *, cuda: bool = False, **options: Any) -> ZygoteHandle:
    monkeypatch.setattr(candidate_process.subprocess, "Popen", zygote)
    return ZygoteHandle(SpawnOptions(cache_dir=None, cuda=cuda, **options), interpret=not cuda)


@pytest.mark.parametrize("cuda", [True, False])
def test_only_a_candidate_without_a_gpu_is_told_of_a_device_that_is_not_there(
    monkeypatch, private, cuda
):
    zygote = FakeZygote(UP)
    session = handle(monkeypatch, zygote, cuda=cuda, memory_bytes=5).spawn()
    spawn = zygote.asked[0]
    assert isinstance(spawn, Spawn)
    assert (spawn.fake_device is None) == spawn.cuda == cuda and spawn.memory_bytes == 5
    assert ("--interpret" in zygote.command) == (not cuda)
    assert (session.pid, session.granted, session.missing) == (17, ["seccomp"], ["landlock"])
    session.close()
    assert session.exit_status == 3 and not private.exists()


STUB = "7N2CIZV2LGANAB6T76XR46IHJLNIXWRUZIC2DRQU3EHOZCISHWIQ"


def test_a_process_gets_the_driver_stubs_of_the_judge(monkeypatch, private, tmp_path):
    seed = tmp_path / "seed"
    (seed / STUB).mkdir(parents=True)
    (seed / STUB / "driver.so").write_bytes(b"elf")
    zygote = FakeZygote(UP)
    opened = handle(monkeypatch, zygote, triton_seed=seed)
    private.mkdir()
    (private / "triton").mkdir()
    monkeypatch.setattr(candidate_process, "private_folder", lambda: private)
    session = opened.spawn()
    assert (session.triton_cache / STUB / "driver.so").read_bytes() == b"elf"
    session.close()


def test_a_process_that_cannot_be_started_is_the_harness_fault_with_what_was_said(
    monkeypatch, private
):
    refused = Spawned(pid=0, granted=[], missing=["spawn: no more processes"])
    opened = handle(monkeypatch, FakeZygote(refused, b"cannot fork\n"))
    with pytest.raises(InfrastructureError, match="no more processes; cannot fork") as found:
        opened.spawn()
    assert not isinstance(found.value, ZygoteGoneError) and not private.exists()


def test_a_zygote_that_is_gone_is_told_apart_and_leaves_no_folder(monkeypatch, private):
    with pytest.raises(ZygoteGoneError):
        handle(monkeypatch, FakeZygote(None)).spawn()
    assert not private.exists()


def test_another_zygote_has_the_options_of_the_one_that_ended(monkeypatch, private):
    first = FakeZygote(None)
    opened = handle(monkeypatch, first, memory_bytes=9)
    second = FakeZygote(UP)
    monkeypatch.setattr(candidate_process.subprocess, "Popen", second)
    other = opened.another()
    assert first.ended and not opened.alive and other.alive
    other.spawn().close()
    spawn = second.asked[0]
    assert isinstance(spawn, Spawn) and spawn.memory_bytes == 9
    assert second.command == [*first.command[:-2], second.command[-2], "--interpret"]


def test_candidates_go_on_after_a_pause_whatever_happened_in_it(monkeypatch):
    zygote = FakeZygote(UP)
    opened = handle(monkeypatch, zygote)
    with pytest.raises(KeyError), opened.paused([7]):
        assert zygote.asked == [Pause(stop=True, spared=[7])]
        raise KeyError
    assert zygote.asked[1:] == [Pause(stop=False)]
