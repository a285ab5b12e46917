"""The transcript of the README is what the demonstration prints."""

import re
import subprocess
import sys

import pytest

from .fences import ROOT

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
COMMIT = re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,12}\b")

PASSED, CUT_SHORT = "passeduntimedoncpu", "rightasfarasitran"


def loosened(text: str) -> str:
    """A pattern for a text without its spaces and lines, which are as a terminal is wide.

    `…` is anything, and figures and commits are any: inputs are drawn anew.
    """
    pattern = ""
    for part in re.split(rf"(…|{COMMIT.pattern}|{NUMBER.pattern}|\s+)", text.strip()):
        if part == "…":
            pattern += ".*?"
        elif COMMIT.fullmatch(part):
            pattern += "[0-9a-f]{7,12}"
        elif NUMBER.fullmatch(part):
            pattern += NUMBER.pattern
        else:
            pattern += re.escape(part.strip())
    # How many held-out sizes are reached depends on the machine's speed.
    return pattern.replace(PASSED, f"(?:{PASSED}|{CUT_SHORT}.*?)")


@pytest.mark.long
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux")
def test_the_transcript_is_what_the_demonstration_prints(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## A real transcript\n.*?```\n(.*?)```", readme, re.DOTALL)
    command = [sys.executable, "-P", str(ROOT / "scripts" / "demo.py"), "--data-dir", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=580).stdout
    found = re.search(loosened(block), "".join(said.split()))
    assert found, f"README shows\n{block}\nand the demonstration prints\n{said}"
