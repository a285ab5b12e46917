"""Compiled kernels are carried between processes whose files nobody can trust."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kernel_harness.tools.judge.processes import triton_cache

from ...driver.fakes import make_cubin

ENTRY = "7N2CIZV2LGANAB6T76XR46IHJLNIXWRUZIC2DRQU3EHOZCISHWIQ"


def folders(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / ENTRY).mkdir(parents=True)
    target.mkdir()
    return source, target


def test_entries_are_copied_and_group_files_name_their_new_place(tmp_path):
    source, target = folders(tmp_path)
    (source / ENTRY / "kernel.cubin").write_bytes(b"code")
    (source / ENTRY / "__grp__kernel.json").write_text(f'{{"a": "{source}/{ENTRY}/kernel.cubin"}}')
    assert triton_cache.copy_kernels(source, target) == 2
    assert (target / ENTRY / "kernel.cubin").read_bytes() == b"code"
    assert str(target) in (target / ENTRY / "__grp__kernel.json").read_text()
    assert triton_cache.copy_kernels(source, target) == 0


def test_links_and_pipes_are_left_out(tmp_path):
    source, target = folders(tmp_path)
    (tmp_path / "secret").write_text("secret")
    (source / ENTRY / "link").symlink_to(tmp_path / "secret")
    (source / "linked").symlink_to(tmp_path)
    os.mkfifo(source / ENTRY / "pipe")
    assert triton_cache.copy_kernels(source, target) == 0
    assert not list(target.iterdir())


def test_a_link_in_the_target_is_not_written_through(tmp_path):
    source, target = folders(tmp_path)
    (source / ENTRY / "kernel.cubin").write_bytes(b"code")
    (tmp_path / "elsewhere").mkdir()
    (target / ENTRY).symlink_to(tmp_path / "elsewhere")
    assert triton_cache.copy_kernels(source, target) == 0
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_that_grows_while_it_is_read_is_copied_as_long_as_it_was(tmp_path, monkeypatch):
    source, target = folders(tmp_path)
    growing = source / ENTRY / "kernel.cubin"
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
    assert (target / ENTRY / "kernel.cubin").read_bytes() == b"code"


@pytest.mark.parametrize("end", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_could_not_be_written_to_its_end_is_not_there(tmp_path, monkeypatch, end):
    """Half a launcher was kept for good: of it every later trial of the operator would die."""
    source, target = folders(tmp_path)
    (source / ENTRY / "kernel.so").write_bytes(b"x" * (3 << 20))
    read, reads = os.read, []

    def read_and_end(descriptor, count):
        reads.append(count)
        if len(reads) == 2:
            raise end
        return read(descriptor, count)

    monkeypatch.setattr(triton_cache.os, "read", read_and_end)
    with contextlib.suppress(KeyboardInterrupt):
        assert triton_cache.copy_kernels(source, target) == 0
    monkeypatch.undo()
    assert not list((target / ENTRY).iterdir())
    assert triton_cache.copy_kernels(source, target) == 1
    assert (target / ENTRY / "kernel.so").read_bytes() == b"x" * (3 << 20)


def test_nobody_finds_a_file_that_is_still_written(tmp_path, monkeypatch):
    source, target = folders(tmp_path)
    (source / ENTRY / "kernel.so").write_bytes(b"x" * (3 << 20))
    read, third = os.read, tmp_path / "third"
    third.mkdir()

    def read_and_look(descriptor, count):
        monkeypatch.undo()
        part = read(descriptor, count)
        assert triton_cache.copy_kernels(target, third) == 0
        monkeypatch.setattr(triton_cache.os, "read", read_and_look)
        return part

    monkeypatch.setattr(triton_cache.os, "read", read_and_look)
    assert triton_cache.copy_kernels(source, target) == 1
    monkeypatch.undo()
    assert triton_cache.copy_kernels(target, third) == 1


def test_a_file_that_shrinks_while_it_is_read_is_left_out(tmp_path, monkeypatch):
    source, target = folders(tmp_path)
    (source / ENTRY / "kernel.so").write_bytes(b"x" * (2 << 20))
    read = os.read

    def read_and_cut(descriptor, count):
        part = read(descriptor, count)
        (source / ENTRY / "kernel.so").write_bytes(b"")
        return part

    monkeypatch.setattr(triton_cache.os, "read", read_and_cut)
    assert triton_cache.copy_kernels(source, target) == 0
    assert not list((target / ENTRY).iterdir())


def test_launchers_alone_are_copied_from_what_holds_kernels_too(tmp_path):
    source, target = folders(tmp_path)
    launcher = source / ENTRY[::-1] / "__triton_launcher.cpython-312-x86_64-linux-gnu.so"
    launcher.parent.mkdir()
    launcher.write_bytes(b"elf")
    for name in ("kernel.cubin", "kernel.json", "cuda_utils.cpython-312-x86_64-linux-gnu.so"):
        (source / ENTRY / name).write_bytes(b"code")
    assert triton_cache.copy_launchers(source, target) == 1
    assert [p.name for p in target.iterdir()] == [ENTRY[::-1]]
    assert (target / ENTRY[::-1] / launcher.name).read_bytes() == b"elf"


def test_what_triton_does_not_write_is_left_out(tmp_path):
    source, target = folders(tmp_path)
    for name in ("kernel.json", "kernel.ptx", "kernel.py", "notes.txt", "notes"):
        (source / ENTRY / name).write_text("seen: batch 4")
    (source / "notes").mkdir()
    (source / "notes" / "kernel.json").write_text("seen: batch 4")
    assert triton_cache.copy_kernels(source, target) == 2
    assert {p.name for p in (target / ENTRY).iterdir()} == {"kernel.json", "kernel.ptx"}
    assert [p.name for p in target.iterdir()] == [ENTRY]


def compiled(folder, entry=ENTRY, nbytes=4):
    """A process's folder with one compiled kernel."""
    (folder / entry).mkdir(parents=True)
    (folder / entry / "kernel.cubin").write_bytes(b"x" * nbytes)
    return folder


