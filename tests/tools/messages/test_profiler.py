"""The files around a profiled run are plain data, capped, and never followed elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.messages.profiler import (
    LaunchOutcome,
    ProfileReply,
    read_message,
    write_message,
)


def test_a_message_reads_back_as_it_was_written(tmp_path):
    said = ProfileReply(stage="done", host_us=[1.5, 2.5], sm_count=132)
    write_message(said, tmp_path / "answer.json")
    assert read_message(ProfileReply, tmp_path / "answer.json") == said
    assert (tmp_path / "answer.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["", "{", "[]", '{"granted": 3}', '{"extra": 1}', "[" * 5000])
def test_what_is_no_message_is_refused(tmp_path, text):
    (tmp_path / "outcome.json").write_text(text)
    with pytest.raises(InfrastructureError):
        read_message(LaunchOutcome, tmp_path / "outcome.json")


def test_a_link_a_missing_file_and_a_long_one_are_refused(tmp_path):
    write_message(LaunchOutcome(granted=[], missing=[]), tmp_path / "real.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    for name, limit in (("link.json", 1000), ("none.json", 1000), ("real.json", 5)):
        with pytest.raises(InfrastructureError):
            read_message(LaunchOutcome, tmp_path / name, limit)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("wire") / "answer.json"
    path.write_bytes(data)
    with pytest.raises(InfrastructureError):
        read_message(ProfileReply, path)
