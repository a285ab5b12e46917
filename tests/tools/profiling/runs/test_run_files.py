"""Files reach a run's folder by a link that cannot be written, or by a copy."""

from __future__ import annotations

from kernel_harness.tools.messages.profiler import ReplayRun, read_message
from kernel_harness.tools.profiling.runs.run_files import (
    RecordedWorkload,
    place_file,
    replay_requests,
)

from ..profiles import recorded_call


def test_a_file_that_others_cannot_read_is_copied(tmp_path):
    source = tmp_path / "closed"
    source.write_bytes(b"abc")
    source.chmod(0o600)
    place_file(source, tmp_path / "copy")
    assert not (tmp_path / "copy").is_symlink()
    assert (tmp_path / "copy").read_bytes() == b"abc"


def test_a_replay_finds_all_its_files_beside_its_request(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    folder.mkdir()
    files = [recorded_call(source, number) for number in (0, 1)]
    workloads = [RecordedWorkload(f.stem, {}, f, read_message(ReplayRun, f)) for f in files]
    names = replay_requests(folder, workloads)
    assert names == [str(folder / f.name) for f in files]
    for run in (workload.run for workload in workloads):
        assert (folder / run.blobs_file).read_bytes() == (source / run.blobs_file).read_bytes()
        assert (folder / run.inputs_file).read_bytes() == b"inputs"
