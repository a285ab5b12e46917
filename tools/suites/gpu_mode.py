"""gpu-mode: tasks in the form of its problems as operator folders, and submissions for them.

A task is a folder with task.yml, reference.py and what its files name; a submission is a file with
`custom_kernel`. What cannot be imported is listed with its reason. Nothing of the suite is part of
this project, and its licence is for the person to read who brings the folder.

| gpu-mode                                | operator folder                                      |
| --------------------------------------- | ---------------------------------------------------- |
| data: tensors, numbers, dicts of such   | inputs, numbers as scalars; sizes that change: axes  |
| a buffer among the data                 | made anew for every call, no input                   |
| generate_input, secret seed             | inputs.py, under a seed of the judge's               |
| ref_kernel                              | reference.py and the definition's reference          |
| check_implementation                    | compare.py, which alone decides                      |
| tests                                   | workloads test-<i>, for correctness alone            |
| benchmarks                              | workloads bench-<i>, timed                           |
| ranking_by: geom, last                  | origin.json; `score gpu-mode` ranks by it            |
| ref_kernel as a submission              | peers/reference, the baseline                        |
| multi_gpu, lang other than py           | not imported                                         |
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..errors import RequestError
from ..schema.flashinfer_trace import BuildSpec, Definition, Solution, SourceFile
from .operator_folder import (
    CANDIDATES,
    LIBRARIES,
    Imported,
    OperatorFiles,
    digest_of,
    python_language,
    write_candidate,
)
from .origin import TaskOrigin
from .probing.axes import AxisTable
from .probing.client import ask
from .texts import gpu_mode as texts

SUITE = "gpu-mode"
BASELINE = "reference"
TASK_FILE = "task.yml"
REFERENCE = "reference"
SUBMISSION = "@SUBMISSION@"
MAIN = "eval.py"
LIMIT_S = 180.0
Size = tuple[int, list[tuple[int, str, int]]]
"""A number, and the inputs' sizes that are added to it or taken from it: sign, name, dimension."""
_LEADERBOARD = re.compile(r"^#!POPCORN +leaderboard +(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class GpuModeTask:
    """A task's folder as read.

    Args:
        sources: its own files, by module.
        cases: what generate_input is called with, by workload; tests come first.
    """

    folder: Path
    label: str
    sources: Mapping[str, str]
    cases: Mapping[str, Mapping[str, Any]]
    ranked_by: str
    description: str

    @property
    def operator(self) -> str:
        """The name of its operator."""
        return "gpu_mode_" + re.sub(r"\W+", "_", self.folder.name.lower())

    @property
    def digest(self) -> str:
        """SHA-256 of its files."""
        return digest_of(*(f"{name} {text}" for name, text in sorted(self.sources.items())))


@dataclass(frozen=True)
class TaskForm:
    """What the entry points of a task's submissions are made of."""

    task: GpuModeTask
    tree: Any
    fresh: Mapping[str, Any]
    names: list[str]

    def solution(self, name: str, source: str) -> Solution:
        """A submission as it is, behind an entry point that hands it the task's data."""
        modules = sorted(self.task.sources, key=lambda module: (module == REFERENCE, module))
        entry = texts.entry_text(self.tree, self.fresh, self.names, modules)
        files = {"kernel.py": entry, "submission.py": source}
        files |= {f"{module}.py": self.task.sources[module] for module in modules}
        return Solution(
            name=name,
            definition=self.task.operator,
            author=SUITE,
            spec=BuildSpec(
                language=python_language(source),
                target_hardware=["cuda"],
                entry_point="kernel.py::run",
                destination_passing_style=False,
            ),
            sources=[SourceFile(path=path, content=text) for path, text in files.items()],
        )


def import_gpu_mode(folder: Path, out: Path, *, candidates: Sequence[Path] = ()) -> Imported:
    """Writes an operator folder for each task, and a candidate's folder for each submission.

    Args:
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of submissions; each names its task in a line `#!POPCORN leaderboard`,
            or lies in a folder of the task's name.

    Raises:
        RequestError: when there is no task, or a folder of candidates is missing.
    """
    places = sorted(path.parent for path in folder.rglob(TASK_FILE))
    if not places:
        raise RequestError(
            "There is no task of gpu-mode",
            where=str(folder),
            remedy=f"Give its checkout: folders that hold {TASK_FILE} and reference.py.",
        )
    if missing := [str(place) for place in candidates if not place.is_dir()]:
        raise RequestError("The folder of candidates does not exist", where=missing[0])
    left_out: dict[str, str] = {}
    tasks = []
    for place in places:
        read = read_task(place, folder)
        if isinstance(read, GpuModeTask):
            tasks.append(read)
        else:
            left_out[place.relative_to(folder).as_posix()] = read
    forms: dict[str, TaskForm] = {}
    for task, facts in _probed(tasks):
        try:
            files, form = _operator(task, facts, left_out)
        except (ValueError, ValidationError) as error:
            left_out[task.label] = _words(error)
            continue
        files.write(out)
        forms[task.folder.name] = form
    written = list(_candidates(candidates, forms, out, left_out))
    return Imported(out, tuple(f.task.operator for f in forms.values()), tuple(written), left_out)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return str(error)


def read_task(folder: Path, root: Path) -> GpuModeTask | str:
    """The task of a folder, or why it cannot be an operator."""
    try:
        said = yaml.safe_load((folder / TASK_FILE).read_text(encoding="utf-8"))
        if not isinstance(said, dict):
            return f"{TASK_FILE} holds no keys"
        if said.get("multi_gpu"):
            return "it needs several GPUs"
        if said.get("lang", "py") != "py":
            return f"its language is {said['lang']!r}, not 'py'"
        sources = _sources(folder, said.get("files") or ())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return f"it cannot be read: {' '.join(str(error).split())}"
    if REFERENCE not in sources:
        return "it has no reference.py"
    kinds = {"test": said.get("tests") or (), "bench": said.get("benchmarks") or ()}
    cases = {f"{kind}-{i}": case for kind, listed in kinds.items() for i, case in enumerate(listed)}
    if not cases:
        return "it has neither tests nor benchmarks"
    label = folder.relative_to(root).as_posix()
    ranked_by, words = str(said.get("ranking_by") or "last"), str(said.get("description") or "")
    return GpuModeTask(folder, label, sources, cases, ranked_by, " ".join(words.split())[:400])


def _sources(folder: Path, files: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The Python files that task.yml names, but for the submission's and the one that evaluates."""
    named = {file["name"]: file["source"] for file in files}
    if not named:
        named = {path.name: path.name for path in folder.glob("*.py")}
    return {
        name.removesuffix(".py"): (folder / source).read_text(encoding="utf-8")
        for name, source in named.items()
        if name.endswith(".py") and source != SUBMISSION and name not in (MAIN, "submission.py")
    }


def _probed(tasks: Sequence[GpuModeTask]) -> Iterator[tuple[GpuModeTask, dict[str, Any]]]:
    with tempfile.TemporaryDirectory(prefix="kernel-harness-import-") as place:
        asked = []
        for number, task in enumerate(tasks):
            file = Path(place) / f"{number}.py"
            text = texts.reference_text(task.sources, ("tuple", []), {}, [])
            file.write_text(text, encoding="utf-8")
            asked.append({"file": str(file), "cases": list(task.cases.values())})
        yield from zip(tasks, ask(SUITE, asked, LIMIT_S), strict=True)


def _operator(
    task: GpuModeTask, facts: Mapping[str, Any], left_out: dict[str, str]
) -> tuple[OperatorFiles, TaskForm]:
    """What the task's operator folder is made of; notes the cases that cannot be workloads.

    Raises:
        ValueError: when no operator can be made of it.
    """
    if "reason" in facts:
        raise ValueError(facts["reason"])
    usable = {
        uuid: case
        for uuid, case in zip(task.cases, facts["cases"], strict=True)
        if "reason" not in case
    }
    for uuid, case in zip(task.cases, facts["cases"], strict=True):
        if "reason" in case:
            left_out[f"{task.label}, {uuid}"] = case["reason"]
    cases, fresh = list(usable.values()), list(facts["fresh"])
    names = [name for name in cases[0]["inputs"] if name not in fresh]
    keys = {key for uuid in usable for key in task.cases[uuid]} - {"seed"}
    named = {key: [task.cases[uuid].get(key) for uuid in usable] for key in sorted(keys)}
    axes = AxisTable(named, taken=names)
    inputs = {name: axes.spec([case["inputs"][name] for case in cases]) for name in names}
    outputs = {
        f"out{i}": axes.spec([case["outputs"][i] for case in cases])
        for i in range(len(cases[0]["outputs"]))
    }
    buffers = {name: _buffer(name, cases, inputs) for name in fresh}
    text = texts.reference_text(task.sources, facts["tree"], buffers, names)
    definition = Definition.model_validate(
        {
            "name": task.operator,
            "op_type": SUITE,
            "description": task.description or None,
            "axes": axes.declared,
            "inputs": inputs,
            "outputs": outputs,
            "reference": text,
        }
    )
    form = TaskForm(task, facts["tree"], buffers, names)
    return _files(task, definition, usable, axes, form, single=facts["single"]), form


def _buffer(
    name: str, cases: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
) -> tuple[list[Size], str]:
    """How each size of a buffer follows from sizes of inputs; its dtype."""
    columns = {
        (other, at): [case["inputs"][other]["shape"][at] for case in cases]
        for other, spec in inputs.items()
        for at in range(len(spec["shape"] or ()))
    }
    shapes = [case["inputs"][name]["shape"] for case in cases]
    found = [_size(list(column), columns) for column in zip(*shapes, strict=True)]
    if None in found:
        raise ValueError(f"the size of the buffer {name!r} follows from no input")
    return [size for size in found if size], cases[0]["inputs"][name]["dtype"]


def _size(column: list[int], columns: Mapping[tuple[str, int], list[int]]) -> Size | None:
    """A size as an input's, as a number, or as one or two of inputs with a number: 16 - 3 + 1."""
    same = next((place for place, sizes in columns.items() if sizes == column), None)
    if same or len(set(column)) == 1:
        return (0, [(1, *same)]) if same else (column[0], [])
    terms = [[(1, *one)] for one in columns]
    terms += [[(1, *one), (-1, *other)] for one in columns for other in columns if one != other]
    for added in terms:
        sums = [sum(sign * columns[n, at][i] for sign, n, at in added) for i in range(len(column))]
        if len(rest := {size - total for size, total in zip(column, sums, strict=True)}) == 1:
            return rest.pop(), added
    return None


def _files(
    task: GpuModeTask,
    definition: Definition,
    usable: Mapping[str, Mapping[str, Any]],
    axes: AxisTable,
    form: TaskForm,
    *,
    single: bool,
) -> OperatorFiles:
    # The files' hash is in the uuids, so that no verdict on another state of them counts here.
    uuids = {uuid: f"{uuid}-{task.digest[:8]}" for uuid in usable}
    scalars = [name for name, spec in definition.inputs.items() if spec.shape is None]
    values = {n: sorted({case["inputs"][n]["value"] for case in usable.values()}) for n in scalars}
    workloads = [
        {
            "uuid": uuids[uuid],
            "axes": axes.sizes(number),
            "inputs": {
                name: {"type": "scalar", "value": case["inputs"][name]["value"]}
                if name in scalars
                else {"type": "random"}
                for name in definition.inputs
            },
        }
        for number, (uuid, case) in enumerate(usable.items())
    ]
    policy: dict[str, Any] = {
        "baseline": BASELINE,
        "untimed": [uuids[uuid] for uuid in usable if uuid.startswith("test")],
        "libraries": {"allowed": list(LIBRARIES)},
    }
    if scalars:
        policy["scalars"] = {name: {"values": found} for name, found in values.items()}
    return OperatorFiles(
        definition=definition,
        workloads=workloads,
        policy=policy,
        origin=TaskOrigin(
            suite=SUITE,
            task=task.label,
            file=f"{task.label}/{TASK_FILE}",
            sha256=task.digest,
            ranked_by=task.ranked_by,
        ),
        python={
            "inputs.py": texts.INPUTS,
            "compare.py": texts.compare_text(single=single),
        },
        peers={BASELINE: form.solution(BASELINE, texts.REFERENCE_SUBMISSION)},
        structure={uuids[uuid]: {"case": task.cases[uuid]} for uuid in usable},
    )


def _candidates(
    places: Sequence[Path], forms: Mapping[str, TaskForm], out: Path, left_out: dict[str, str]
) -> Iterator[Path]:
    """Writes the submissions, each beside its operator; notes those that it does not."""
    for place in places:
        for file in sorted(place.rglob("*.py")):
            label = file.relative_to(place).as_posix()
            try:
                source = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                left_out[label] = "it is no UTF-8 text"
                continue
            named = _LEADERBOARD.search(source)
            known = [named[1]] if named else [part for part in file.parts if part in forms]
            form = forms.get(known[-1]) if known else None
            if form is None:
                task = f"no task {known[-1]!r} was imported" if known else "it names no task"
                left_out[label] = f"{task}; a line '#!POPCORN leaderboard NAME' does"
                continue
            name = re.sub(r"[^\w.-]+", "_", label.removesuffix(".py"))
            try:
                solution = form.solution(name, source)
            except ValidationError as error:
                left_out[label] = _words(error)
                continue
            yield write_candidate(solution, out / form.task.operator / CANDIDATES / name)
