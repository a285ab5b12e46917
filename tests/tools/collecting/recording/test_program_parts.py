"""Without targets the leaves are recorded that take their share, wherever they lie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import time

import torch
import torch.nn.functional as F


WAIT = 0.2


def waited(x):
    time.sleep(WAIT)
    return F.relu(x)


def outer(x):
    return F.softmax(waited(x), -1)


def quick(x):
    return x + 1


def prepared(count):
    time.sleep(WAIT)
    return count


class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))

    def forward(self, x):
        return F.silu(x) * self.weight


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slow = Slow()
        self.bias = torch.nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return self.slow(x) + self.bias
"""


def definitions_in(folder):
    return sorted(path.stem for path in (folder / "definitions").rglob("*.json"))


HEAD = """
import json
import sys
from pathlib import Path

import torch
from kernel_harness.tools.collecting.recording import program_parts
from kernel_harness.tools.collecting.recording.traced_function import TracedFunction
from kernel_harness.tools.collecting.tracing import trace

OUT = Path(sys.argv[1])
torch.set_grad_enabled(False)
"""


def ran(python: str, folder: Path, program: str) -> str:
    """What a program prints that traces into `out`.

    Of its own, for all that is loaded is looked through: in a process with every test's modules
    that takes seconds.
    """
    (folder / "traced_parts.py").write_text(PROGRAM, "utf-8")
    (folder / "program.py").write_text(HEAD + program, "utf-8")
    command = [python, str(folder / "program.py"), str(folder / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


SHARES = """
with trace(OUT) as written:
    import traced_parts as parts  # later than the recorders

    block = parts.Block()
    for _ in range(3):
        parts.outer(torch.ones(2, 4))
        parts.quick(torch.ones(2, 4))
        block(torch.ones(2, 4))
assert not hasattr(parts.waited, "__wrapped__")
assert not hasattr(torch.nn.functional.relu, "__wrapped__")
print(json.dumps([[done.name, done.unfinished, done.calls] for done in written]))
"""


@pytest.mark.parametrize("by_time", [False, True])
def test_leaves_are_recorded_and_only_those_that_take_their_share(tmp_path, warm_python, by_time):
    taken = "lambda recorder: 1e9 * (recorder.name == 'traced_parts.waited')"
    by = f"TracedFunction.seconds = property({taken})" if by_time else ""
    written = json.loads(
        ran(warm_python, tmp_path, f"{by or 'program_parts.LEAST_SHARE = 0.0'}\n{SHARES}")
    )
    found = definitions_in(tmp_path / "out")
    leaves = ["Slow_forward", "quick", "waited"]
    expected = ["waited"] if by_time else leaves
    assert [name for name in found if name.startswith("traced_parts")] == [
        f"traced_parts_{name}" for name in expected
    ]
    # softmax lies in a function that is no leaf, and is one itself; the others lie in leaves.
    of_torch = [] if by_time else ["torch_nn_functional_softmax"]
    assert [name for name in found if name.startswith("torch_nn_functional")] == of_torch
    assert all(unfinished is None for name, unfinished, _ in written if "traced_parts" in name)
    assert [calls for name, _, calls in written if name == "traced_parts_waited"] == [3]


COMPILED = """
import sys
from pathlib import Path

import torch
from kernel_harness.tools.collecting.recording import program_parts
from kernel_harness.tools.collecting.tracing import trace

program_parts.LEAST_SHARE = 0.0
x, model = torch.randn(4, 8), torch.nn.Sequential(torch.nn.LayerNorm(8))
with torch.no_grad():
    expected = model(x)
    with trace(Path(sys.argv[1])):
        compiled = torch.compile(model, backend="eager")
        for _ in range(3):
            assert torch.equal(compiled(x), expected)
"""


def test_tensors_by_which_torch_traces_a_program_are_no_calls(tmp_path):
    # A process of its own: what torch takes for its own function is settled by its first compiling.
    command = [sys.executable, "-P", "-c", COMPILED, str(tmp_path / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    name = "torch.nn.functional.layer_norm"
    seen = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))[name]
    (lines,) = seen["definitions"].values()
    assert seen["not_recorded"].keys() == {"within a compilation"}
    assert (sum(line["calls"] for line in lines), seen["calls"]) == (3, 4)


QUICK = """
# As if the calls were nothing beside the time since the recorders were put in place.
TracedFunction.seconds = property(lambda r: 1e-9 * r.chosen)
with trace(OUT):
    import traced_parts

    traced_parts.quick(torch.ones(2, 4))
"""


def test_parts_that_are_quick_beside_loading_are_recorded(tmp_path, warm_python):
    ran(warm_python, tmp_path, QUICK)
    assert "traced_parts_quick" in definitions_in(tmp_path / "out")


WITHOUT_TENSORS = """
TracedFunction.seconds = property(
    lambda r: 1e9 if r.name == "traced_parts.prepared" else 1e-9 * r.chosen
)
with trace(OUT):
    import traced_parts

    traced_parts.prepared(3)
    traced_parts.quick(torch.ones(2, 4))
"""


def test_what_has_no_tensors_takes_no_share_of_the_time(tmp_path, warm_python):
    ran(warm_python, tmp_path, WITHOUT_TENSORS)
    assert "traced_parts_quick" in definitions_in(tmp_path / "out")
    counts = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))
    assert "traced_parts.prepared" not in counts


def test_a_program_is_run_without_targets(tmp_path, warm_python):
    (tmp_path / "traced_parts.py").write_text(PROGRAM, "utf-8")
    (tmp_path / "program.py").write_text(
        "import torch\nfrom traced_parts import outer\nouter(torch.ones(2, 4))\n", "utf-8"
    )
    module = "kernel_harness.tools.collecting.run_program"
    asked = [str(tmp_path / "out"), "1.0", "", str(tmp_path / "program.py")]
    ran = subprocess.run(
        [warm_python, "-P", "-m", module, *asked], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "traced_parts_waited: 1 workload of 1 call." in ran.stderr
    counts = json.loads((tmp_path / "out" / "collected.json").read_text("utf-8"))
    assert "traced_parts.outer" not in counts
