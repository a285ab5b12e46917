"""Compiled kernels are carried between processes whose files nobody can trust."""

from __future__ import annotations

import os

from kernel_harness.tools.judge.processes import triton_cache


def folders(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "entry").mkdir(parents=True)
    target.mkdir()
    return source, target


def test_entries_are_copied_and_group_files_name_their_new_place(tmp_path):
    source, target = folders(tmp_path)
    (source / "entry" / "kernel.cubin").write_bytes(b"code")
    (source / "entry" / "__grp__kernel.json").write_text(f'{{"a": "{source}/entry/kernel.cubin"}}')
    assert triton_cache.copy_kernels(source, target) == 2
    assert (target / "entry" / "kernel.cubin").read_bytes() == b"code"
    assert str(target) in (target / "entry" / "__grp__kernel.json").read_text()
    assert triton_cache.copy_kernels(source, target) == 0


def test_links_and_pipes_are_left_out(tmp_path):
    source, target = folders(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (source / "entry" / "link").symlink_to(tmp_path / "secret")
    (source / "linked").symlink_to(tmp_path)
    os.mkfifo(source / "entry" / "pipe")
    assert triton_cache.copy_kernels(source, target) == 0
    assert not list((target / "entry").iterdir()) and not (target / "linked").exists()


def test_a_link_in_the_target_is_not_written_through(tmp_path):
    source, target = folders(tmp_path)
    (source / "entry" / "kernel.cubin").write_bytes(b"code")
    (tmp_path / "elsewhere").mkdir()
    (target / "entry").symlink_to(tmp_path / "elsewhere")
    assert triton_cache.copy_kernels(source, target) == 0
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_that_grows_while_it_is_read_is_copied_as_long_as_it_was(tmp_path, monkeypatch):
    source, target = folders(tmp_path)
    growing = source / "entry" / "kernel.cubin"
    growing.write_bytes(b"code")
    read, reads = os.read, []

    def read_and_grow(descriptor, count):
        assert len(reads) < 8, "it is read without end"
        reads.append(count)
        with growing.open("ab") as stream:
            stream.write(b"more" * 100)
        return read(descriptor, count)

    monkeypatch.setattr(triton_cache.os, "read", read_and_grow)
    assert triton_cache.copy_kernels(source, target) == 1
    monkeypatch.undo()
    assert (target / "entry" / "kernel.cubin").read_bytes() == b"code"
