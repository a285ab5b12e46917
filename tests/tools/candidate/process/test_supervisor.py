"""What the supervisor copies into the cache, and how it finds what to kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

from kernel_harness.tools.candidate.process import supervisor
from kernel_harness.tools.candidate.process.supervisor import SupervisorConfig, publish
from kernel_harness.tools.candidate.sandbox.process_tree import descendants


def test_a_finished_folder_is_published_whole_and_once(tmp_path):
    product, cache = tmp_path / "product", tmp_path / "cache"
    (product / "deep").mkdir(parents=True)
    cache.mkdir()
    (product / "a.so").write_bytes(b"one")
    (product / "deep" / "b").write_text("two")
    assert publish(product, cache, "native-1")
    assert (cache / "native-1" / "a.so").read_bytes() == b"one"
    assert (cache / "native-1" / "deep" / "b").read_text() == "two"
    (product / "a.so").write_bytes(b"changed")
    assert not publish(product, cache, "native-1")
    assert (cache / "native-1" / "a.so").read_bytes() == b"one"
    assert [p.name for p in cache.iterdir()] == ["native-1"]


def test_links_and_pipes_are_not_followed(tmp_path):
    cache, secret = tmp_path / "cache", tmp_path / "secret"
    cache.mkdir()
    secret.write_text("secret")
    for name, make in (
        ("link", lambda p: p.symlink_to(secret)),
        ("pipe", os.mkfifo),
    ):
        product = tmp_path / name
        product.mkdir()
        make(product / "it")
        assert not publish(product, cache, f"native-{name}")
    assert list(cache.iterdir()) == []


def test_a_folder_over_the_bound_is_left_out(tmp_path):
    product, cache = tmp_path / "product", tmp_path / "cache"
    product.mkdir()
    cache.mkdir()
    (product / "big").write_bytes(b"x" * 1000)
    assert not publish(product, cache, "native-1", max_bytes=999)
    assert list(cache.iterdir()) == []


def test_code_waits_until_its_build_has_been_copied(tmp_path, monkeypatch):
    product, cache = tmp_path / "product", tmp_path / "cache"
    product.mkdir()
    cache.mkdir()
    (product / "a.so").write_bytes(b"as built")

    def slow_publish(*arguments):
        time.sleep(0.2)
        return publish(*arguments)

    monkeypatch.setattr(supervisor, "publish", slow_publish)
    ours, theirs = socket.socketpair()
    config = SupervisorConfig(0, -1, tmp_path, cache, False, False, lambda *words: sys.exit())
    reading = threading.Thread(
        target=supervisor._publish_until_code_runs, args=(ours.detach(), config)
    )
    reading.start()
    line = {"key": "native-12345678", "folder": "product", "when": "now"}
    theirs.sendall(json.dumps(line).encode() + b"\n")
    theirs.shutdown(socket.SHUT_WR)
    assert theirs.recv(1) == b""
    (product / "a.so").write_bytes(b"changed by itself")
    reading.join()
    theirs.close()
    assert (cache / "native-12345678" / "a.so").read_bytes() == b"as built"


def test_descendants_are_found_through_generations():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True); {code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stdin is not None
    child.stdout.readline()
    below: list[int] = []
    while not below and child.poll() is None:
        below = descendants(child.pid)
    assert len(below) == 1
    assert {child.pid, *below} <= set(descendants(os.getpid()))
    child.stdin.write(b"\n")
    child.stdin.close()
    child.wait(20)
    child.stdout.close()
