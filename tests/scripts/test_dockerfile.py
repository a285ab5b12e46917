"""The Dockerfile's steps, each run as far as a machine without Docker can: paths are moved into a
folder of the test, packages come from what is installed here, the system's are only looked up."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..test_wheel import round_of_the_loop

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("/source", "/build", "/wheels", "/opt", "/data", "/var")
"""Where the steps write."""


@dataclass(frozen=True)
class Step:
    """One instruction, and the stage that it belongs to."""

    word: str
    text: str
    stage: int


def steps() -> list[Step]:
    """The instructions in order; lines that end in a backslash go on."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found: list[Step] = []
    stage = -1
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        found.append(Step(word, rest.strip(), stage))
    return found


def words_of(step: Step) -> list[str]:
    """The words of a COPY without its options."""
    return [word for word in step.text.split() if not word.startswith("--")]


def is_sent(path: str) -> bool:
    """Whether `.dockerignore` lets a path of the checkout through; its last fitting line counts."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and line.lstrip("!") in ("*", path.partition("/")[0]):
            sent = line.startswith("!")
    return sent


def test_every_file_that_a_step_copies_is_there_and_is_sent_to_the_build():
    for step in steps():
        if step.word == "COPY" and "--from" not in step.text:
            *sources, target = words_of(step)
            assert target.startswith("/source")
            for source in sources:
                assert (ROOT / source).exists() and is_sent(source), source
    assert not is_sent(".venv") and not is_sent("archive") and not is_sent(".git")


def test_the_rooms_of_the_wheel_are_copied():
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    rooms = re.findall(r'"(\w+)"', text.partition("ROOMS =")[2].partition("\n")[0])
    copied = [words_of(step) for step in steps() if step.word == "COPY"]
    assert [[room, f"/source/{room}"] for room in rooms] == [w for w in copied if w[0] in rooms]
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first = copied[0]
    assert {described["readme"], *described["license-files"], "pyproject.toml"} < set(first)


def test_it_starts_the_command_of_the_wheel_as_a_server():
    last = {step.word: step.text for step in steps()}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (command,) = json.loads(last["ENTRYPOINT"])
    assert command in scripts["scripts"] and json.loads(last["CMD"]) == ["serve"]
    assert f"KERNEL_HARNESS_DATA_DIR={last['VOLUME']}" in last["ENV"].split()
    assert (
        "gpu" in scripts["optional-dependencies"]
        and "[gpu]" in ([step.text for step in steps() if step.word == "RUN"][-1])
    )


def test_stages_begin_with_one_image_of_the_cuda_release_whose_profiler_is_installed():
    (default,) = [step.text for step in steps() if step.word == "ARG"]
    release = re.search(r"nvidia/cuda:(\d+)\.(\d+)\.\d+-devel-", default)
    assert release is not None, "the compilers are in the devel images"
    assert {s.text.split()[0] for s in steps() if s.word == "FROM"} == {"${CUDA_IMAGE}"}
    installed = " ".join(step.text for step in steps() if "apt-get install" in step.text)
    assert f"cuda-nsight-compute-{release[1]}-{release[2]}" in installed.split()


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="apt is not here")
def test_packages_of_the_system_have_the_names_that_the_distribution_knows():
    wanted: set[str] = set()
    for step in steps():
        for part in step.text.split("&&"):
            if "apt-get install" in part:
                wanted |= {w for w in part.split()[2:] if not w.startswith("-")}
    distribution = sorted(name for name in wanted if not name.startswith("cuda-"))
    shown = subprocess.run(
        ["apt-cache", "policy", *distribution], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^(\S+):$", shown, re.MULTILINE))
    if not known:
        pytest.skip("apt has no lists of packages here")
    assert set(distribution) == known


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
def test_the_steps_make_a_server_that_a_client_goes_round_the_loop_with(tmp_path: Path):
    def moved(text: str) -> str:
        for folder in FOLDERS:
            text = re.sub(rf"(?<![\w/.}}]){folder}\b", f"{tmp_path}{folder}", text)
        return text

    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get",):  # the system's packages are those of this machine
        (tools / name).write_text("#!/bin/sh\nexit 0\n")
        (tools / name).chmod(0o755)
    (tools / "python3").symlink_to(sys.executable)
    environment = {
        "PATH": f"{tools}:{os.defpath}",
        # Dependencies are those that are installed here: nothing is fetched.
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    for step in steps():
        if step.word == "COPY" and "--from" not in step.text:
            *sources, target = words_of(step)
            copy(sources, Path(moved(target)))
        elif step.word == "RUN":
            subprocess.run(["sh", "-ec", moved(step.text)], env=environment, check=True)
            for made in tmp_path.glob("**/pyvenv.cfg"):
                see_what_is_installed(made.parent)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    command = tmp_path / "opt" / "kernel-harness" / "bin" / "kernel-harness"
    assert command.is_file() and wheel.name.startswith("kernel_harness-")
    (tmp_path / "data").mkdir()
    assert len(asyncio.run(round_of_the_loop(command, tmp_path / "data"))) > 20


def copy(sources: list[str], target: Path) -> None:
    """Copies as COPY does: the contents of a folder, or files into one."""
    ignored = shutil.ignore_patterns("__pycache__")
    for source in sources:
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, target, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def see_what_is_installed(environment: Path) -> None:
    """Has a new environment find the packages of the one that runs the tests, before its own."""
    (site,) = environment.glob("lib/*/site-packages")
    line = f"import sys; sys.path.insert(0, {sysconfig.get_path('purelib')!r})\n"
    (site / "dependencies.pth").write_text(line, encoding="utf-8")
