"""Frames and descriptors cross a socket whole, and a dishonest end is cut off."""

from __future__ import annotations

import os
import socket
import struct
import threading

import pytest

from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages import frames, zygote
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.messages.sockets import (
    MAX_DESCRIPTORS,
    WireClosedError,
    WireTimeoutError,
    recv_frame,
    send_frame,
)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        yield ours, theirs


def test_a_message_arrives_with_its_descriptors(pair):
    ours, theirs = pair
    read_end, write_end = os.pipe()
    send_frame(ours, wire.MapArena(memory="memfd", nbytes=8), (write_end,))
    os.close(write_end)
    message, fds = recv_frame(theirs, wire.to_candidate)
    assert message == wire.MapArena(memory="memfd", nbytes=8)
    assert len(fds) == 1
    os.write(fds[0], b"through")
    os.close(fds[0])
    assert os.read(read_end, 20) == b"through"
    os.close(read_end)


def test_frames_sent_back_to_back_stay_apart(pair):
    ours, theirs = pair
    send_frame(ours, zygote.Reap(pid=3))
    send_frame(ours, zygote.Reap(pid=4))
    assert recv_frame(theirs, zygote.to_zygote)[0] == zygote.Reap(pid=3)
    assert recv_frame(theirs, zygote.to_zygote)[0] == zygote.Reap(pid=4)


def test_a_frame_larger_than_the_socket_buffer_arrives_whole(pair):
    ours, theirs = pair
    built = wire.Built(log="x" * frames.EXCERPT_CHARACTERS)
    message = wire_judge.JudgeFault(evaluation_id="e", what="y" * 2_000_000)
    sender = threading.Thread(target=send_frame, args=(ours, message))
    sender.start()
    received, _ = recv_frame(theirs, wire_judge.from_judge, frames.TRUSTED_FRAME_BYTES)
    sender.join()
    assert received == message
    send_frame(ours, built)
    assert recv_frame(theirs, wire.from_candidate)[0] == built


def test_a_frame_over_the_limit_is_not_read(pair):
    ours, theirs = pair
    ours.sendall(struct.pack(">I", 1 << 30))
    with pytest.raises(frames.WireError, match="at most"):
        recv_frame(theirs, wire.from_candidate)


def test_a_closed_end_is_told_from_a_bad_message(pair):
    ours, theirs = pair
    ours.sendall(struct.pack(">I", 2) + b"{}")
    with pytest.raises(frames.WireError) as bad:
        recv_frame(theirs, wire.from_candidate)
    assert not isinstance(bad.value, WireClosedError)
    ours.sendall(b"\0\0")
    ours.close()
    with pytest.raises(WireClosedError):
        recv_frame(theirs, wire.from_candidate)


def test_a_silent_end_ends_at_the_deadline(pair):
    ours, theirs = pair
    ours.sendall(b"\0")
    with pytest.raises(WireTimeoutError):
        recv_frame(theirs, wire.from_candidate, timeout_s=0.02)
    assert theirs.gettimeout() is None


def test_an_end_that_takes_nothing_ends_at_the_deadline(pair):
    ours, theirs = pair
    with pytest.raises(WireTimeoutError):
        for _ in range(100_000):
            send_frame(ours, zygote.Reap(pid=3), timeout_s=0.05)
    assert ours.gettimeout() is None
    assert recv_frame(theirs, zygote.to_zygote)[0] == zygote.Reap(pid=3)


def test_too_many_descriptors_are_refused_and_closed(pair):
    ours, theirs = pair
    read, write = os.pipe()
    with pytest.raises(frames.WireError, match="descriptors"):
        send_frame(ours, wire.Exit(), [read] * (MAX_DESCRIPTORS + 1))
    socket.send_fds(ours, [frames.encode(wire.Exit())], [read] * (MAX_DESCRIPTORS + 3))
    os.close(read)
    with pytest.raises(frames.WireError, match="descriptors"):
        recv_frame(theirs, wire.to_candidate)
    with pytest.raises(BrokenPipeError):
        os.write(write, b"x")  # as long as one is open somebody could read it
    os.close(write)
