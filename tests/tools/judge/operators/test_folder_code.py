"""An operator's code that exits or never returns takes nobody along."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import torch

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators.folder_code import StoppedError, bounded, loaded
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import Workload

from .examples import generic_definition, tensor

CPU = torch.device("cpu")
LIMIT_S = 0.2
ENDLESS = "    import time\n    while True:\n        time.sleep(0.01)\n"
SWALLOWS = (
    "    import time\n    while True:\n        try:\n            time.sleep(0.01)\n"
    "        except Exception:\n            pass\n"
)
FILES = {
    "inputs.py": "def generate(axes, *, structure, scalars, generator, device, family):\n",
    "oracle.py": "def oracle(**inputs):\n",
    "cost.py": "def cost(axes, *, structure, inputs):\n",
}


def made(tmp_path, file: str, body: str) -> OperatorAdapter:
    """An operator with one file of its own, or with that body in its reference."""
    if file == "reference":
        definition = generic_definition(reference=f"def run(x, s):\n{body}")
        return OperatorAdapter(definition, limit_s=LIMIT_S)
    (tmp_path / file).write_text(FILES[file] + body)
    return OperatorAdapter(generic_definition(), tmp_path, limit_s=LIMIT_S)


def used(operator: OperatorAdapter) -> None:
    """Everything that a trial asks of it."""
    workload = Workload.model_validate(
        {"uuid": "w", "axes": {"m": 2}, "inputs": {"s": {"type": "scalar", "value": 2.0}}}
    )
    case = operator.case(workload)
    inputs = operator.make_inputs(case, 1, operator.families[0], CPU)
    operator.oracle(case, inputs)
    operator.cost(case)


@pytest.mark.parametrize("file", ["reference", *FILES])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (ENDLESS, r"it had not returned after 0\.2 s"),
        (SWALLOWS, r"it had not returned after 0\.2 s"),
        ("    raise SystemExit(3)\n", r"it called exit\(3\)"),
        ("    raise KeyboardInterrupt\n", "it raised KeyboardInterrupt"),
    ],
)
def test_code_that_does_not_return_is_the_operators_fault(tmp_path, file, body, words):
    with pytest.raises(DatasetError, match=words) as caught:
        used(made(tmp_path, file, body))
    assert file in caught.value.where


def test_an_alarm_of_somebody_elses_comes_when_it_is_due():
    came: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    held = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(StoppedError):
            bounded(time.sleep, 0.05)(1)
        assert not came and 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.15
        time.sleep(0.3)
        assert came == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *held)


def test_code_that_exits_when_it_is_loaded_is_the_operators_fault(tmp_path):
    (tmp_path / "inputs.py").write_text("import sys\nsys.exit(1)\n")
    with pytest.raises(DatasetError, match="SystemExit") as caught:
        OperatorAdapter(generic_definition(), tmp_path)
    assert caught.value.where.endswith("inputs.py")


def test_code_that_does_not_return_when_it_is_loaded_is_the_operators_fault(tmp_path):
    (tmp_path / "oracle.py").write_text(f"if True:\n{SWALLOWS}")
    with pytest.raises(DatasetError, match=r"it had not returned after 0\.2 s") as caught:
        OperatorAdapter(generic_definition(), tmp_path, limit_s=LIMIT_S)
    assert caught.value.where.endswith("oracle.py") and "cpu_budget_s" in caught.value.remedy


def test_what_returns_in_time_is_returned_and_nothing_comes_after_it():
    assert bounded(lambda x: 2 * x, 0.05)(21) == 42
    time.sleep(0.1)


def test_an_exit_in_another_thread_is_stopped_too():
    found: list[BaseException] = []

    def run() -> None:
        try:
            bounded(lambda: exit(4), LIMIT_S)()
        except StoppedError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "exit(4)" in str(found[0])


DRAWS = """
import torch

FAMILIES = ("typical", "zeros", "ones")

def generate(axes, *, structure, scalars, generator, device, family="typical"):
    fill = FAMILIES.index(family) - 1.0
    return {"x": torch.full((axes["m"], axes["n"]), fill, dtype=torch.bfloat16), "s": 1.0}

def rewrite(inputs, generator, *, axes, structureFAMILY):
    inputs["x"].fill_(FAMILIES.index(family) - 0.5)
"""


def offering(tmp_path, families: str, asked: str = "", rewrites: str = ', family="typical"'):
    """An operator of three families of inputs whose policy offers some."""
    (tmp_path / "inputs.py").write_text(DRAWS.replace("FAMILY", rewrites))
    (tmp_path / "policy.toml").write_text(f"[input_families]\n{families}")
    return OperatorAdapter(generic_definition(), tmp_path, family=asked)


TWO = 'typical = "as usual"\nones = "ones alone"\n'


def test_the_family_that_is_asked_for_stands_in_the_place_of_the_first(tmp_path):
    usual, ones = offering(tmp_path, TWO), offering(tmp_path, TWO, "ones")
    assert usual.families == ("typical", "zeros", "ones")
    assert ones.families == ("ones", "typical", "zeros")
    assert usual.key != ones.key, "inputs that wait for one are no inputs of the other"


def test_inputs_are_rewritten_by_the_family_that_is_asked_for_or_not_at_all(tmp_path):
    generator, case = torch.Generator(), Case("w", {"m": 2})
    operator = offering(tmp_path, TWO, "ones")
    inputs = operator.make_inputs(case, 1, operator.families[0], CPU)
    assert operator.rewrite(case, inputs, generator)
    assert torch.equal(tensor(inputs["x"]), torch.full((2, 8), 1.5, dtype=torch.bfloat16))
    without = offering(tmp_path, TWO, "ones", rewrites="")
    assert not without.rewrite(case, inputs, generator), "it would draw the typical ones"


@pytest.mark.parametrize(
    ("families", "asked", "words"),
    [
        (TWO, "twos", "no input family 'twos'"),
        (TWO + 'threes = "?"\n', "", "no input family 'threes'"),
        ('ones = "first here"\n', "", "lets input family 'ones' rank, and the first is 'typical'"),
    ],
)
def test_families_that_are_not_drawn_or_may_not_rank_are_refused(tmp_path, families, asked, words):
    with pytest.raises(DatasetError, match=words) as caught:
        offering(tmp_path, families, asked)
    assert caught.value.remedy


GENERATE = """
    return {"x": torch.ones(axes["m"], 4).to(torch.float32) / 3, "s": torch.get_default_dtype()}
"""


def test_what_a_file_sets_in_torch_is_for_itself_alone(tmp_path) -> None:
    head = "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\n"
    (tmp_path / "inputs.py").write_text(f"{head}{FILES['inputs.py']}{GENERATE}")
    seen = loaded(tmp_path, "inputs.py", LIMIT_S)
    assert seen is not None
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    given = {"structure": None, "scalars": {}, "generator": None, "device": CPU, "family": ""}
    assert seen.generate({"m": 2}, **given)["s"] is torch.float64
    assert torch.get_default_dtype() is torch.float32


def test_what_a_reference_sets_in_torch_is_for_itself_alone() -> None:
    source = (
        "import torch\ntorch.set_default_dtype(torch.float64)\n\n\ndef run(x, s):\n"
        "    torch.set_num_threads(1)\n    return x * torch.tensor(s).to(x.dtype), \n"
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        used(OperatorAdapter(generic_definition(reference=source)))
        assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, 2)
    finally:
        torch.set_num_threads(threads)
