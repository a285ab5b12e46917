"""Finds operators: our own folders and FlashInfer-Trace datasets, side by side.

One bad file never hides the others: it is listed in `problems` with file, line and field, and
everything else loads. A folder that is missing or holds nothing is an error, for a misspelt path
that gives an empty set costs more than a refusal.

A FlashInfer-Trace file belongs to the definition that it names. No tensor is read at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..errors import DatasetError, HarnessError, RequestError, unknown_name
from ..schema.flashinfer_trace import (
    Definition,
    Solution,
    Trace,
    Workload,
    interface_hash,
    unknown_keys,
)
from .dataset_problem import (
    DatasetProblem,
    faults_of,
    refused,
    tensor_file_faults,
    with_reference,
)
from .operators import Operator, read_json_object
from .policy import Policy, default_policy, policy_faults, read_policy, unknown_workloads

INPUTS = "inputs.py"
REFERENCE_FILE = "reference.py"
IGNORED = "the format has no such field; it is ignored, so the verdict does not follow it"
_NAMED = re.compile(rb'"definition"\s*:\s*"([^"\\]+)"')


class _Line(NamedTuple):
    """One line of a file of workloads."""

    path: Path
    number: int
    text: bytes


@dataclass(frozen=True)
class Dataset:
    """Every operator that could be read, by name, and what could not be."""

    operators: Mapping[str, Operator] = field(default_factory=dict)
    problems: tuple[DatasetProblem, ...] = ()

    @classmethod
    def load(cls, kernels_dir: Path, roots: Sequence[Path] = ()) -> Dataset:
        """Reads the shipped operators, then each dataset; a later one adds to an earlier one.

        Where a dataset has workloads for an operator that is shipped, with the same inputs and
        outputs, the dataset's workloads are used, with its tensors, and the shipped folder still
        says how they are judged.

        Raises:
            DatasetError: when a folder is missing or holds no definition at all.
        """
        reader = _Reader()
        for place in (kernels_dir, *roots):
            before = len(reader.seen)
            if not place.is_dir():
                raise DatasetError(
                    "The dataset folder does not exist",
                    where=str(place),
                    remedy="Correct the path in the settings dataset or kernels_dir.",
                )
            if (place / "definitions").is_dir():
                reader.read_trace_dataset(place)
            else:
                reader.read_operator_folders(place)
            if len(reader.seen) == before:
                raise DatasetError(
                    "The dataset folder holds no definition",
                    where=str(place),
                    remedy="Expected <operator>/definition.json or definitions/<op_type>/*.json.",
                )
        return cls(operators=reader.operators, problems=tuple(reader.problems))

    def operator(self, name: str) -> Operator:
        """Finds an operator by its name, a unique beginning, a unique part, or its parts in order.

        A part of a number is none: of softmax_v32000 no v3200 is meant.

        Raises:
            RequestError: when none or several fit, naming the nearest.
            DatasetError: when its own file cannot be used.
        """
        short = name.strip().strip("/").strip()
        if short in self.operators:
            return self.operators[short]
        self._refuse_unusable(short, str.__eq__)
        known = list(self.operators)
        lowered = short.lower()
        whole = _uncut(lowered)
        for fits in (whole.match, whole.search, partial(_has_parts, short=lowered)):
            matches = [n for n in known if lowered and fits(n.lower())]
            if len(matches) == 1:
                return self.operators[matches[0]]
            if matches:
                raise RequestError(
                    f"Definition {name!r} is ambiguous",
                    remedy=f"Say which: {', '.join(matches[:8])}.",
                )
        self._refuse_unusable(short, str.startswith)
        raise unknown_name("definition", short, known, remedy="list_workloads names them all.")

    def unread(
        self, name: str, fits: Callable[[str, str], bool] = str.startswith
    ) -> list[DatasetProblem]:
        """What is wrong with a definition that is there and cannot be read; empty for others."""
        short = name.strip().strip("/").strip()
        known = [one for one in self.problems if one.definition not in self.operators]
        found = next((p.definition for p in known if short and fits(p.definition, short)), None)
        return [problem for problem in known if problem.definition == found]

    def _refuse_unusable(self, short: str, fits: Callable[[str, str], bool]) -> None:
        """Refuses a definition that is there and cannot be read, by its first problem."""
        for problem in self.unread(short, fits)[:1]:
            what = f"Definition {problem.definition!r} cannot be used"
            what += f": {problem.field}" if problem.field else ""
            remedy = "Correct that file; no change to the candidate helps. check_environment with "
            remedy += "that definition lists every fault of its folder."
            raise DatasetError(what, where=str(problem), remedy=remedy)


def _uncut(short: str) -> re.Pattern[str]:
    """Finds a short form where it cuts no number."""
    before, after = (r"(?<!\d)" * short[:1].isdigit(), r"(?!\d)" * short[-1:].isdigit())
    return re.compile(f"{before}{re.escape(short)}{after}")


def _has_parts(name: str, short: str) -> bool:
    """Whether the words of a short form stand in a name in that order: dsa_attention, say."""
    rest = iter(re.split(r"[_\W]+", name))
    return all(part in rest for part in re.split(r"[_\W]+", short))


class _Reader:
    """Gathers operators and problems while folders are read."""

    def __init__(self) -> None:
        self.operators: dict[str, Operator] = {}
        self.problems: list[DatasetProblem] = []
        self.seen: list[Path] = []

    def read_operator_folders(self, place: Path) -> None:
        for folder in sorted(place.iterdir()):
            path = folder / "definition.json"
            if not path.is_file():
                continue
            definition = self._definition(path, folder / REFERENCE_FILE)
            if definition is None:
                self._read_others(folder)
                continue
            if definition.name != folder.name:
                self._problem(path, None, "name", f"{definition.name!r} is not the folder's name")
            published = self._object(folder / "published.json")
            policy = self._policy(folder / "policy.toml", definition)
            before = len(self.problems)
            lines = self._lines(folder / "workloads.jsonl")
            own_inputs = (folder / INPUTS).is_file()
            workloads, left_out = self._workloads(lines, definition, policy, own_inputs=own_inputs)
            unusable = self._since(before)
            for key, words in unknown_workloads(policy, [w.uuid for w in workloads]):
                self._problem(folder / "policy.toml", None, key, words)
            self._add(
                Operator(
                    definition=definition,
                    workloads=workloads,
                    unusable=unusable,
                    left_out=left_out,
                    folder=folder,
                    policy=policy,
                    structure=self._object(folder / "structure.json"),
                    published=dict(published.get("latency_us") or {}),
                    published_source=str(published.get("source", "")),
                    published_device=str(published.get("device", "")),
                ),
                path,
            )

    def _read_others(self, folder: Path) -> None:
        """Reads what else an operator has whose definition cannot be used, for its faults."""
        self._policy(folder / "policy.toml", None)
        for name in ("published.json", "structure.json"):
            self._object(folder / name)
        for path, number, line in self._lines(folder / "workloads.jsonl"):
            try:
                Trace.model_validate_json(line)
            except ValidationError as error:
                self.problems += refused(str(path), number, error)

    def read_trace_dataset(self, root: Path) -> None:
        paths = sorted((root / "definitions").rglob("*.json"))
        found = [(path, d) for path in paths if (d := self._definition(path)) is not None]
        names = {definition.name for _, definition in found}
        lines = self._lines_by_definition(root / "workloads", names)
        solutions = self._solutions_by_definition(root / "solutions", names)
        for path, definition in found:
            before = len(self.problems)
            own = lines.get(definition.name, [])
            policy = self._shipped_policy(definition)
            own_inputs = self._has_inputs(definition)
            workloads, left_out = self._workloads(own, definition, policy, own_inputs=own_inputs)
            if own:
                for words in tensor_file_faults(root, workloads):
                    self._problem(own[0].path, None, "workload.inputs", words)
            self._add(
                Operator(
                    definition=definition,
                    workloads=workloads,
                    unusable=self._since(before),
                    left_out=left_out,
                    root=root,
                    policy=policy,
                    dataset_solutions=tuple(solutions.get(definition.name, ())),
                ),
                path,
            )

    def _lines_by_definition(self, place: Path, names: Set[str]) -> dict[str, list[_Line]]:
        """The lines of all files of workloads, by the definition that each names, else its file."""
        found: dict[str, list[_Line]] = {}
        for path in sorted(place.rglob("*.jsonl")):
            first: dict[str, int | None] = {}
            for line in self._lines(path):
                named = _NAMED.search(line.text)
                name = named[1].decode("utf-8", "replace") if named else path.stem
                found.setdefault(name, []).append(line)
                first.setdefault(name, line.number)
            for name, number in (first or {path.stem: None}).items():
                if name not in names:
                    self._problem(path, number, "definition", f"no definition named {name!r}")
        return found

    def _solutions_by_definition(self, place: Path, names: Set[str]) -> dict[str, list[Solution]]:
        """The solutions that can be read, by the definition that each names."""
        found: dict[str, list[Solution]] = {}
        for path in sorted(place.rglob("*.json")):
            try:
                solution = Solution.model_validate_json(path.read_bytes())
            except (ValidationError, OSError) as error:
                self.problems += refused(str(path), None, error)
                continue
            found.setdefault(solution.definition, []).append(solution)
            if solution.definition not in names:
                words = f"no definition named {solution.definition!r}"
                self._problem(path, None, "definition", words)
        return found

    def _add(self, operator: Operator, path: Path) -> None:
        earlier = self.operators.get(operator.name)
        if earlier is None or earlier.root == operator.root:
            if earlier is not None:
                self._problem(path, None, "name", f"{operator.name!r} is defined twice; kept first")
                return
            self.operators[operator.name] = operator
        elif interface_hash(earlier.definition) == interface_hash(operator.definition):
            self.operators[operator.name] = _merged(earlier, operator)
        else:
            self._problem(
                path,
                None,
                "inputs",
                f"{operator.name!r} differs from the shipped operator, which is hidden by it",
            )
            self.operators[operator.name] = operator

    def _definition(self, path: Path, reference: Path | None = None) -> Definition | None:
        """The definition of a file, whose reference may be a file beside it."""
        self.seen.append(path)
        try:
            whole = path.read_bytes()
            if reference is not None and reference.is_file():
                whole = with_reference(whole, reference.read_text(encoding="utf-8"))
            definition = Definition.model_validate_json(whole)
        except (ValidationError, OSError, UnicodeDecodeError) as error:
            self.problems += refused(str(path), None, error)
            return None
        if reference is not None and reference.is_file():
            given = reference.read_text(encoding="utf-8")
            if given != definition.reference:
                words = "is not the reference of definition.json, by which candidates are judged"
                self._problem(reference, None, "", words)
        for key in unknown_keys(definition):
            self._problem(path, None, key, IGNORED)
        return definition

    def _shipped_policy(self, definition: Definition) -> Policy:
        """The policy under which workloads of this definition will be judged."""
        earlier = self._shipped(definition)
        return default_policy(definition) if earlier is None else earlier.policy

    def _has_inputs(self, definition: Definition) -> bool:
        """Whether code will make the inputs of this definition's workloads."""
        earlier = self._shipped(definition)
        folder = None if earlier is None else earlier.folder
        return folder is not None and (folder / INPUTS).is_file()

    def _shipped(self, definition: Definition) -> Operator | None:
        """The operator that was read before and is the same."""
        earlier = self.operators.get(definition.name)
        if earlier is None or interface_hash(earlier.definition) != interface_hash(definition):
            return None
        return earlier

    def _lines(self, path: Path) -> list[_Line]:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            self._problem(path, None, "", f"cannot be read: {error.strerror}")
            return []
        return [_Line(path, n, line) for n, line in enumerate(lines, start=1) if line.strip()]

    def _workloads(
        self,
        lines: Iterable[_Line],
        definition: Definition,
        policy: Policy,
        *,
        own_inputs: bool,
    ) -> tuple[tuple[Workload, ...], tuple[str, ...]]:
        """The workloads of lines, and which lines are not used, each with the reason."""
        found: dict[str, Workload] = {}
        left_out: dict[str, str] = {}
        foreign: dict[tuple[Path, str], int] = {}
        for path, number, line in lines:
            try:
                trace = Trace.model_validate_json(line)
            except ValidationError as error:
                why = refused(str(path), number, error)
                self.problems += why
                left_out[f"{path.name}:{number}"] = why[0].message
                continue
            wrong = faults_of(trace, definition, policy, found, own_inputs=own_inputs)
            if wrong:
                left_out[f"{path.name}:{number}"] = wrong[0][1]
                for place, words in wrong:
                    self._problem(path, number, place, words)
            else:
                found[trace.workload.uuid] = trace.workload
                for key in unknown_keys(trace):
                    foreign.setdefault((path, key), number)
        for (path, key), number in foreign.items():
            self._problem(path, number, key, IGNORED)
        return tuple(found.values()), tuple(f"{line}: {why}" for line, why in left_out.items())

    def _policy(self, path: Path, definition: Definition | None) -> Policy:
        try:
            policy = read_policy(path)
        except HarnessError as error:
            self._problem(path, None, "", error.what)
            return Policy()
        for place, words in policy_faults(definition, policy, path.parent) if definition else ():
            self._problem(path, None, place, words)
        return policy

    def _object(self, path: Path) -> dict[str, Any]:
        try:
            return read_json_object(path)
        except HarnessError as error:
            self._problem(path, None, "", error.what)
            return {}

    def _since(self, before: int) -> tuple[str, ...]:
        """The problems found since there were `before` of them."""
        return tuple(str(problem) for problem in self.problems[before:])

    def _problem(self, path: Path, line: int | None, place: str, message: str) -> None:
        self.problems.append(DatasetProblem(str(path), line, place, message))


def _merged(shipped: Operator, dataset: Operator) -> Operator:
    """The shipped operator with a dataset's workloads, tensors and solutions."""
    workloads = dataset.workloads or shipped.workloads
    return replace(
        shipped,
        workloads=workloads,
        root=dataset.root,
        digest=dataset.digest if dataset.workloads else shipped.digest,
        left_out=dataset.left_out if dataset.workloads else shipped.left_out + dataset.left_out,
        dataset_solutions=shipped.dataset_solutions + dataset.dataset_solutions,
    )
