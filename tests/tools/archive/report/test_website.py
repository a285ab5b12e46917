"""The static site, as files and in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_harness.tools.archive.promotion.events import promote, rollback
from kernel_harness.tools.archive.promotion.rules import decide
from kernel_harness.tools.archive.report import website as report
from kernel_harness.tools.archive.report.website import page_name, write_site
from kernel_harness.tools.schema.evaluation import Failure, Stage, Status
from kernel_harness.tools.schema.search.made_by import MadeBy
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.signing.keyring import Keyring

EVIL = "<script>document.title='owned'</script><img src=http://example.com/x>"
HIDING = "def run(x, y):\n    y.copy_(x)  # \u202e return \x1b[2J\n"


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory, request):
    """One archive for all tests of this file."""
    from kernel_harness.tools.archive.store.archive import Archive

    bench_type = request.getfixturevalue("bench_class")
    root = tmp_path_factory.mktemp("report") / "archive"
    archive = Archive(root, Keyring(Settings().signing_key, root))
    yield bench_type(archive)
    archive.close()


@pytest.fixture(scope="module")
def site(module_bench, tmp_path_factory):
    """A site with a root, wins, a crossover, failures, a promotion and hostile words."""
    bench, archive = module_bench, module_bench.archive
    root = bench.add(latency_us=10.0, technique=["plain"])
    a = bench.add(latency_us=8.0, parents=[root.candidate_id], technique=["split-k"])
    said = MadeBy(client="codex", client_version="1", model="gpt-9", skills={"write-triton": "ab"})
    b = bench.add(
        made_by=said,
        latency_us=9.0,
        parents=[root.candidate_id],
        profiles={"ncu.json": b'{"a": 1}'},
    )
    merged = bench.add(latency_us=7.0, parents=[a.candidate_id, b.candidate_id])
    failure = Failure(stage=Stage.COMPILE, kind="error", message=EVIL, remedy="Stop.", excerpt=EVIL)
    bad = bench.add(
        status=Status.COMPILE_ERROR,
        parents=[a.candidate_id],
        failure=failure,
        hypothesis=EVIL,
        lesson=EVIL,
        name=EVIL,
        technique=[EVIL],
        source=HIDING,
    )
    bench.add(status=Status.TIMEOUT, technique=["persistent"])
    bench.add(definition="a b/c", gpu=None)
    named = bench.add(definition="gdn_decode_qk4_v8_d128_k_last_and_a_longer_name_than_any")
    node = archive.node(merged.candidate_id)
    decision = decide(node, [archive.get(merged.candidate_id).evaluation])
    promote(archive, type(decision)(**{**vars(decision), "promoted": True}), [])
    out = tmp_path_factory.mktemp("site")
    index = write_site(archive, out)
    return out, index, {"root": root, "a": a, "b": b, "merged": merged, "bad": bad, "named": named}


def test_boards_and_pages_say_who_made_a_candidate(site):
    out, index, nodes = site
    assert "codex 1 / gpt-9" in index.read_text("utf-8")
    page = (out / "candidates" / f"{nodes['b'].candidate_id}.html").read_text("utf-8")
    assert "codex 1 / gpt-9; read write-triton <code>ab</code>" in page
    other = (out / "candidates" / f"{nodes['root'].candidate_id}.html").read_text("utf-8")
    assert "not stated" in other


class Links(HTMLParser):
    """Collects every address a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v or "" for k, v in attrs if k in ("href", "src", "xlink:href")]


def pages(out: Path) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in out.rglob("*.html")}


def test_every_link_leads_to_a_page_of_the_site_and_none_outside(site):
    out, _, _ = site
    assert len(list((out / "candidates").iterdir())) == 8
    for path, text in pages(out).items():
        parser = Links()
        parser.feed(text)
        for link in parser.found:
            if link.startswith("#"):
                assert f'id="{link[1:]}"' in text, (path.name, link)
            if link.startswith(("#", "data:")):
                continue
            target = (path.parent / link.split("#")[0]).resolve()
            assert target.is_file() and out.resolve() in target.parents, (path.name, link)


def test_hostile_words_are_text_and_pages_forbid_requests(site):
    out, _, ids = site
    for text in pages(out).values():
        assert "<script>document" not in text and "<img" not in text
        assert "default-src 'none'" in text
    shown = (out / "candidates" / f"{ids['bad'].candidate_id}.html").read_text()
    assert "&lt;script&gt;document" in shown


def test_what_reorders_or_hides_code_shows_in_sources_and_changes(site):
    out, _, ids = site
    for text in pages(out).values():
        assert all(c.isprintable() or c in "\n\t" for c in text)
    shown = (out / "candidates" / f"{ids['bad'].candidate_id}.html").read_text()
    assert shown.count(r"# \u202e return \x1b[2J") == 2


