#!/usr/bin/env bash
# Makes .venv and installs kernel-harness into it, with the PyTorch that fits this machine.
# Usage: scripts/install.sh [extra ...]     e.g. scripts/install.sh test check
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=${VENV:-.venv}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "kernel-harness needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 1; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
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
touch "$venv/.installed-${extras:-base}"
