"""Every command on a real archive, in terminals of several widths and piped."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_harness.server.cli import main as cli
from kernel_harness.server.cli.commands import wrapped
from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings

KERNELS = Path(__file__).resolve().parents[3] / "kernels"
OPERATOR = "gdn_prefill_qk4_v8_d128_k_last"
FAILED, CHILD = "99ed8a21713b", "913b66c8028b"
ID = re.compile(r"[0-9a-f]{12}")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = {
    "log": ["log", OPERATOR],
    "best": ["best"],
    "show": ["show", FAILED],
    "diff": ["diff", CHILD],
    "search": ["search", "gdn_prefill", "--query", "warp specialised tma"],
    "search failed": ["search", "gdn_decode", "--status", "failed"],
    "select": ["select", "gdn_prefill", "--seed", "1"],
    "context": ["context", "plan", CHILD],
    "list": ["list"],
    "sample": ["sample", "gdn_prefill"],
    "plans": ["plans"],
    "trust": ["trust"],
    "check": ["check"],
}
UNBROKEN = ("diff",)
"""Lines of sources stay whole: a terminal shows what goes beyond its edge below."""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a shipped history."""
    folder = tmp_path_factory.mktemp("widths") / "data"
    harness = Harness.open(load_settings({"data_dir": str(folder), "device": "cpu"}))
    fetch(harness.archive, str(KERNELS / OPERATOR / "history.bundle"))
    harness.archive.close()
    return folder


@pytest.fixture
def shown(data: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command at a width and returns what it printed, colours aside."""
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", str(data))

    def run(command: list[str], width: int, terminal: bool) -> str:
        stream = Terminal() if terminal else io.StringIO()
        with monkeypatch.context() as patched:
            patched.setenv("COLUMNS", str(width))
            patched.setenv("TERM", "xterm-256color")
            patched.setattr(sys, "stdout", stream)
            assert cli.run(command) == 0
        return ESCAPE.sub("", stream.getvalue())

    return run


@pytest.fixture(scope="module")
def wide() -> dict[str, str]:
    """What commands have printed where there was room for everything."""
    return {}


@pytest.fixture
def check(shown, wide: dict[str, str]):
    """Compares what a command prints at a width with what it prints where there is room."""

    def checked(name: str, width: int, terminal: bool) -> None:
        if name not in wide:
            wide[name] = shown(COMMANDS[name], 400, False)
        compare(name, shown(COMMANDS[name], width, terminal), wide[name], width, terminal)

    return checked


def compare(name: str, text: str, wide: str, width: int, terminal: bool) -> None:
    assert "characters left out" not in text
    assert set(ID.findall(text)) == set(ID.findall(wide)), "an id was broken or is missing"
    if terminal and name not in UNBROKEN:
        long = [line for line in text.splitlines() if len(line) > width]
        assert all(len(line.split()) == 1 for line in long), long
    words = re.sub(r"[\s|*/\\]+", "", text)
    if name in ("search", "select", "list", "check", "log", *UNBROKEN):
        assert words == re.sub(r"[\s|*/\\]+", "", wide), "other words than elsewhere"


@pytest.mark.parametrize(("width", "terminal"), [(60, True), (80, False)])
@pytest.mark.parametrize("name", ["log", "show", "diff"])
def test_a_command_fits_a_narrow_terminal_and_a_pipe(check, name, width, terminal) -> None:
    check(name, width, terminal)


@pytest.mark.long
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [50, 60, 80, 120, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_fits_every_width(check, name, width, terminal) -> None:
    check(name, width, terminal)


@pytest.mark.parametrize("name", ["best", "show"])
def test_tables_fit_80_columns_when_piped(shown, name) -> None:
    assert max(map(len, shown(COMMANDS[name], 80, False).splitlines())) <= 80


def test_a_piped_diff_is_a_patch(shown, data: Path, tmp_path: Path) -> None:
    patch = tmp_path / "change.patch"
    patch.write_text(shown(COMMANDS["diff"], 60, False))
    harness = Harness.open(load_settings({"data_dir": str(data), "device": "cpu"}))
    before, after = (dict(harness.archive.get(name).sources) for name in (FAILED, CHILD))
    harness.archive.close()
    for path, text in before.items():
        place = tmp_path / "sources" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=True)
    assert {p: (tmp_path / "sources" / p).read_text() for p in after} == after


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("show", "option"),
        ("show", "environment"),
        pytest.param("report", "option", marks=pytest.mark.long),
    ],
)
def test_a_relative_data_folder_is_of_the_current_folder(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name, given
) -> None:
    command = ["report", "--out", str(data.parent / "site")] if name == "report" else COMMANDS[name]
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    monkeypatch.chdir(data.parent)
    relative = os.path.relpath(data)
    if given == "environment":
        monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", relative)
    options = ["--data-dir", relative] if given == "option" else []
    assert cli.run([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert (FAILED in printed) or "index.html" in printed


def test_an_argument_that_is_called_as_a_setting_is_the_tools(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERNEL_HARNESS_DATA_DIR", str(data))
    monkeypatch.setenv("KERNEL_HARNESS_DEVICE", "cpu")
    assert cli.run(["floors", "ev-20260101-000000-00000000", "--device", "B200"]) == 2
    assert "ev-20260101-000000-00000000" in capsys.readouterr().err


def test_rows_hang_below_their_last_column_and_sentences_two_blanks_in() -> None:
    row = "4f2a9c01d3be  faster  split-k, vectorised loads, swizzled banks"
    assert wrapped(row, 46).splitlines() == [
        "4f2a9c01d3be  faster  split-k, vectorised",
        "                      loads, swizzled banks",
    ]
    assert wrapped("one two three " * 4, 40).splitlines()[1].startswith("  ")
    assert wrapped("x" * 90, 40) == "x" * 90 and wrapped("short", 40) == "short"
