"""Pictures of a search for the guide: what is drawn is what the search showed."""

from __future__ import annotations

import html
from pathlib import Path
from types import ModuleType

import pytest

from tests.server.cli.searching.test_reports import written

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import generate_search_views  # pyright: ignore[reportMissingImports]

    return generate_search_views


def text_of(svg: Path) -> str:
    return html.unescape(svg.read_text()).replace("\xa0", " ")


def test_a_recorded_search_is_drawn_in_the_midst_of_a_round_and_as_its_page(
    views: ModuleType, tmp_path: Path
):
    written(tmp_path, "s20260101-000000-aaaaaa", "claude", 2.0)
    assert views.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    terminal = text_of(tmp_path / "out" / views.TERMINAL)
    assert "s20260101-000000-aaaaaa" in terminal and "round 1: claude as single" in terminal
    assert "font-face" not in terminal and "https://cdn" not in terminal, (
        "something would be loaded from elsewhere"
    )
    assert "kept (1 faster)" in (tmp_path / "out" / views.PAGE).read_text()
    assert views.main([str(tmp_path), "--round", "7", "--out", str(tmp_path)]) == 2


def test_who_was_started_is_named_and_not_the_part_that_the_policy_asked_for(
    views: ModuleType, tmp_path: Path
):
    written(tmp_path, "s20260101-000000-aaaaaa", "tuner", 2.0, role="plan")
    assert views.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    terminal = text_of(tmp_path / "out" / views.TERMINAL)
    assert "round 1: tuner as single" in terminal and "as plan" not in terminal


def test_the_end_of_a_transcript_is_drawn(views: ModuleType, tmp_path: Path):
    lines = ["s20260101-000000-aaaaaa  scale_n64", "Best: 2 us.", "Ended: 3 rounds were asked for."]
    file = tmp_path / "log"
    file.write_text("\n".join(["round 1: kept", *lines, "Page: /somewhere/index.html"]))
    assert views.main(["--transcript", str(file), "--out", str(tmp_path)]) == 0
    terminal = text_of(tmp_path / views.TERMINAL)
    assert all(line in terminal for line in lines) and "somewhere" not in terminal
    file.write_text("nothing")
    assert views.main(["--transcript", str(file), "--out", str(tmp_path)]) == 2
