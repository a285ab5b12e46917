"""One operator: its parts, the defaults for those it lacks, and faults that name their file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from kernel_harness.tools.devices.roofline import Cost
from kernel_harness.tools.errors import DatasetError, RequestError
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution
from kernel_harness.tools.schema.measurement import Objective
from kernel_harness.tools.workloads.costs import cost_process
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator, generic_cost
from kernel_harness.tools.workloads.policy import Policy, policy_of, read_policy
from kernel_harness.tools.workloads.solution_folder import write_solution

from .conftest import Write, definition, make_operator

COST = """
def cost(axes, *, structure=None, inputs=None):
    rows = sum(structure["lens"]) if structure else axes["rows"]
    return {"bytes_read": 10 * rows, "bytes_written": 5, "assumptions": ["dense"]}
"""


def solution(name: str, author: str = "me") -> Solution:
    return Solution.model_validate(
        {
            "name": name,
            "definition": "scale_rows",
            "author": author,
            "spec": {"language": "python", "target_hardware": ["cpu"], "entry_point": "m.py::run"},
            "sources": [{"path": "m.py", "content": f"# {name}\ndef run(x, c, s, y): ...\n"}],
        }
    )


def loaded(kernels: Path) -> Operator:
    return Dataset.load(kernels).operators["scale_rows"]


def test_a_workload_is_found_by_a_beginning_of_its_uuid() -> None:
    operator = make_operator([(1, 1)] * 12)
    assert operator.workload("w0003").uuid == "w0003"
    assert operator.workload(" w0011 ").uuid == "w0011"
    with pytest.raises(RequestError, match="ambiguous"):
        operator.workload("w001")
    with pytest.raises(RequestError, match="Nearest"):
        operator.workload("x0001")
    with pytest.raises(RequestError, match="Unknown workload"):
        operator.workload("")


def test_shelves_and_the_policys_baselines_are_read(write_operator: Write) -> None:
    kernels = write_operator(policy__toml='baseline = "fast"\ncpu_baseline = "plain"\n')
    folder = kernels / "scale_rows"
    write_solution(solution("peer one"), folder / "peers" / "fast")
    write_solution(solution("our own"), folder / "solutions" / "plain")
    operator = loaded(kernels)
    assert list(operator.peers()) == ["fast"]
    assert list(operator.solutions()) == ["plain"]
    gpu, cpu = operator.baseline(), operator.baseline(cpu=True)
    assert gpu and gpu.name == "peer one"
    assert cpu and cpu.name == "our own"


def test_a_baseline_that_does_not_exist_is_a_fault_of_the_policy(write_operator: Write) -> None:
    operator = loaded(write_operator(policy__toml='baseline = "gone"'))
    with pytest.raises(DatasetError, match=r"'gone'.*policy\.toml"):
        operator.baseline()


def test_a_datasets_only_baseline_author_is_the_baseline(write_dataset: Write) -> None:
    root = write_dataset()
    for author in ("baseline", "someone"):
        shelf = root / "solutions" / author / "demo" / "scale_rows"
        shelf.mkdir(parents=True)
        (shelf / "s.json").write_text(solution(f"by {author}", author).model_dump_json())
    operator = loaded(root)
    found = operator.baseline()
    assert sorted(operator.solutions()) == ["by baseline", "by someone"]
    assert found and found.name == "by baseline"


def test_an_operator_without_a_folder_has_defaults() -> None:
    operator = make_operator([(1, 1)])
    assert operator.policy == Policy()
    assert (operator.peers(), operator.solutions(), operator.baseline()) == ({}, {}, None)
    assert operator.policy.strict_limit("y").kind == "values"


def first_cost(kernels: Path) -> Cost:
    operator = loaded(kernels)
    return operator.expected_cost(operator.workloads[0].uuid)


def test_cost_comes_from_the_operators_own_file(write_operator: Write) -> None:
    kernels = write_operator(cost__py=COST)
    plain, rows = first_cost(kernels), loaded(kernels).workloads[0].axes["rows"]
    assert (plain.bytes_read, plain.bytes_written, plain.upper_bound) == (10 * rows, 5, False)
    assert plain.assumptions == ("dense",)
    structure = {loaded(kernels).workloads[0].uuid: {"lens": [1, 1]}}
    (kernels / "scale_rows" / "structure.json").write_text(json.dumps(structure))
    assert first_cost(kernels).bytes_read == 20


def test_a_cost_file_is_given_the_constant_axes_too(write_operator: Write) -> None:
    text = "def cost(axes, **_): return {'bytes_read': axes['width'], 'bytes_written': 1}"
    assert first_cost(write_operator(cost__py=text)).bytes_read == 64


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import time; time.sleep(60)", "had not returned after 1 s"),
        ("while True: pass", "had not returned after 1 s"),
        ("import os; os._exit(3)", "it ended its process"),
        ("return {'bytes_read': len(bytearray(1 << 50))}", "MemoryError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_cost_file_takes_neither_the_server_nor_its_time_along(
    write_operator: Write, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    """It ran in the server: an endless loop held a thread of it for ever."""
    monkeypatch.setattr(cost_process, "LIMIT_S", 1)
    kernels = write_operator(cost__py=f"def cost(axes, **_):\n    {body}\n")
    with pytest.raises(DatasetError, match=words):
        first_cost(kernels)


FORKS = "if os.fork() == 0:\n        "


@pytest.mark.parametrize(
    "body",
    [
        FORKS + "os.setsid(); time.sleep(8); os._exit(0)",  # holds what it was given open
        FORKS + "time.sleep(8); os._exit(0)",
        "os.fork(); time.sleep(0.1)",
        "[os.write(fd, b'no count\\n[]\\n') for fd in (3, 4) if os.path.exists(f'/dev/fd/{fd}')]",
    ],
)
def test_what_a_cost_file_leaves_behind_or_says_besides_changes_no_count(
    write_operator: Write, body: str
) -> None:
    """A process that it left held its caller for as long as that lived."""
    text = f"import os, time\ndef cost(axes, **_):\n    {body}\n"
    text += "    return {'bytes_read': axes['rows']}\n"
    operator = loaded(write_operator(cost__py=text))
    began = time.monotonic()
    found = [operator.expected_cost(w.uuid).bytes_read for w in operator.workloads]
    assert found == [w.axes["rows"] for w in operator.workloads] and len(set(found)) > 1
    assert time.monotonic() - began < 4


def test_what_is_counted_before_one_says_too_much_is_kept(
    write_operator: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_process, "MOST_BYTES", 10_000)
    text = "import itertools\nmore = itertools.count()\n"
    text += "def cost(axes, **_): return {'assumptions': ['x' * 20_000 * next(more)]}\n"
    first, second, *_ = (operator := loaded(write_operator(cost__py=text))).workloads
    assert operator.expected_cost(first.uuid).assumptions == ("",)
    with pytest.raises(DatasetError, match="it ended its process"):
        operator.expected_cost(second.uuid)


def test_one_process_counts_all_workloads_and_what_it_prints_is_no_count(
    write_operator: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import os\nprint('read')\ndef cost(axes, **_):\n    print('x')\n"
    text += "    return {'bytes_read': os.getpid()}\n"
    operator = loaded(write_operator(cost__py=text))
    found = {operator.expected_cost(w.uuid).bytes_read for w in operator.workloads}
    assert len(operator.workloads) > 1 and len(found) == 1 and found != {os.getpid()}


def test_the_expected_cost_of_a_workload_follows_an_edited_cost_file(write_operator: Write) -> None:
    kernels = write_operator(cost__py="def cost(axes, **_): return {'bytes_read': axes['rows']}")
    operator = loaded(kernels)
    first = operator.workloads[0]
    assert operator.expected_cost(first.uuid).bytes_read == first.axes["rows"]
    path = kernels / "scale_rows" / "cost.py"
    path.write_text("def cost(axes, **_): return {'bytes_read': 7 * axes['rows']}")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))
    assert operator.expected_cost(first.uuid).bytes_read == 7 * first.axes["rows"]


@pytest.mark.parametrize(
    "text",
    [
        "def cost(axes, **_): raise RuntimeError('boom')",
        "def cost(axes, **_): return {'bites': 1}",
        "def cost(axes, **_): return {'bytes_read': float('nan')}",
        "def cost(axes, **_): return {'bytes_read': -1}",
        "def cost(axes, **_): return {'bytes_read': 10**400}",
        "def cost(axes, **_): return {'bytes_read': '3'}",
        "def cost(axes, **_): return {'dependent_kernels': float('nan')}",
        "def cost(axes, **_): return {'step_us': float('inf')}",
        "def cost(axes, **_): return {'step_us': 'a microsecond'}",
        "other = 1",
        "raise ImportError('boom')",
        "def cost(axes, **_): exit(3)",
    ],
)
def test_a_broken_cost_file_is_named(write_operator: Write, text: str) -> None:
    with pytest.raises(DatasetError, match=r"cost\.py") as refused:
        first_cost(write_operator(cost__py=text))
    if "bites" in text:
        assert "bytes_read, bytes_written, l2_bytes, flops" in str(refused.value)


def test_the_generic_cost_counts_every_byte_once_and_says_it_is_a_bound() -> None:
    operator = make_operator([(3, 2)])
    cost = generic_cost(operator.definition, {"rows": 3, "pages": 2})
    assert cost.bytes_read == 3 * 64 * 2 + 2 * 64 * 4
    assert cost.bytes_written == 3 * 64 * 2
    assert cost.upper_bound


def test_a_policy_with_a_name_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[strict.y]\nrms_factr = 2.0\n")
    with pytest.raises(DatasetError, match="rms_factr"):
        read_policy(path)
    path.write_text("= 3")
    with pytest.raises(DatasetError, match="Not TOML"):
        read_policy(path)
    assert read_policy(tmp_path / "none.toml") == Policy()


def test_an_objective_that_is_not_known_is_refused_with_those_that_are(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text('objective = "fastest"\n')
    with pytest.raises(DatasetError, match="objective.*'fastest'.*'cold', 'clean', 'sustained'"):
        read_policy(path)


@pytest.mark.parametrize(
    ("name", "objective"),
    [("mean_latency_us", Objective.COLD), *((str(o), o) for o in Objective)],
)
def test_a_policy_chooses_the_times_that_rank(tmp_path, name, objective):
    path = tmp_path / "policy.toml"
    path.write_text(f'objective = "{name}"\n')
    assert read_policy(path).objective is objective
    assert Policy().objective is Objective.COLD


def test_what_a_plain_definition_of_a_mixture_of_experts_must_match_is_as_published(
    tmp_path: Path,
) -> None:
    moe = Definition.model_validate(definition(op_type="moe"))
    assert policy_of(moe, None).tolerance.required_matched_ratio == 0.95
    assert policy_of(moe, tmp_path).tolerance.required_matched_ratio == 1.0
    plain = Definition.model_validate(definition())
    assert policy_of(plain, None) == Policy()
