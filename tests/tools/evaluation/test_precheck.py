import pytest

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.evaluation.precheck import operator_fault, precheck
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Solution


def fault(definition, source, entry="main.py::run", style=True, of="double"):
    solution = Solution.model_validate(
        {
            "name": "s",
            "definition": of,
            "author": "test",
            "spec": {
                "language": "triton",
                "target_hardware": ["cuda"],
                "entry_point": entry,
                "destination_passing_style": style,
            },
            "sources": [{"path": "main.py", "content": source}],
        }
    )
    return precheck(solution, definition)


@pytest.mark.parametrize(
    "source",
    [
        "def run(x, y): pass",
        "def run(*tensors): pass",
        "def run(x, y, tile=64): pass",
        "from other import run",
        "run = make()",
        "def run(x, y): return " + "-" * 100_000 + "1",
        "def run(x, y): return x" + "[0]" * 50_000,
        "if x: pass\n" + "elif x: pass\n" * 30_000 + "def run(x, y): pass",
    ],
    ids=lambda source: source[:30],
)
def test_what_may_work_is_left_to_the_judge(operator, source):
    assert fault(operator.definition, source) is None


@pytest.mark.parametrize(
    ("source", "status", "kind"),
    [
        ("def run(x, y:\n", Status.COMPILE_ERROR, "syntax_error"),
        ("def run(x): pass", Status.INVALID_CANDIDATE, "wrong_signature"),
        ("def run(x, y, z): pass", Status.INVALID_CANDIDATE, "wrong_signature"),
        ("def other(x, y): pass", Status.INVALID_CANDIDATE, "missing_entry_point"),
        ("\0", Status.COMPILE_ERROR, "syntax_error"),
    ],
)
def test_what_cannot_work_is_named_at_once(operator, source, status, kind):
    found = fault(operator.definition, source)
    assert found is not None and (found[0], found[1].kind) == (status, kind)
    assert found[1].remedy


def test_functions_that_are_there_are_named_where_the_entry_point_is_not(operator):
    found = fault(operator.definition, "def launch(x, y): pass")
    assert found is not None
    assert found[1].message == "main.py defines no 'run', but launch."


def test_value_returning_style_takes_the_inputs_alone(operator):
    assert fault(operator.definition, "def run(x): return x", style=False) is None


def test_a_solution_for_another_operator_is_refused(operator):
    found = fault(operator.definition, "def run(x, y): pass", of="triple")
    assert found is not None and found[1].kind == "wrong_definition"


def test_a_source_that_takes_long_to_parse_is_left_to_the_judge(operator, monkeypatch):
    monkeypatch.setattr(f"{precheck.__module__}.ast", None)
    assert fault(operator, "def run(x, y): pass\n" + "x\n" * (3 << 20)) is None


@pytest.mark.parametrize(
    "said",
    [
        "\"cdist\" not implemented for 'Half'",
        "Could not run 'aten::_weight_int4pack_mm' with arguments from the 'CPU' backend",
    ],
)
def test_what_torch_lacks_without_a_gpu_is_this_machines_and_not_the_operators(said):
    """A reference that runs on its device was called invalid."""
    error = DatasetError(f"The reference failed with NotImplementedError: {said}", where="r.py")
    status, failure = operator_fault(error, interpreted=True)
    assert (status, failure.kind) == (Status.NOT_JUDGED, "needs_gpu")
    assert said in failure.message and "GPU" in failure.remedy
    assert operator_fault(error)[0] is Status.INVALID_REFERENCE


def test_an_operators_own_refusal_is_its_fault_without_a_gpu_too():
    error = DatasetError("The reference failed with NotImplementedError: half", where="r.py")
    assert operator_fault(error, interpreted=True)[0] is Status.INVALID_REFERENCE


def test_files_at_fault_beside_the_first_are_named_once():
    error = DatasetError("It cannot be imported", where="/o/cost.py")
    others = ["/o/cost.py:3: it is no Python", "/o/inputs.py:9: it is no Python"]
    _, failure = operator_fault(error, others)
    assert failure.message == (
        "It cannot be imported (/o/cost.py). Also /o/inputs.py:9: it is no Python."
    )
