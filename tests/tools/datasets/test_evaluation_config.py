"""What a file says of how definitions are judged and timed, by op_type and name."""

from __future__ import annotations

import pytest

from kernel_harness.tools.datasets.evaluation_config import (
    EvaluationChoices,
    choices_of,
    read_config,
)
from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.evaluation.plan import CHECKS
from kernel_harness.tools.schema.evaluation import Executor, Scope
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Criterion

CONFIG = """\
atol: 0.5
rtol: 0.5
use_isolated_runner: true
op_type_config:
  moe: {rtol: 0.3, required_matched_ratio: 0.9}
  sampling: {sampling_validation_trials: 100, sampling_tvd_threshold: 0.2}
definition_config:
  special: {rtol: 0.1, criterion: published}
"""


def definition(folder, name: str, op_type: str):
    folder.definition(name, op_type)
    folder.workloads(1, definition=name, op_type=op_type)
    return Dataset.load(folder.root).operators[name].definition


def test_the_nearest_word_counts(folder, tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    config = read_config(path)

    def rtol(name: str, op_type: str, **said: float):
        return config.of(definition(folder, name, op_type), choices_of(said)).rtol

    assert rtol("plain", "scale") == 0.5
    assert rtol("experts", "moe") == 0.3
    assert rtol("special", "moe") == 0.1
    assert rtol("special", "moe", rtol=0.01) == 0.01
    found = config.of(definition(folder, "special", "moe"), EvaluationChoices())
    assert (found.atol, found.required_matched_ratio) == (0.5, 0.9)
    assert found.criterion is Criterion.PUBLISHED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("atoll: 1", "atoll"),
        ("atol: -1", "atol"),
        ("op_type_config: {moe: {rtoll: 1}}", "op_type_config.moe.rtoll"),
        ("op_type_config: {moe: 3}", "op_type_config.moe"),
        ("op_type_config: [moe]", "op_type_config"),
        ("operator_config: {}", "operator_config"),
        ("- atol", "no table"),
        ("atol: [", "cannot be read"),
    ],
)
def test_what_nothing_knows_is_refused(tmp_path, text, words) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=words):
        read_config(path)
    with pytest.raises(RequestError, match="cannot be read"):
        read_config(tmp_path / "none.yaml")


def test_an_operator_keeps_its_policy_where_nothing_is_said_of_it(folder) -> None:
    definition(folder, "double", "scale")
    operator = Dataset.load(folder.root).operators["double"]
    assert EvaluationChoices(num_trials=3).operator(operator) is operator
    assert EvaluationChoices(atol=0.01).operator(operator) is operator
    own = EvaluationChoices(atol=0.25).operator(operator)
    assert own.own_policy and own.policy.tolerance.atol == 0.25
    assert own.policy.tolerance.rtol == operator.policy.tolerance.rtol


def test_checks_are_those_of_the_scope_with_what_is_said_changed() -> None:
    assert EvaluationChoices(atol=1).checks(Scope.FULL, Executor.CUDA) is None
    said = EvaluationChoices(num_trials=5, warmup_runs=2, iterations=50)
    found = said.checks(Scope.FULL, Executor.CUDA)
    assert found is not None
    assert (found.trials, found.warm_calls, found.max_pairs) == (5, 2, 50)
    assert found.pairs_per_block * found.blocks >= 50 and found.half_width == 0.0
    assert found.held_out == CHECKS[Scope.FULL].held_out
    on_cpu = said.checks(Scope.FULL, Executor.INTERPRETER)
    assert on_cpu is not None and not on_cpu.timed
