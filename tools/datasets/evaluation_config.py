"""How a run judges and times each definition: one file by op_type and definition, as in YAML.

The file has FlashInfer-Bench's names. What stands at its top holds for all; `op_type_config` and,
above it, `definition_config` say what differs; what the caller says counts most. Names that nothing
knows are refused: a misspelt tolerance would be none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import RequestError
from ..evaluation.plan import CHECKS, interpreter_checks
from ..messages.judge import Checks
from ..schema.definition import Definition
from ..schema.evaluation import Executor, Scope
from ..text import field_faults
from ..workloads.operators import Operator
from ..workloads.policy import Criterion, ToleranceForm

UNUSED = ("use_isolated_runner", "sampling_validation_trials", "sampling_tvd_threshold")
"""Names of FlashInfer-Bench's that are read and change nothing: every candidate has a process of
its own here, and draws are held to their probabilities by how many there are."""


class EvaluationChoices(BaseModel):
    """What can be said of how a definition is judged and timed; None: as is usual."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    atol: float | None = Field(default=None, ge=0)
    rtol: float | None = Field(default=None, ge=0)
    required_matched_ratio: float | None = Field(default=None, gt=0, le=1)
    form: ToleranceForm | None = None
    criterion: Criterion | None = None
    num_trials: int | None = Field(default=None, ge=1)
    warmup_runs: int | None = Field(default=None, ge=0)
    iterations: int | None = Field(default=None, ge=1)
    timeout_seconds: float | None = Field(default=None, gt=0)
    profile_baseline: bool | None = None

    def over(self, other: EvaluationChoices) -> EvaluationChoices:
        """These choices, and the other's where these say nothing."""
        said = self.model_dump(exclude_none=True)
        return EvaluationChoices(**{**other.model_dump(exclude_none=True), **said})

    def operator(self, operator: Operator) -> Operator:
        """The operator as it is judged by these choices; itself where they say nothing of that."""
        tolerance = {
            name: value
            for name in ("atol", "rtol", "required_matched_ratio", "form")
            if (value := getattr(self, name)) is not None
        }
        policy = operator.policy.model_copy(
            update={
                "tolerance": operator.policy.tolerance.model_copy(update=tolerance),
                "criterion": self.criterion or operator.policy.criterion,
            }
        )
        same = policy == operator.policy
        return operator if same else replace(operator, policy=policy, own_policy=True)

    def checks(self, scope: Scope, executor: Executor) -> Checks | None:
        """The checks of a scope as these choices change them; None where they do not."""
        changed: dict[str, Any] = {}
        if self.num_trials is not None:
            changed["trials"] = self.num_trials
        if self.warmup_runs is not None:
            changed["warm_calls"] = self.warmup_runs
        usual = CHECKS[scope]
        if self.iterations is not None:
            # An exact number of timed pairs: no interval ends them sooner.
            changed |= {"max_pairs": self.iterations, "half_width": 0.0}
            changed["pairs_per_block"] = math.ceil(self.iterations / usual.blocks)
        if not changed:
            return None
        if executor is Executor.INTERPRETER:
            usual = interpreter_checks(usual)
        return usual.model_copy(update=changed)


@dataclass(frozen=True)
class EvaluationConfig:
    """What a file says of all definitions, of op_types, and of single definitions."""

    everywhere: EvaluationChoices = EvaluationChoices()
    op_types: Mapping[str, EvaluationChoices] | None = None
    definitions: Mapping[str, EvaluationChoices] | None = None

    def of(self, definition: Definition, said: EvaluationChoices) -> EvaluationChoices:
        """The choices for one definition.

        Args:
            said: by the caller; they count most.
        """
        named = (self.definitions or {}).get(definition.name, EvaluationChoices())
        kind = (self.op_types or {}).get(definition.op_type, EvaluationChoices())
        return said.over(named.over(kind.over(self.everywhere)))


def read_config(path: Path) -> EvaluationConfig:
    """Reads a file of choices, in YAML or JSON.

    Raises:
        RequestError: when it cannot be read, or says what nothing knows, naming the field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RequestError(f"The configuration cannot be read: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise RequestError(
            "The configuration is no table of names", where=str(path), remedy="Write atol: 0.01."
        )
    everywhere = {k: v for k, v in content.items() if not k.endswith("_config")}
    sections = {k: v for k, v in content.items() if k.endswith("_config")}
    if unknown := sections.keys() - {"op_type_config", "definition_config"}:
        raise RequestError(
            f"The configuration has an unknown section {min(unknown)!r}",
            where=str(path),
            remedy="There are op_type_config and definition_config.",
        )
    return EvaluationConfig(
        _stated(everywhere, "", path),
        _section(sections.get("op_type_config"), "op_type_config", path),
        _section(sections.get("definition_config"), "definition_config", path),
    )


def _section(content: Any, name: str, path: Path) -> dict[str, EvaluationChoices]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RequestError(f"{name} is no table of names", where=str(path))
    return {str(key): _stated(value, f"{name}.{key}.", path) for key, value in content.items()}


def choices_of(said: Mapping[str, Any], place: str = "") -> EvaluationChoices:
    """The choices that a table of names and values states.

    Raises:
        RequestError: when a name is unknown or a value out of bounds.
    """
    try:
        return EvaluationChoices.model_validate(said)
    except ValidationError as error:
        words = "; ".join(f"{place}{name}: {why}" for name, why in field_faults(error))
        raise RequestError(
            words,
            remedy=f"The names are {', '.join(EvaluationChoices.model_fields)}.",
        ) from error


def _stated(content: Any, place: str, path: Path) -> EvaluationChoices:
    if not isinstance(content, dict | None):
        raise RequestError(f"{place.rstrip('.')} is no table of names", where=str(path))
    used = {k: v for k, v in (content or {}).items() if k not in UNUSED}
    try:
        return choices_of(used, place)
    except RequestError as error:
        raise RequestError(error.what, where=str(path), remedy=error.remedy) from error