def given(kernels, target, race, content):
    """How many files a process that starts now is given."""
    target.mkdir()
    assert kernels.give(race, content, target) == len(list(target.rglob("*.cubin")))
    return len(list(target.rglob("*.cubin")))


def test_runs_of_a_race_are_given_what_runs_of_the_same_sources_compiled(tmp_path):
    kernels = triton_cache.RaceKernels(tmp_path / "race")
    kernels.enter("r")
    kernels.keep("r", "a", compiled(tmp_path / "first"))
    kernels.enter("r")
    assert given(kernels, tmp_path / "second", "r", "a") == 1
    assert given(kernels, tmp_path / "other", "r", "b") == 0
    assert given(kernels, tmp_path / "without", "r", None) == 0


@pytest.mark.parametrize("entered", ["", "s"])
def test_a_trial_of_no_race_or_of_another_has_all_dropped_for_good(tmp_path, entered):
    kernels = triton_cache.RaceKernels(tmp_path / "race")
    kernels.enter("r")
    kernels.keep("r", "a", compiled(tmp_path / "first"))
    assert given(kernels, tmp_path / "judged", entered, "a") == 0, "before it has entered"
    kernels.enter(entered)
    assert not (tmp_path / "race").exists()
    kernels.keep("r", "a", compiled(tmp_path / "late"))
    assert not (tmp_path / "race").exists(), "an end that comes late"
    kernels.enter("r")
    assert given(kernels, tmp_path / "again", "r", "a") == 0


def test_kernels_that_are_being_kept_as_the_race_ends_are_dropped_with_it(tmp_path, monkeypatch):
    kernels = triton_cache.RaceKernels(tmp_path / "race")
    kernels.enter("r")
    copying, entering = threading.Event(), threading.Event()

    def slow(folder, *arguments, make=Path.mkdir, **options):
        copying.set()
        entering.wait(0.2)
        return make(folder, *arguments, **options)

    first = compiled(tmp_path / "first")
    monkeypatch.setattr(Path, "mkdir", slow)
    with ThreadPoolExecutor(2) as threads:
        kept = threads.submit(kernels.keep, "r", "a", first)
        copying.wait()
        entered = threads.submit(kernels.enter, "")
        entered.add_done_callback(lambda _: entering.set())
        kept.result()
        entered.result()
    assert not (tmp_path / "race").exists()


def test_the_file_by_which_an_entry_counts_as_whole_comes_last(tmp_path, monkeypatch):
    """A later run may be given what an earlier one is still giving away."""
    source, target = folders(tmp_path)
    for name in ("__grp__a.json", "a.json", "__grp__b.json", "b.cubin", "a.ptx"):
        (source / ENTRY / name).write_text("{}")
    placed = []

    def replace(draft, name, place=os.replace, **at):
        placed.append(name)
        place(draft, name, **at)

    monkeypatch.setattr(os, "replace", replace)
    assert triton_cache.copy_kernels(source, target) == 5
    assert sorted(placed[-2:]) == ["__grp__a.json", "__grp__b.json"]


