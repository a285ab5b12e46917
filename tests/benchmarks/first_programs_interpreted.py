"""Runs first programs in Triton's interpreter beside their references; prints those that agree.

Started by `test_first_programs.py`: python first_programs_interpreted.py FOLDER …
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"  # noqa: TID251 - read by triton as it is imported

import torch

from kernel_harness.tools.candidate.cpu.triton_patches import patch_interpreter

TOKENS = (1, 3)


def drawn(definition: dict[str, Any], part: str, tokens: int) -> list[torch.Tensor]:
    """Random tensors of a definition's inputs or outputs, the const axes as it says."""
    sizes = {name: axis.get("value", tokens) for name, axis in definition["axes"].items()}
    return [
        torch.randn([sizes[axis] for axis in said["shape"]]).to(getattr(torch, said["dtype"]))
        for said in definition[part].values()
    ]


def agrees(folder: Path) -> bool:
    """Whether the program gives what the reference gives, for a few numbers of tokens."""
    definition = json.loads((folder / "definition.json").read_text())
    reference: dict[str, Any] = {}
    exec(definition["reference"], reference)
    program = runpy.run_path(str(folder / "solutions" / "first_program" / "kernel.py"))
    for tokens in TOKENS:
        inputs = drawn(definition, "inputs", tokens)
        outputs = drawn(definition, "outputs", tokens)
        program["run"](*inputs, *outputs)
        due = reference["run"](*inputs)
        torch.testing.assert_close(outputs[0].float(), due.float(), rtol=2e-2, atol=1e-5)
    return True


if __name__ == "__main__":
    assert patch_interpreter()
    torch.manual_seed(1)
    for name in sys.argv[1:]:
        if agrees(Path(name)):
            sys.stdout.write(f"{Path(name).name}\n")
