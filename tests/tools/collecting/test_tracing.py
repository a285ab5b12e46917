"""A program's calls become a dataset that is evaluated; the program notices nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
import torch

from kernel_harness.server.cli.main import main as cli
from kernel_harness.tools.collecting.tracing import trace
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import Definition
from kernel_harness.tools.workloads.dataset import Dataset

from .conftest import definition_in


def test_calls_become_workloads_that_give_the_same_results(layers, tmp_path):
    gather = layers.gather
    given = [(torch.randn(16, 8), torch.arange(m)) for m in (3, 5, 5)]
    with trace(tmp_path / "out", ["traced_layers.gather"]) as written:
        found = [layers.gather(x, rows) for x, rows in given]
    assert layers.gather is gather
    for (x, rows), result in zip(given, found, strict=True):
        assert torch.equal(result, gather(x, rows))
    (done,) = written
    assert (done.workloads, done.calls, done.unfinished) == (2, 3, None)
    definition = definition_in(tmp_path / "out")
    assert definition.const_axes == {"size_16": 16, "size_8": 8}
    assert definition.var_axes == ("rows_0",)
    assert definition.outputs["output"].shape == ["rows_0", "size_8"]
    scope: dict = {}
    exec(definition.reference, scope)
    assert torch.equal(scope["run"](*given[0], 2.0), found[0])
    operator = Dataset.load(tmp_path / "out").operator(definition.name)
    assert [w.axes for w in operator.workloads] == [{"rows_0": 5}, {"rows_0": 3}]
    assert not operator.unusable
    counts = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))
    lines = counts["traced_layers.gather"]["definitions"][definition.name]
    assert [line["calls"] for line in lines] == [2, 1]
    assert sum(line["host_time_share"] for line in lines) == pytest.approx(1.0, abs=1e-4)


def test_what_a_comprehension_names_is_carried(layers, tmp_path):
    x = torch.randn(3, 4)
    with trace(tmp_path / "out", ["traced_layers.listed"]):
        expected = layers.listed(x)
    scope: dict = {}
    exec(definition_in(tmp_path / "out").reference, scope)
    assert torch.equal(scope["run"](x), expected)


def test_a_method_is_not_taken_for_what_the_module_has_of_its_name(layers, tmp_path):
    with trace(tmp_path / "out", ["traced_layers.summed"]) as written:
        expected = layers.summed(torch.arange(4.0))
    assert [done.unfinished for done in written] == [None]
    scope: dict = {}
    exec(definition_in(tmp_path / "out").reference, scope)
    assert torch.equal(scope["run"](torch.arange(4.0)), expected)


def test_a_reference_stands_without_the_names_of_annotations(layers, tmp_path):
    x = torch.randn(3, 4)
    with trace(tmp_path / "out", ["traced_layers.sized", "torch.nn.Linear"]):
        layers.sized(x)
        torch.nn.Linear(4, 2).requires_grad_(False)(x)
    for file in (tmp_path / "out" / "definitions").rglob("*.json"):
        text = Definition.model_validate_json(file.read_bytes()).reference
        # As a file of its own, which inherits nothing of ours.
        scope: dict = {"__name__": "alone"}
        exec(compile(text, "reference.py", "exec", dont_inherit=True), scope)
        assert scope["run"](x, *([4] if "factor" in text else [x[:2], x[0, :2]])).shape[0] == 3


def test_integer_tensors_are_kept_as_they_were_within_a_bound(layers, tmp_path):
    from safetensors.torch import load_file

    rows = torch.tensor([3, 1, 2])
    with trace(tmp_path / "out", ["traced_layers.gather"]):
        layers.gather(torch.randn(16, 8), rows)
    (blob,) = (tmp_path / "out").rglob("*.safetensors")
    assert torch.equal(load_file(blob)["rows"], rows)
    with trace(tmp_path / "small", ["traced_layers.gather"], most_bytes=8):
        layers.gather(torch.randn(16, 8), rows)
    assert not [*(tmp_path / "small").rglob("*.safetensors")]


def test_masks_of_floats_are_kept_and_other_floats_are_described(layers, tmp_path):
    from safetensors.torch import load_file

    mask = torch.zeros(8, 8).masked_fill(torch.rand(8, 8) < 0.5, float("-inf"))
    with trace(tmp_path / "out", ["traced_layers.odd", "traced_layers.gather"]):
        layers.odd(mask)
        layers.gather(torch.rand(64, 64) * 8, torch.arange(3))
    blobs = {
        blob.parent.name: load_file(blob) for blob in (tmp_path / "out").rglob("*.safetensors")
    }
    assert torch.equal(blobs["traced_layers_odd"]["x"], mask)
    assert "x" not in blobs["traced_layers_gather"]
    operator = Dataset.load(tmp_path / "out").operator("traced_layers_gather")
    said = operator.workloads[0].statistics["x"]
    assert said.kind == "uniform" and 0 <= said.least < 0.5 and 7.5 < said.greatest <= 8
    assert said.mean == pytest.approx(4, abs=0.2) and not said.zeros


def test_an_operator_is_judged_on_values_like_the_recorded_ones(layers, tmp_path):
    """Its answer is finite on recorded values alone, whose scale is far from a standard normal."""
    x = torch.randn(16, 64) * 1e-3 + 100
    with trace(tmp_path / "out", ["traced_layers.narrow"]):
        layers.narrow(x)
    operator = Dataset.load(tmp_path / "out").operator("traced_layers_narrow")
    workload = operator.workloads[0]
    adapter = OperatorAdapter(operator.definition)
    for seed, family in enumerate(adapter.families):
        case = adapter.case(workload)
        inputs = adapter.make_inputs(case, seed, family, torch.device("cpu"))
        drawn = inputs["x"]
        assert isinstance(drawn, torch.Tensor) and drawn.shape == x.shape
        assert x.min() <= drawn.min() and drawn.max() <= x.max(), family
        exact, _ = adapter.expected_outputs(case, inputs)
        assert torch.isfinite(exact["output"]).all() and exact["output"].any()
    plain = workload.model_copy(update={"inputs": {}})
    inputs = adapter.make_inputs(adapter.case(plain), 0, "typical", torch.device("cpu"))
    exact, _ = adapter.expected_outputs(adapter.case(plain), inputs)
    assert not torch.isfinite(exact["output"]).all()


def test_the_formats_own_reader_takes_statistics_for_plain_random_inputs(layers, tmp_path):
    upstream = pytest.importorskip("flashinfer_bench.data")
    with trace(tmp_path / "out", ["traced_layers.gather"]):
        layers.gather(torch.randn(16, 8), torch.arange(3))
    (file,) = (tmp_path / "out" / "workloads").rglob("*.jsonl")
    assert "statistics" in file.read_text("utf-8")
    found = upstream.TraceSet.from_path(str(tmp_path / "out"))
    (loaded,) = found.workloads["traced_layers_gather"]
    assert loaded.workload.inputs["x"].model_dump() == {"type": "random"}


def test_integers_are_kept_as_they_were_before_the_call(layers, tmp_path):
    from safetensors.torch import load_file

    rows = torch.tensor([3, 1, 2])
    with trace(tmp_path / "out", ["traced_layers.advance"]):
        layers.advance(torch.randn(16, 8), rows)
    (blob,) = (tmp_path / "out").rglob("*.safetensors")
    assert load_file(blob)["rows"].tolist() == [3, 1, 2] and rows.tolist() == [4, 2, 3]


def test_exceptions_pass_and_what_no_workload_has_is_counted(layers, tmp_path):
    names = ["traced_layers.faulty", "traced_layers.odd"]
    with trace(tmp_path / "out", names) as written:
        with pytest.raises(ValueError, match="as ever"):
            layers.faulty(torch.zeros(2))
        assert layers.odd(torch.zeros(2), {1}).shape == (2,)
    assert not written
    counts = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))
    assert counts["traced_layers.faulty"]["not_recorded"] == {"it raised an exception": 1}
    assert counts["traced_layers.odd"]["not_recorded"] == {"sizes is a set": 1}


def test_functions_of_torch_are_recorded_by_name(tmp_path):
    with trace(tmp_path / "out", ["torch.nn.functional.linear"]):
        layer = torch.nn.Linear(8, 4, bias=False)
        with torch.no_grad():
            for m in (1, 6):
                layer(torch.randn(m, 8))
    definition = definition_in(tmp_path / "out")
    x, w = torch.randn(3, 8), torch.randn(4, 8)
    scope: dict = {}
    exec(definition.reference, scope)
    torch.testing.assert_close(scope["run"](x, w), x @ w.t())


def test_threads_are_counted_whole(layers, tmp_path):
    def call() -> None:
        for _ in range(50):
            layers.gather(torch.zeros(4, 2), torch.zeros(2, dtype=torch.int64))

    with trace(tmp_path / "out", ["traced_layers.gather"]) as written:
        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [done.calls for done in written] == [150]


def test_a_program_is_run_as_it_is(layers, tmp_path):
    program = (
        "import sys, torch\nfrom traced_layers import gather\n"
        "print(__name__, sys.argv[1:])\n"
        "gather(torch.zeros(4, 2), torch.zeros(2, dtype=torch.int64))\n"
        "sys.exit(5)\n"
    )
    (tmp_path / "program.py").write_text(program, "utf-8")
    module = "kernel_harness.tools.collecting.run_program"
    asked = [
        str(tmp_path / "out"),
        "1.0",
        "traced_layers.gather",
        str(tmp_path / "program.py"),
        "--deep",
    ]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", module, *asked], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 5, ran.stderr
    assert ran.stdout == "__main__ ['--deep']\n"
    assert "traced_layers_gather: 1 workload of 1 call." in ran.stderr


ENDS = {
    "os.kill(os.getpid(), signal.SIGTERM)": (143, True),
    "os.kill(os.getpid(), signal.SIGINT)": (130, True),
    "raise ValueError('boom')": (1, True),
    "sys.exit('said by the program')": (1, True),
    "os._exit(4)": (4, False),
}


@pytest.mark.parametrize("end", ENDS)
def test_however_a_program_ends_what_was_recorded_is_written(layers, tmp_path, warm_python, end):
    status, written = ENDS[end]
    (tmp_path / "program.py").write_text(
        "import os, signal, sys, torch, traced_layers\n"
        # A shell has its background jobs ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "traced_layers.gather(torch.zeros(4, 2), torch.zeros(2, dtype=torch.int64))\n"
        f"{end}\n",
        "utf-8",
    )
    asked = ["collect", "--out", str(tmp_path / "out"), "--target", "traced_layers.gather", "--"]
    # By a Python of its own once: where nothing was written it is asked what it has installed.
    python = warm_python if written else sys.executable
    asked += [python, str(tmp_path / "program.py")]
    command = [sys.executable, "-m", "kernel_harness.server", *asked]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == status
    assert (tmp_path / "out" / "collected.json").exists() == written
    assert ("Nothing was written: the program ended with 4" in ran.stderr) != written
    assert ("traced_layers_gather: 1 workload of 1 call." in ran.stderr) == written
    assert ("said by the program\n" in ran.stderr) == ("said by the program" in end)


def test_of_a_program_that_is_not_there_it_is_said(tmp_path, capfd, warm_python):
    asked = ["collect", "--out", str(tmp_path / "out"), "--", warm_python]
    with pytest.raises(SystemExit) as left:
        cli([*asked, str(tmp_path / "misspelt.py")])
    assert left.value.code == 2
    said = capfd.readouterr().err
    assert said.startswith(f"There is no program {tmp_path / 'misspelt.py'}. ")


def test_a_python_without_the_harness_is_named(tmp_path, capfd):
    """It was said that the program had left by os._exit, and the way to end it."""
    (tmp_path / "program.py").touch()
    python = tmp_path / "python3"
    # Without site-packages nothing that is installed is found.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', "utf-8")
    python.chmod(0o755)
    asked = ["collect", "--out", str(tmp_path / "out"), "--", str(python)]
    with pytest.raises(SystemExit) as left:
        cli([*asked, str(tmp_path / "program.py")])
    assert left.value.code == 2
    said = capfd.readouterr().err
    assert f"{python} has no kernel-harness, which records within the program. " in said
    assert sys.executable in said
    assert "os._exit" not in said


def test_of_a_target_without_workloads_it_is_said_why(layers, tmp_path, warm_python):
    (tmp_path / "program.py").write_text(
        "import torch, traced_layers\ntraced_layers.odd(torch.zeros(2), {1})\n", "utf-8"
    )
    module = "kernel_harness.tools.collecting.run_program"
    targets = "traced_layers.gather,traced_layers.odd"
    asked = [str(tmp_path / "out"), "1.0", targets, str(tmp_path / "program.py")]
    ran = subprocess.run(
        [warm_python, "-P", "-m", module, *asked], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "traced_layers.odd: 1 call, none written: sizes is a set (1).\n" in ran.stderr
    assert "traced_layers.gather: 0 calls, none written: it was not called" in ran.stderr
