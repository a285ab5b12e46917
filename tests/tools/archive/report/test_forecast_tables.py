"""Plans and calibrations at a terminal and on the pages."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kernel_harness.tools.archive.report import forecast_tables, terminal
from kernel_harness.tools.archive.report.website import write_site
from kernel_harness.tools.archive.search.forecasts import forecast_report
from kernel_harness.tools.schema.search.made_by import MadeBy
from kernel_harness.tools.schema.search.plan import SearchPlan

EVIL = "<script>x</script> [bold]wide tiles[/bold]"


@pytest.fixture
def searched(bench, archive):
    """A plan that missed, and one that nobody tried."""
    parent = bench.add(latency_us=10.0).candidate_id
    for words, gain in (("Fewer bytes.", 1.5), (EVIL, 1.1)):
        record = SearchPlan(
            definition="scale_n64",
            parent=parent,
            hypothesis=words,
            technique=["tma"],
            expected_gain=gain,
            confidence=0.7,
            spec={},
            made_by=MadeBy(client="codex", model="gpt-9"),
        )
        plan = archive.plans.write(record, {"kernel.py": ""})
        if gain == 1.5:
            bench.add(plan=plan.plan_id, latency_us=8.0, at="2099-01-01T00:00:00+00:00")
    return archive


@pytest.mark.parametrize("width", [60, 80, 200])
def test_plans_are_listed_with_what_came_of_them_at_any_width(searched, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(forecast_tables.plans(forecast_report(searched)))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    said = " ".join(text.split())
    for plan in searched.plans.of():
        assert plan.plan_id in text
    assert "missed" in said and "1.5x 70%" in said and "1.25x" in said and "open" in said
    assert "codex / gpt-9" in said and "tma" in said and "0.49" in said
    assert "[bold]wide tiles[/bold]" in said


def test_show_names_the_plan_with_its_forecast(searched):
    (node,) = (node for node in searched.iter() if node.plan)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal.show(searched, node.candidate_id))
    assert f"{node.plan} (≥ 1.5x with 70 %)" in console.export_text()


def test_an_archive_without_plans_says_how_to_make_one(archive):
    console = Console(record=True, file=io.StringIO())
    console.print(forecast_tables.plans(forecast_report(archive)))
    assert "record_plan" in console.export_text()


def test_pages_have_plans_and_calibrations(searched, tmp_path):
    index = write_site(searched, tmp_path)
    (page,) = (tmp_path / "operators").glob("*.html")
    text = page.read_text("utf-8")
    assert "Fewer bytes." in text and "<script>x</script>" not in text
    assert "0.49" in text and "missed: 1.25x" in text
    pages = [p.read_text("utf-8") for p in (tmp_path / "candidates").glob("*.html")]
    assert sum("Fewer bytes. (≥ 1.5x with 70 %)" in page for page in pages) == 1
    assert "Forecasts" in index.read_text("utf-8")
