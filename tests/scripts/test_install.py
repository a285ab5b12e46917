"""`scripts/install.sh` on machines as people have them, with a stand-in for Python and pip."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/bash
# Stands in for python3: makes a venv whose python only writes down what pip was asked.
[ "$1 $2" = "-m venv" ] || exec {real} "$@"
folder="${{@: -1}}"
case " $* " in *" --clear "*) rm -rf "$folder";; esac
mkdir -p "$folder/bin" && touch "$folder/pyvenv.cfg" && cp "{here}/venv-python" "$folder/bin/python"
[ -z "$NO_ENSUREPIP" ] || {{ echo "ensurepip is not available" >&2; exit 1; }}
touch "$folder/has-pip"
"""
VENV_PYTHON = """#!/bin/bash
if [ "$1" = -c ]; then
    case "$2" in *kernel_harness*) [ -z "$PUT_ELSEWHERE$PIP_NO_DEPS$PYTHONPATH" ]; exit;; esac
    exit 0
fi
[ -e "$(dirname "$0")/../has-pip" ] || { echo "No module named pip" >&2; exit 1; }
echo "user=$PIP_USER target=$PIP_TARGET umask=$(umask) $*" >> "$(dirname "$0")/../asked"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script reads, in a folder with a space in its name."""
    folder = tmp_path / "a clone"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "install.sh", folder / "scripts")
    shutil.copytree(ROOT / "constraints", folder / "constraints")
    for name, text in (
        ("python", PYTHON.format(real=sys.executable, here=tmp_path)),
        ("venv-python", VENV_PYTHON),
        ("nvidia-smi", "#!/bin/sh\nexit 1\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return folder


def install(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    here = checkout.parent
    path = f"{here}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        [str(checkout / "scripts" / "install.sh")],
        env={"PATH": path, "PYTHON": str(here / "python"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def asked(checkout: Path) -> str:
    return (checkout / ".venv" / "asked").read_text()


def test_a_folder_with_a_space_is_installed_into(checkout):
    ran = install(checkout)
    assert ran.returncode == 0, ran.stderr
    assert "--editable ." in asked(checkout)
    assert (checkout / ".venv" / ".installed-base").exists()


def test_without_ensurepip_it_says_what_to_install_and_keeps_no_half_made_venv(checkout):
    ran = install(checkout, NO_ENSUREPIP="1")
    assert ran.returncode != 0
    assert "python3-venv" in ran.stderr and "PYTHON=" in ran.stderr
    assert not (checkout / ".venv").exists()
    assert install(checkout).returncode == 0


def test_a_venv_without_pip_from_an_earlier_try_is_made_anew(checkout):
    broken = checkout / ".venv" / "bin"
    broken.mkdir(parents=True)
    (checkout / ".venv" / "pyvenv.cfg").touch()
    shutil.copy(checkout.parent / "venv-python", broken / "python")
    ran = install(checkout)
    assert ran.returncode == 0, ran.stderr


def test_a_folder_that_is_no_venv_is_not_deleted(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "thesis.txt").touch()
    ran = install(checkout)
    assert ran.returncode != 0 and "not a virtual environment" in ran.stderr
    assert (checkout / ".venv" / "thesis.txt").exists()


def test_settings_of_pip_that_lead_elsewhere_are_not_followed(checkout):
    ran = install(
        checkout,
        PIP_USER="1",
        PIP_TARGET="/elsewhere",
        PIP_REQUIRE_VIRTUALENV="1",
        CONDA_PREFIX="/opt/conda",
    )
    assert ran.returncode == 0, ran.stderr
    assert "user=0 target= " in asked(checkout)


def test_what_is_installed_can_be_read_by_the_sandbox_under_a_strict_umask(checkout):
    before = os.umask(0o077)
    try:
        ran = install(checkout)
    finally:
        os.umask(before)
    assert ran.returncode == 0, ran.stderr
    assert stat.S_IMODE((checkout / ".venv").stat().st_mode) & 0o055 == 0o055
    assert "umask=0022" in asked(checkout)


def test_what_pip_put_elsewhere_is_not_called_installed(checkout):
    ran = install(checkout, PUT_ELSEWHERE="1")
    assert ran.returncode != 0 and "pip config list" in ran.stderr
    assert not (checkout / ".venv" / ".installed-base").exists()


@pytest.mark.parametrize("name", ["PIP_NO_DEPS", "PYTHONPATH"])
def test_variables_that_leave_packages_out_have_no_say(checkout, name):
    assert install(checkout, **{name: "1"}).returncode == 0