def test_the_index_ranks_by_latency_and_marks_the_promoted(site):
    _, index, ids = site
    text = index.read_text(encoding="utf-8")
    merged, root = ids["merged"].candidate_id, ids["root"].candidate_id
    assert text.index(merged) < text.index(root) and "★ promoted" in text
    assert "★ promoted, on claimed times: promote_candidate verifies it again" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(58.3, "58.30"), (7.0, "7.000"), (1234.4, "1234"), (123456.7, "123457"), (0.5, "0.5000")],
)
def test_figures_of_a_column_keep_their_digits(value, shown):
    assert report.figures()["us"](value) == shown


def test_an_operators_page_has_trajectory_tree_and_failures(site):
    out, _, ids = site
    text = (out / "operators" / "scale_n64.html").read_text(encoding="utf-8")
    assert 'class="plot"' in text and "baseline" in text
    assert re.search(r'<ul class="tree">.*' + ids["merged"].candidate_id, text, re.DOTALL)
    assert 'data-status="TIMEOUT"' in text


def test_an_operators_board_has_baselines_records_and_three_courses(site):
    out, _, _ = site
    text = (out / "operators" / "scale_n64.html").read_text(encoding="utf-8")
    assert "× plain" in text and re.search(r'<tr class="other">.*plain.*baseline', text)
    assert "Record holders on H200" in text
    for course in ("over candidates", "over gpu seconds", "over wall time"):
        assert course in text
    assert text.count('class="plot"') == 3


def test_a_candidates_page_has_verdict_table_diff_profile_and_lineage(site):
    out, _, ids = site
    text = (out / "candidates" / f"{ids['merged'].candidate_id}.html").read_text(encoding="utf-8")
    for words in ("m=64", "Latency against floor", "speed of light", '<span class="add">+'):
        assert words in text
    assert "Times are claimed: it was timed before times could be sealed." in text
    assert ids["a"].candidate_id in text
    assert "promoted/scale_n64/H200/1" in text.replace("<wbr>", "")


def test_a_site_is_written_anew_after_a_rollback(site, module_bench, tmp_path):
    rollback(module_bench.archive, "scale_n64", "H200", "For a test.")
    text = write_site(module_bench.archive, tmp_path).read_text(encoding="utf-8")
    assert "★ promoted" not in text and "For a test." in text


@given(st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6))
@example("a b", "a_20b")
@example("a b", "a~20b")
def test_no_two_operators_share_a_page(one, other):
    assert (page_name(one) == page_name(other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9_.+~-]+", page_name(one))


def test_an_empty_archive_has_a_page_that_says_so(archive, tmp_path):
    text = write_site(archive, tmp_path / "site").read_text(encoding="utf-8")
    assert "Nothing was archived yet" in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def rendered(page: Path, *options: str) -> str:
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", *options]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60
    )
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_filters_failures_and_runs_no_foreign_script(site):
    out, _, _ = site
    text = rendered(out / "operators" / "scale_n64.html")
    outputs = re.findall(r"<output[^>]*>([^<]*)</output>", text)
    assert outputs == ["2 of 2", "6 of 6"]
    assert "owned" not in re.findall(r"<title>([^<]*)</title>", text)[0]


PROBE = """
const clipped = [...document.querySelectorAll("body, main, .wide")]
  .filter((box) => box.scrollWidth > box.clientWidth)
  .map((box) => box.querySelector("table")?.textContent.trim().slice(0, 60) ?? box.tagName);
parent.postMessage(JSON.stringify(clipped), "*");
"""


def clipped(text: str, width: int, folder: Path) -> list[str]:
    """The boxes of a page that are wider than they may be on a screen of that width.

    In a frame, for a browser's own window has a least width.
    """
    shown = escape(text.replace("</body>", f"<script>{PROBE}</script></body>"))
    page = folder / "frame.html"
    listen = "onmessage = (said) => { document.title = said.data; }"
    page.write_text(
        f"<title>nothing</title><script>{listen}</script>"
        f'<iframe srcdoc="{shown}" style="width:{width}px;height:900px;border:0"></iframe>'
    )
    size = f"--window-size={max(width, 600)},900"
    titles = re.findall(r"<title>([^<]*)</title>", rendered(page, size))
    return json.loads(unescape(titles[0]))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_no_column_is_clipped(site, tmp_path, width):
    out, _, ids = site
    for name in (
        "index.html",
        "operators/scale_n64.html",
        f"candidates/{ids['bad'].candidate_id}.html",
        f"candidates/{ids['merged'].candidate_id}.html",
        f"candidates/{ids['named'].candidate_id}.html",
    ):
        assert clipped((out / name).read_text(encoding="utf-8"), width, tmp_path) == [], name


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_clipped_column_would_be_seen(site, tmp_path, width):
    """A cell that may not be broken, as the columns that once stood outside the screen."""
    _, index, _ = site
    wide = f'<td><div style="width:{width}px">wide</div></td></tr>'
    text = index.read_text(encoding="utf-8").replace("</tr>\n</tbody>", f"{wide}\n</tbody>", 1)
    assert clipped(text, width, tmp_path)
