"""Plans that say where, and changes that stay there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.archive.search.anchors import check_change, find_regions

PLAN = """import triton

def kernel():
    # <<<IMPROVE BEGIN>>> load four elements at once
    a = load(1)
    # <<<IMPROVE END>>>
    return a
"""


def test_a_change_inside_its_region_is_fine():
    child = PLAN.replace("    a = load(1)\n", "    a = load(4)\n    b = 2\n")
    report = check_change({"k.py": PLAN}, {"k.py": child})
    assert report.ok and report.regions[0].begin == 4 and report.regions[0].end == 6


def test_anchors_may_be_gone_from_the_child():
    child = "import triton\n\ndef kernel():\n    a = load(4)\n    return a\n"
    assert check_change({"k.py": PLAN}, {"k.py": child}).ok


def test_a_change_outside_is_reported_with_its_line():
    child = PLAN.replace("return a", "return a + 1")
    report = check_change({"k.py": PLAN}, {"k.py": child})
    assert [(p.line, "return a" in p.words) for p in report.problems] == [(7, True)]


def test_a_line_added_outside_is_reported():
    report = check_change({"k.py": PLAN}, {"k.py": "import torch\n" + PLAN})
    assert not report.ok and "added outside: import torch" in report.problems[0].words


def test_new_and_removed_files_are_reported():
    report = check_change({"k.py": PLAN, "a.py": "x\n"}, {"k.py": PLAN, "b.py": "x\n"})
    assert sorted(p.path for p in report.problems) == ["a.py", "b.py"]


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("k.py", "x = '<<<IMPROVE BEGIN>>>'\n", "comment line"),
        ("k.py", "// <<<IMPROVE BEGIN>>>\n", "comment line"),
        ("k.cu", "# <<<IMPROVE BEGIN>>>\n", "comment line"),
        ("k.py", "# <<<IMPROVE END>>>\n", "nothing was begun"),
        ("k.py", "# <<<IMPROVE BEGIN>>>\n", "no end"),
        ("k.py", "# <<<IMPROVE BEGIN>>>\n# <<<IMPROVE BEGIN>>>\n# <<<IMPROVE END>>>", "still open"),
        ("k.py", "# <<<IMPROVE BEGIN>>> <<<IMPROVE END>>>", "one line"),
        ("k.bin", "# <<<IMPROVE BEGIN>>>\n", "a language we know"),
    ],
)
def test_a_malformed_anchor_is_named(path, text, words):
    _, problems = find_regions(path, text)
    assert words in problems[0].words


def test_c_comments_of_both_kinds_hold_anchors():
    text = "// <<<IMPROVE BEGIN>>>\nint a;\n/* <<<IMPROVE END>>> */\n"
    regions, problems = find_regions("k.cu", text)
    assert len(regions) == 1 and not problems


def test_a_plan_without_anchors_is_not_ok():
    assert not check_change({"k.py": "x\n"}, {"k.py": "x\n"}).ok


lines = st.lists(st.sampled_from(["a", "b", "", "c = 1"]), max_size=8)


@given(lines, lines, lines, lines)
def test_any_content_of_the_region_is_allowed_and_any_other_change_is_not(head, old, new, tail):
    anchored = ["# <<<IMPROVE BEGIN>>>", *old, "# <<<IMPROVE END>>>"]
    plan = "\n".join([*head, *anchored, *tail, "end"]) + "\n"
    child = "\n".join([*head, *new, *tail, "end"]) + "\n"
    assert check_change({"k.py": plan}, {"k.py": child}).ok
    changed = "\n".join([*head, *new, *tail, "end", "z"]) + "\n"
    assert not check_change({"k.py": plan}, {"k.py": changed}).ok
