"""The run that a profiler starts: inputs in order, scalars from the file's metadata."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from kernel_harness.tools.candidate.profiled.run import load_inputs
from kernel_harness.tools.messages.candidate import BuildRequest
from kernel_harness.tools.messages.profiler import ProfileRun


def request(path: str, order: list[str]) -> ProfileRun:
    build = BuildRequest(
        language="python",
        binding=None,
        entry_point="kernel.py::run",
        destination_passing_style=True,
        sources=[],
        content_hash="0",
        argument_count=len(order),
        output_count=1,
    )
    return ProfileRun(
        mode="counters",
        build=build,
        private_dir=".",
        inputs_file=path,
        input_order=order,
        outputs=[],
        device="cpu",
        answer_file="answer.json",
    )


@pytest.mark.parametrize(
    "metadata",
    [{"scalars": json.dumps({"scale": 0.5, "flag": True})}, {"scale": "0.5", "flag": "true"}],
)
def test_tensors_and_scalars_come_back_by_name_in_the_asked_order(tmp_path, metadata):
    path = str(tmp_path / "inputs.safetensors")
    save_file({"x": torch.arange(4).to(torch.float8_e4m3fn), "y": torch.ones(2)}, path, metadata)
    got = load_inputs(request(path, ["y", "scale", "x", "flag"]))
    assert list(got) == ["y", "scale", "x", "flag"]
    assert (got["scale"], got["flag"]) == (0.5, True)
    assert got["x"].dtype is torch.float8_e4m3fn
    assert torch.equal(got["y"], torch.ones(2))


def test_an_input_that_the_file_does_not_hold_is_named(tmp_path):
    path = str(tmp_path / "inputs.safetensors")
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(KeyError, match="missing"):
        load_inputs(request(path, ["x", "missing"]))