def test_a_trial_of_no_race_leaves_nothing_behind(tmp_path):
    kernels = triton_cache.RaceKernels(tmp_path / "race")
    kernels.enter("")
    kernels.keep("", "a", compiled(tmp_path / "first"))
    assert not (tmp_path / "race").exists()
    assert given(kernels, tmp_path / "second", "", "a") == 0


@pytest.mark.parametrize("at_once", [False, True])
def test_a_race_keeps_no_more_than_so_many_bytes(tmp_path, monkeypatch, at_once):
    """Whoever ends at once with others, too: variants are compiled by the dozen."""
    monkeypatch.setattr(triton_cache, "MOST_RACE_BYTES", 100_000)
    kernels = triton_cache.RaceKernels(tmp_path / "race")
    kernels.enter("r")
    folders = [compiled(tmp_path / str(number), nbytes=60_000) for number in range(8)]
    with ThreadPoolExecutor(8 if at_once else 1) as threads:
        list(threads.map(lambda folder: kernels.keep("r", folder.name, folder), folders))
    assert sum(1 for _ in (tmp_path / "race").rglob("*.cubin")) == 1


def test_a_race_keeps_no_more_empty_files_than_a_disk_has_place_for(tmp_path, monkeypatch):
    monkeypatch.setattr(triton_cache, "MOST_RACE_BYTES", 3 * triton_cache.LEAST_BYTES)
    kernels = triton_cache.RaceKernels(tmp_path / "race")
    kernels.enter("r")
    for content in "abcd":
        kernels.keep("r", content, compiled(tmp_path / content, nbytes=0))
    assert sum(1 for _ in (tmp_path / "race").rglob("*.cubin")) == 2


LAUNCH = {"hash": "1", "name": "first", "num_warps": 4, "num_stages": 1, "shared": 0}


def coded(folder, code=None, entry=ENTRY, **launch):
    """A cache with one compiled kernel, and what Triton notes of it."""
    (folder / entry).mkdir(parents=True, exist_ok=True)
    (folder / entry / "first.cubin").write_bytes(make_cubin() if code is None else code)
    (folder / entry / "first.json").write_text(json.dumps(LAUNCH | launch))
    return folder


def test_machine_code_is_told_whatever_compilers_were_asked_for_and_wherever_it_lies(tmp_path):
    code = triton_cache.machine_code(coded(tmp_path / "a"))
    again = coded(tmp_path / "b", entry="A" * 52, num_stages=3, maxnreg=64, hash="2")
    assert code and triton_cache.machine_code(again) == code
    assert triton_cache.machine_code(coded(tmp_path / "c", num_warps=8)) not in (code, "")
    other = make_cubin(("second",))
    assert triton_cache.machine_code(coded(tmp_path / "d", other)) not in (code, "")
    two = coded(coded(tmp_path / "e"), other, entry="A" * 52)
    assert triton_cache.machine_code(two) not in (code, "")
    turned = coded(coded(tmp_path / "f", other), entry="A" * 52)
    assert triton_cache.machine_code(turned) == triton_cache.machine_code(two), "in any order"
    named = coded(coded(tmp_path / "g"), other, entry="of-its-own")
    assert triton_cache.machine_code(named) == code, "a folder that Triton does not name so"
    assert triton_cache.machine_code(two, coded(tmp_path / "seed", other, entry="A" * 52)) == code


@pytest.mark.parametrize(
    "wrong", ["no cubin", "no notes", "no json", "a list", "long notes", "a link", "a pipe"]
)
def test_of_what_is_no_code_nothing_is_told(tmp_path, wrong):
    entry = coded(tmp_path / "a") / ENTRY
    cubin, notes = entry / "first.cubin", entry / "first.json"
    match wrong:
        case "no cubin":
            cubin.write_bytes(b"code")
        case "no notes":
            notes.unlink()
        case "no json":
            notes.write_text("{")
        case "a list":
            notes.write_text("[]")
        case "long notes":
            notes.write_text(json.dumps(LAUNCH | {"name": "x" * triton_cache.MOST_NOTES_BYTES}))
        case "a link":
            notes.rename(tmp_path / "notes")
            notes.symlink_to(tmp_path / "notes")
        case _:
            cubin.unlink()
            os.mkfifo(cubin)
    assert triton_cache.machine_code(tmp_path / "a") == ""


def test_of_an_empty_cache_and_of_none_nothing_is_told(tmp_path):
    (tmp_path / "a").mkdir()
    assert triton_cache.machine_code(tmp_path / "a") == ""
    assert triton_cache.machine_code(tmp_path / "b") == ""
