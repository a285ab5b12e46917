"""What a round's agents are told is written into their folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.agents.round_facts import write_private
from kernel_harness.tools.errors import RequestError


def test_a_link_of_an_agent_leads_no_file_out_of_its_folder(tmp_path: Path) -> None:
    """Gemini's settings lie in a folder of the working folder: it was linked to the user's own."""
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "settings.json").write_text("as it was")
    (work / ".gemini").symlink_to(outside)
    (work / "round.json").symlink_to(outside / "settings.json")
    for name in (".gemini/settings.json", "round.json"):
        write_private(work, name, b"told")
        assert (work / name).read_bytes() == b"told"
    assert not (work / ".gemini").is_symlink()
    assert (outside / "settings.json").read_text() == "as it was"


def test_what_stands_in_the_way_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "round.json" / "inside").mkdir(parents=True)
    (tmp_path / ".gemini").write_text("a file")
    for name in ("round.json", ".gemini/settings.json"):
        write_private(tmp_path, name, b"told")
        assert (tmp_path / name).read_bytes() == b"told"
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_costs_a_round_and_not_the_search(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        write_private(tmp_path / "file", "round.json", b"told")
