"""The reference is what the code says today."""

import subprocess
import sys

from .fences import ROOT


def test_the_reference_is_fresh():
    command = [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), "--check"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
