"""What is kept of a candidate's build, and what of it another candidate's process is given."""

from __future__ import annotations

import json
import os
import socket
import threading
import time

import pytest

from kernel_harness.tools.candidate.process.build_cache import BuildCache
from kernel_harness.tools.messages.zygote import BUILDS_FOLDER, FETCHED_FOLDER

KEY = "native-12345678"


@pytest.fixture
def cache(tmp_path):
    """A cache beside one candidate's private folder, which holds one product."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "private" / FETCHED_FOLDER).mkdir(parents=True)
    product = tmp_path / "private" / BUILDS_FOLDER / KEY
    product.mkdir(parents=True)
    (product / "a.so").write_bytes(b"as built")
    return BuildCache(tmp_path / "cache", tmp_path / "private")


def entries(cache):
    return sorted(path.name for path in cache.cache.iterdir())


def product(cache):
    return cache.private / BUILDS_FOLDER / KEY


def fetched(cache):
    return cache.private / FETCHED_FOLDER / KEY


def test_a_finished_folder_is_kept_whole_and_once(cache):
    (product(cache) / "deep").mkdir()
    (product(cache) / "deep" / "b").write_text("two")
    assert cache.publish(KEY)
    assert (cache.cache / KEY / "deep" / "b").read_text() == "two"
    (product(cache) / "a.so").write_bytes(b"changed")
    assert not cache.publish(KEY)
    assert (cache.cache / KEY / "a.so").read_bytes() == b"as built"
    assert entries(cache) == [KEY]


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/etc/passwd"), os.mkfifo])
def test_a_folder_with_a_link_or_a_pipe_is_not_kept(cache, make):
    make(product(cache) / "it")
    assert not cache.publish(KEY)
    assert entries(cache) == []


def test_a_candidate_adds_no_more_than_its_share(cache):
    (product(cache).parent / "native-other-one").mkdir()
    (product(cache).parent / "native-other-one" / "b.so").write_bytes(b"x" * 10)
    cache.left = 17
    assert cache.publish(KEY) and cache.left == 9
    assert not cache.publish("native-other-one")
    assert entries(cache) == [KEY]


def test_an_entry_is_copied_to_the_candidate_and_used_lately(cache):
    cache.publish(KEY)
    os.utime(cache.cache / KEY, (1e9, 1e9))
    assert cache.fetch(KEY)
    assert (fetched(cache) / "a.so").read_bytes() == b"as built"
    assert os.stat(fetched(cache)).st_mode & 0o777 == 0o755
    assert (cache.cache / KEY).stat().st_mtime > 1.5e9
    assert not cache.fetch("native-of-nobody")


def test_an_entry_that_is_removed_while_it_is_copied_is_not_found(cache, monkeypatch):
    cache.publish(KEY)
    utime = os.utime

    def evicted_meanwhile(path):
        (cache.cache / KEY).rename(cache.cache / ".evicted-1")
        utime(path)

    monkeypatch.setattr(os, "utime", evicted_meanwhile)
    assert not cache.fetch(KEY)
    assert list((cache.private / FETCHED_FOLDER).iterdir()) == []


def served(cache, *lines):
    """What is answered to lines, the answer to the end of the lines last."""
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=cache.serve, args=(ours.detach(),))
    serving.start()
    answers = []
    for line in lines:
        theirs.sendall(line + b"\n")
        answers += [theirs.recv(1)] if b"fetch" in line else []
    theirs.shutdown(socket.SHUT_WR)
    answers.append(theirs.recv(1))
    serving.join()
    theirs.close()
    return answers


def asked(what, key):
    return json.dumps({"do": what, "key": key}).encode()


def test_what_is_no_key_is_neither_kept_nor_found(cache):
    (cache.private / "secret").mkdir()
    (cache.private.parent / "cache" / "object-12345678").mkdir()
    keys = ["../../secret", "..", "", "a" * 200, "native/12345678", "NATIVE-12345678"]
    lines = [asked(what, key) for key in keys for what in ("publish", "fetch")]
    assert served(cache, *lines) == [b"0"] * len(keys) + [b""]
    assert entries(cache) == ["object-12345678"]


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b"null", b'{"do": 1}', b'{"key": "native-1"}'])
def test_a_line_that_is_no_request_is_passed_over(cache, line):
    assert served(cache, line, asked("publish", KEY), asked("fetch", KEY)) == [b"1", b""]


def test_code_waits_until_its_build_has_been_copied(cache, monkeypatch):
    publish = cache.publish

    def slow(key):
        time.sleep(0.2)
        return publish(key)

    monkeypatch.setattr(cache, "publish", slow)
    assert served(cache, asked("publish", KEY)) == [b""]
    (product(cache) / "a.so").write_bytes(b"changed by itself")
    assert (cache.cache / KEY / "a.so").read_bytes() == b"as built"
