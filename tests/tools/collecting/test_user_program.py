"""A program is run as if by itself, and what it is not is said in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_harness.tools.collecting.user_program import run_to_end, stand_in
from kernel_harness.tools.errors import RequestError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a program that does what its first word says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked/__init__.py").touch()
    (tmp_path / "asked/bench.py").write_text(
        "import sys\n"
        "def act(word):\n"
        "    if word == 'fail':\n"
        "        import asked.gone\n"
        "    sys.exit(word)\n"
        "act(sys.argv[-1])\n",
        "utf-8",
    )
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def run(*program: str) -> int:
    stand_in(program)
    return run_to_end(program)


FILE, MODULE = ("asked/bench.py",), ("-m", "asked.bench")


@pytest.mark.parametrize("program", [FILE, MODULE], ids=["file", "module"])
def test_what_a_program_says_at_its_end_is_its_status(program, capsys):
    assert run(*program, "the end") == 1
    assert capsys.readouterr().err == "the end\n"


@pytest.mark.parametrize("program", [FILE, MODULE], ids=["file", "module"])
def test_an_exception_is_shown_without_frames_of_ours(program, capsys):
    assert run(*program, "fail") == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n")
    assert said.splitlines()[1].strip().startswith('File "')
    assert "bench.py" in said.splitlines()[1] and "user_program" not in said
    assert "ModuleNotFoundError: No module named 'asked" in said.splitlines()[-1]


def test_a_file_that_is_no_python_is_shown_by_its_line(folder, capsys):
    (folder / "broken.py").write_text("def f(:\n", "utf-8")
    assert run("broken.py") == 1
    said = capsys.readouterr().err
    assert "broken.py" in said and "SyntaxError" in said and "user_program" not in said


@pytest.mark.parametrize(
    "program",
    [("misspelt.py",), ("-m", "misspelt"), ("-m", "misspelt.bench"), ("-m", "asked.misspelt")],
    ids=" ".join,
)
def test_a_program_that_is_not_there_is_named(program):
    with pytest.raises(RequestError, match=f"There is no program {program[-1]}"):
        run(*program)


def test_a_package_that_is_no_program_is_said_to_be_one():
    with pytest.raises(RequestError, match="is a package and cannot be directly executed"):
        run("-m", "asked")


@pytest.mark.parametrize("program", [("misspelt.py",), ("-m", "misspelt")], ids=" ".join)
def test_a_program_that_is_not_there_is_named_before_anything_is_run(program):
    with pytest.raises(RequestError, match="There is no program misspelt"):
        stand_in(program)
