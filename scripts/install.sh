#!/usr/bin/env bash
# Makes .venv and installs kernel-harness into it, with the PyTorch that fits this machine.
# Usage: scripts/install.sh [extra ...]     e.g. scripts/install.sh test check
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=${VENV:-.venv}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "kernel-harness needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 1; }

# Candidates may run as another user, who must be able to read what is installed.
umask 022
# pip's own settings may send packages elsewhere than into the environment that is made here.
export PIP_USER=0
unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_DEPS PIP_DRY_RUN PIP_REQUIRE_HASHES PYTHONHOME PYTHONPATH

has_pip() { "$venv/bin/python" -m pip --version >/dev/null 2>&1; }
if ! has_pip; then "$venv/bin/python" -m ensurepip >/dev/null 2>&1 || true; fi
if ! has_pip; then
    if [ -d "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
        echo "$venv is not a virtual environment: move it away, or set VENV to another folder" >&2
        exit 1
    fi
    if ! "$python" -m venv --clear "$venv"; then
        # A half-made environment would be taken for a whole one the next time.
        rm -rf "$venv"
        echo "No virtual environment could be made with $python. On Debian and Ubuntu: apt install" \
            "python3-venv; elsewhere set PYTHON=/path/to/a/python that has venv and ensurepip." >&2
        exit 1
    fi
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@" 2> >(grep -v WARNING >&2); }

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }
has_torch() { "$venv/bin/python" -c 'import torch' 2>/dev/null; }

constraint=()
if ! has_gpu; then
    constraint=(--constraint constraints/cpu.txt)
    pinned=$(grep -o 'torch==[0-9.]*' constraints/cpu.txt)
    if ! has_torch; then
        echo "No NVIDIA GPU: installing the CPU build of PyTorch ($pinned)"
        if [ "$(uname -s)" = Darwin ]; then
            pip install "$pinned"
        else
            # The local version '+cpu' can never resolve to the CUDA build, wherever it comes from.
            pip install "$pinned+cpu" 2>/dev/null ||
                pip install "$pinned+cpu" --index-url https://download.pytorch.org/whl/cpu \
                    --extra-index-url https://pypi.org/simple
        fi
    fi
fi

extras=$(IFS=,; echo "$*")
echo "Installing kernel-harness${extras:+ with $extras} into $venv"
pip install ${constraint[@]+"${constraint[@]}"} --editable ".${extras:+[$extras]}"
if has_gpu; then pip install --editable ".[gpu]" || echo "cupti-python was not installed: latencies come from CUDA events" >&2; fi
if ! "$venv/bin/python" -c 'import mcp, kernel_harness.server.cli.main' 2>/dev/null; then
    echo "pip reported no error, but what it installed is not in $venv. Look at its settings:" \
        "'$venv/bin/python -m pip config list', and variables that begin with PIP_." >&2
    exit 1
fi
touch "$venv/.installed-${extras:-base}"
