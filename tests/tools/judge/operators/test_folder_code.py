"""An operator's code that exits or never returns takes nobody along."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import torch

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators.folder_code import StoppedError, bounded
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.schema.flashinfer_trace import Workload

from .examples import generic_definition

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
