"""The page on searches says what the records of a bundle say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from kernel_harness.tools.archive.promotion.events import promote
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.archive.store.transfer import write_bundle
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.measurement import TimeSource

from .conftest import Bench

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
OPERATOR = "scale_n64"


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import generate_searches  # pyright: ignore[reportMissingImports]

    return generate_searches


@pytest.fixture
def kernels(tmp_path: Path, bench: Bench) -> Path:
    """A folder of operators, one of them with a history of five trials, a promotion and a peer."""
    sealed = {"clock": TimeSource.SEALED}
    root = bench.add(name="root", latency_us=10.0, **sealed)
    parents = [root.candidate_id]
    wide = bench.add(
        name="wide", latency_us=8.0, parents=parents, hypothesis="Wider loads.", **sealed
    )
    bench.add(name="slow", latency_us=9.0, parents=parents, lesson="Loads | wait.", **sealed)
    bench.add(name="worse", latency_us=11.0, parents=parents, lesson="It spills.", **sealed)
    bench.add(name="wrong", status=Status.INCORRECT_NUMERICAL, lesson="The tail is left out.")
    bench.add(name="library", latency_us=16.0, technique=["peer"], **sealed)
    record = bench.archive.get(wide.candidate_id).evaluation
    decision = replace(decide(wide, [record, record]), promoted=True)
    promote(bench.archive, decision, [record])
    write_bundle(bench.archive, tmp_path / "kernels" / OPERATOR / "history.bundle")
    return tmp_path / "kernels"


def rows(page: str, title: str) -> list[list[str]]:
    """The cells of the table under a title."""
    part = page.split(f"### {title}\n", 1)[1].split("###", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_tells_jumps_peers_and_losses_apart(
    searches: ModuleType, kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["x", "--kernels", str(kernels), "--out", str(tmp_path)])
    assert searches.main() == 0
    page = (tmp_path / "searches.md").read_text()
    assert "5 candidates, 1 of them failed" in page
    faster = rows(page, "What made it faster")
    assert [row[:2] for row in faster] == [["root", "15"], ["wide", "12"]]
    full = rows(page, "On every workload")
    assert [row[:2] for row in full[:-1]] == [
        ["root", "15"],
        ["wide", "12"],
        ["slow", "13.5"],
        ["worse", "16.5"],
    ]
    assert full[-1][:2] == ["wide", "12, 12"]
    assert full[-1][2].startswith("promotion, sealed: 2 verifications of 2 workloads; plain took ")
    others = rows(page, "Peers, baselines and references")
    # The baseline of these trials was as fast as each candidate: the median of 12 to 24.
    assert [[*row[:2], row[4]] for row in others] == [
        ["library", "24", "2.00"],
        ["plain", "15", "1.25"],
    ]
    assert [row[1:3] for row in rows(page, "Fastest at each size")] == [["wide", "12"]]
    lost = rows(page, "What failed or was slower, and why")
    assert [row[0] for row in lost] == ["worse", "wrong"]
    assert lost[1][-1] == "The tail is left out."
    picture = (tmp_path / f"images/search-{OPERATOR}-H200.svg").read_text()
    assert picture.startswith("<svg") and "var(" not in picture


def test_times_on_inputs_that_do_not_rank_have_a_table_of_their_own(
    searches: ModuleType, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sealed = {"clock": TimeSource.SEALED}
    first = bench.add(name="first", latency_us=10.0, **sealed)
    usual = bench.archive.get(first.candidate_id).evaluation.evidence
    even = usual.model_copy(update={"checks": {"input_family": "even"}})
    bench.add(name="first", latency_us=4.0, evidence=even, **sealed)
    bench.add(name="library", latency_us=2.0, technique=["peer"], evidence=even, **sealed)
    write_bundle(bench.archive, tmp_path / "kernels" / OPERATOR / "history.bundle")
    out, kernels = tmp_path / "out", tmp_path / "kernels"
    monkeypatch.setattr(sys, "argv", ["x", "--kernels", str(kernels), "--out", str(out)])
    assert searches.main() == 0
    page = (out / "searches.md").read_text()
    assert "1 candidates, 0 of them failed" in page
    assert rows(page, "On inputs that do not rank") == [
        ["even", "library", "3"],
        ["even", "first", "6"],
    ]
    assert rows(page, "What made it faster")[0][:2] == ["first", "15"]
    # Its one trial on the inputs that rank, not the median with the others.
    assert rows(page, "Peers, baselines and references") == [
        ["plain", "15", "–", "–", "1.00", "baseline"]
    ]
    assert rows(page, "What failed or was slower, and why") == []


def test_nothing_is_written_without_a_history(
    searches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["x", "--kernels", str(tmp_path), "--out", str(out)])
    assert searches.main() == 1
    assert not out.exists()


def test_a_cell_cannot_end_its_row(searches: ModuleType):
    assert searches.table(("a",), [("x | y\nz <b>",)]).splitlines()[2] == "| x \\| y z &lt;b> |"


def test_candidates_whose_signature_does_not_count_make_no_page(
    searches: ModuleType, kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KERNEL_HARNESS_SIGNING_KEY", str(tmp_path / "another" / "signing_key"))
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["x", "--kernels", str(kernels), "--out", str(out)])
    assert searches.main() == 1
    assert not out.exists()


@pytest.mark.long
def test_the_page_in_the_guide_is_what_the_shipped_histories_give(
    searches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path)])
    assert searches.main() == 0
    docs = SCRIPTS.parent / "docs"
    assert (tmp_path / "searches.md").read_text() == (docs / "searches.md").read_text()
