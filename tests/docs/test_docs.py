"""Everything that people are told to type exists, and is typed by a test where it can be."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kernel_harness.server.cli import main as cli
from tests.folding import for_each

from . import test_pages, test_tutorial
from .fences import FENCE, NEEDS, ROOT, blocks, commands, named, pages, texts
from .transcript import require_transcript

PLACEHOLDER = re.compile("^…$")
NUMBER = "1"
each_page = for_each("page", pages(), ids=named)
whole_parser = functools.cache(lambda: cli.build_parser(whole=True))
"""Of all commands with all their options: it takes a tenth of a second to build."""


def understood(words: list[str]) -> bool:
    """Whether the command line accepts the words; they are not acted on."""
    name, *rest = (NUMBER if PLACEHOLDER.match(word) else word for word in words)
    try:
        whole_parser().parse_args([name, *rest])
    except SystemExit as end:
        return end.code == 0
    return True


@for_each("page", texts(), ids=named)
def test_every_command_is_one_that_the_command_line_understands(page):
    for _, *words in commands(page, "kernel-harness"):
        # `kernel-harness report` may speak of the command, without all that it asks for.
        if len(words) > 1:
            assert understood(words), words
        elif words and not PLACEHOLDER.match(words[0]):
            assert words[0] in {*cli.TOOL_COMMANDS, *house_commands()}, words


def house_commands() -> set[str]:
    """The names of all commands but the tools'."""
    choices = next(a.choices for a in cli.build_parser()._actions if isinstance(a.choices, dict))
    return set(choices)


@each_page
def test_every_block_to_be_typed_is_followed_by_a_test_or_says_what_it_needs(page):
    followed = Path(test_pages.__file__).read_text() + Path(test_tutorial.__file__).read_text()
    typed = [block for block in blocks(page) if block.language == "bash"]
    assert all(block.needs is None or block.needs in NEEDS for block in blocks(page))
    assert page.name in followed or all(block.needs for block in typed)


@each_page
def test_what_looks_like_a_command_stands_where_it_is_checked(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert not re.findall(r"^ {4}.*(?:kernel-harness|make|git) .*$", text, re.MULTILINE)
    for block in blocks(page):
        if block.language in ("", "text", "console"):
            assert not re.search(r"^(?:kernel-harness|make|claude|codex) ", block.body, re.M)


@each_page
def test_every_make_target_exists(page):
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words[1] for words in commands(page, "make") if len(words) > 1} <= targets


@each_page
def test_every_link_within_the_repository_leads_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for address in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / address).exists(), address


def test_every_page_of_the_guide_is_in_its_contents():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert listed == there


def test_every_command_is_in_the_reference():
    text = (ROOT / "docs/reference/cli.md").read_text()
    for name in {*cli.TOOL_COMMANDS, *house_commands()}:
        assert f"### `{name}`" in text


@pytest.mark.parametrize("page", ["reference/cli.md", "reference/candidate-toml.md", "settings.md"])
def test_everything_in_the_reference_is_explained(page):
    text = (ROOT / "docs" / page).read_text()
    assert not re.findall(r"^\| .*\|  \|$", text, re.MULTILINE)


def test_the_hooks_before_a_commit_run_what_is_installed():
    written = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    checked = (ROOT / "Makefile").read_text().split("\ncheck:")[1].split("\n\n")[0]
    entries = [hook["entry"] for repo in written["repos"] for hook in repo["hooks"]]
    programs = {Path(entry.split()[0]).name for entry in entries}
    assert programs >= {"ruff", "basedpyright", "lint-imports", "codespell"}
    assert all(program in checked for program in programs - {"python"})
    assert all(entry.startswith(".venv/bin/") for entry in entries)
    for entry in entries:
        for file in re.findall(r"\S+\.py", entry):
            assert (ROOT / file).is_file()


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
def test_the_tour_of_the_readme_is_what_the_demo_prints(tmp_path):
    command = [sys.executable, str(ROOT / "scripts/demo.py"), "--scope", "smoke"]
    found = subprocess.run(
        [*command, "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "9999", "KERNEL_HARNESS_DEVICE": "cpu"},  # noqa: TID251
    )
    assert found.returncode == 0, found.stdout + found.stderr
    require_transcript(found.stdout)
