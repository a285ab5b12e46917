"""What a reference does wrong is told as the definition's fault, with file, field and line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from kernel_harness.tools.errors import DatasetError, InfrastructureError
from kernel_harness.tools.judge.operators.reference import (
    Reference,
    counting_flops,
    definition_place,
    named_outputs,
)

from .examples import generic_definition

AXES = {"m": 2, "n": 8}
INPUTS = {"x": torch.ones(2, 8, dtype=torch.bfloat16), "s": 2.0}


def run(source: str, *, shown: bool = True, generic: bool = True, **changes):
    definition = generic_definition(reference=source, **changes)
    reference = Reference(definition, "definition.json", generic_inputs=generic)
    return reference.outputs(INPUTS, AXES, shown=shown, counted=False)[0]


@pytest.mark.parametrize(
    ("body", "words", "line"),
    [
        ("    return x[99]", "IndexError", "line 2"),
        ("    return None", "Error", ""),
        ("    return x, x", "2 values for 1 output", ""),
        ("    return x[:1]", r"the shape \[1, 8\], not \[2, 8\]", ""),
        ("    return {'z': x}", "gave no 'y', but 'z'", ""),
        ("    return (x + 0j)", "no plain numbers .*complex", ""),
        ("    return x.to_sparse()", "no plain numbers .*sparse", ""),
        ("    return x.to('meta')", "no plain numbers .*meta", ""),
    ],
)
def test_a_reference_at_fault_is_named_with_field_and_line(body, words, line):
    with pytest.raises(DatasetError, match=words) as caught:
        run(f"def run(x, s):\n{body}\n")
    assert "definition.json, field reference" in caught.value.where
    assert line in caught.value.where and caught.value.remedy


def test_a_reference_in_a_file_of_its_own_is_named_by_that_file():
    definition = generic_definition(reference="def run(x, s):\n    return x[99]\n")
    reference = Reference(definition, "silu/reference.py", generic_inputs=True)
    with pytest.raises(DatasetError) as caught:
        reference.outputs(INPUTS, AXES, shown=True, counted=False)
    assert caught.value.where == "silu/reference.py, line 2"


def test_a_reference_that_cannot_be_loaded_is_named_with_its_line():
    with pytest.raises(DatasetError, match="ModuleNotFoundError") as caught:
        run("import nothing_of_that_name\ndef run(x, s):\n    return x\n")
    assert caught.value.where.endswith("field reference, line 1")


def test_a_dataclass_may_have_postponed_annotations():
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n@dataclass\n"
        "class Factor:\n    by: float = 2.0\n\n\ndef run(x, s):\n    return x * Factor().by\n"
    )
    run(source)
    assert not [name for name in sys.modules if name.startswith("reference_of")]


def test_inputs_that_a_reference_writes_to_are_known_after_its_first_call():
    definition = generic_definition(reference="def run(x, s):\n    return x.mul_(s)\n")
    reference = Reference(definition, "definition.json", generic_inputs=True)
    assert reference.overwritten == ()
    reference.outputs(INPUTS, AXES, shown=True, counted=False)
    assert reference.overwritten == ("x",) and bool((INPUTS["x"] == 1).all())
    reference.outputs({**INPUTS, "s": 1.0}, AXES, shown=True, counted=False)
    assert reference.overwritten == ("x",)
    assert Reference(definition, "again", generic_inputs=True).overwritten == ("x",)


def test_integers_drawn_at_random_are_told_as_the_likely_cause():
    inputs = {
        "x": {"shape": ["m", "n"], "dtype": "int32"},
        "s": {"shape": None, "dtype": "float32"},
    }
    source = "def run(x, s):\n    raise IndexError('out of range')\n"
    with pytest.raises(DatasetError) as caught:
        run(source, inputs=inputs)
    assert "inputs.py" in caught.value.remedy and "x must be valid" in caught.value.remedy
    with pytest.raises(DatasetError) as caught:
        run(source, inputs=inputs, generic=False)
    assert "inputs.py" not in caught.value.remedy


def test_nothing_of_a_held_out_workload_is_told():
    source = "def run(x, s):\n    raise ValueError(f'sizes {tuple(x.shape)}')\n"
    with pytest.raises(DatasetError) as shown:
        run(source)
    assert "(2, 8)" in shown.value.what and "m=2" in shown.value.what
    with pytest.raises(DatasetError) as hidden:
        run(source, shown=False)
    assert "(2, 8)" not in str(hidden.value) and "m=2" not in str(hidden.value)


@pytest.mark.parametrize("error", ["MemoryError()", "torch.OutOfMemoryError('CUDA')"])
def test_memory_that_ran_out_is_no_fault_of_the_reference(error):
    with pytest.raises(InfrastructureError, match="Memory"):
        run(f"import torch\ndef run(x, s):\n    raise {error}\n")


def test_outputs_are_named_in_the_definitions_order():
    outputs = {"b": {"shape": ["m"], "dtype": "float32"}, "a": {"shape": None, "dtype": "int32"}}
    definition = generic_definition(outputs=outputs)
    value = torch.ones(2)
    for result in ((value, 3), {"a": 3, "b": value}):
        found = named_outputs(definition, result, AXES, "here")
        assert list(found) == ["b", "a"] and found["a"].item() == 3


def test_a_definition_is_named_by_its_file_where_there_is_one(tmp_path):
    definition = generic_definition()
    assert definition_place(definition, tmp_path, None).endswith("definition.json")
    (tmp_path / "reference.py").write_text(definition.reference)
    assert definition_place(definition, tmp_path, None) == str(tmp_path / "reference.py")
    assert definition_place(definition, None, None) == "definition 'generic'"
    assert definition_place(definition, None, tmp_path) == f"definition 'generic' of {tmp_path}"
    file = tmp_path / "definitions" / "demo" / "generic.json"
    file.parent.mkdir(parents=True)
    file.touch()
    assert definition_place(definition, None, tmp_path) == str(file)


def test_a_reference_that_cannot_be_counted_is_run_all_the_same():
    tries = []

    def run() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no mode may be active")
        return "result"

    assert counting_flops(run) == ("result", None)


TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def add_rows(x, out, width, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    row = tl.load(x + tl.program_id(0) * width + at, mask=at < width, other=0.0)
    tl.store(out + tl.program_id(0), tl.sum(row, axis=0))

def run(x):
    out = torch.empty(len(x))
    add_rows[(len(x),)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return out
"""


def test_a_reference_may_be_a_triton_kernel_without_a_device(tmp_path):
    code = (
        "import json, sys, torch\n"
        "from kernel_harness.tools.judge.operators.reference import Reference\n"
        "from kernel_harness.tools.schema.flashinfer_trace import Definition\n"
        "definition = Definition.model_validate_json(sys.stdin.read())\n"
        "run = Reference(definition, 'here', generic_inputs=True)\n"
        "x = torch.arange(12.0).reshape(3, 4)\n"
        "made, _ = run.outputs({'x': x}, {'m': 3, 'n': 4}, shown=True, counted=True)\n"
        "print(json.dumps(made['y'].tolist()))\n"
        "import os; assert 'TRITON_INTERPRET' not in os.environ\n"
    )
    definition = generic_definition(
        axes={"m": {"type": "var"}, "n": {"type": "var"}},
        inputs={"x": {"shape": ["m", "n"], "dtype": "float32"}},
        outputs={"y": {"shape": ["m"], "dtype": "float32"}},
        reference=TRITON,
    )
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}  # noqa: TID251
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        input=definition.model_dump_json(),
        capture_output=True,
        text=True,
        env=hidden,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert json.loads(found.stdout) == [6.0, 22.0, 38.0]
