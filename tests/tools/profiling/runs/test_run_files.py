"""Files reach a run's folder by a link that cannot be written, or by a copy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_harness.tools.messages.profiler import ReplayRun, read_message
from kernel_harness.tools.profiling.runs.run_files import (
    RecordedWorkload,
    place_file,
    replay_requests,
)

from ..profiles import recorded_call


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder whose parents let everyone pass, as the judge's is; a test's own do not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def test_a_file_that_others_cannot_read_is_copied(tmp_path):
    source = tmp_path / "closed"
    source.write_bytes(b"abc")
    source.chmod(0o600)
    place_file(source, tmp_path / "copy")
    assert not (tmp_path / "copy").is_symlink()
    assert (tmp_path / "copy").read_bytes() == b"abc"


def test_a_file_that_everyone_can_read_is_linked(open_to_all, tmp_path):
    source = open_to_all / "inputs"
    source.write_bytes(b"abc")
    source.chmod(0o644)
    place_file(source, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()


def test_a_replay_finds_all_its_files_beside_its_request(open_to_all, tmp_path):
    source, folder = open_to_all / "source", tmp_path / "run"
    source.mkdir(0o755)
    folder.mkdir()
    files = [recorded_call(source, number) for number in (0, 1)]
    workloads = [RecordedWorkload(f.stem, {}, f, read_message(ReplayRun, f)) for f in files]
    names = replay_requests(folder, workloads)
    assert names == [str(folder / f.name) for f in files]
    assert [read_message(ReplayRun, Path(name)) for name in names] == [w.run for w in workloads]
    for run in (workload.run for workload in workloads):
        assert (folder / run.blobs_file).read_bytes() == (source / run.blobs_file).read_bytes()
        assert (folder / run.inputs_file).read_bytes() == b"inputs"
