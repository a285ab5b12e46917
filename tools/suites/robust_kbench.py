"""robust-kbench: the tasks of a checkout as operator folders, and kernels for them.

A task is a folder with func_forward.py and config_forward.json, or the same of a backward; a kernel
is a CUDA file that exports `forward` or `backward`, or a Python file that has it. What cannot be
imported is listed with its reason. Nothing of the suite is part of this project.

| robust-kbench                                | operator folder                                 |
| -------------------------------------------- | ----------------------------------------------- |
| what Model hands to fn: weights, numbers     | inputs, numbers as scalars                      |
| multi configs of inputs, weights, both       | workloads, each with its configuration          |
| get_inputs, Model, seed                      | inputs.py, under a seed of the judge's          |
| forward_fn                                   | reference.py and the definition's reference     |
| allclose, atol = rtol = 1e-5                 | policy.toml, `[tolerance]`                      |
| the same in eager mode, as the baseline      | peers/torch_eager                               |
| what AutogradFunction hands to backward_fn   | inputs of a second operator, <task>_backward    |
| gradients of forward_fn, by autograd         | its reference                                   |
| forward.cu, backward.cu                      | candidates/<name>: CUDA, torch's binding        |
| filters of weak tasks                        | origin.json, and a warning at import            |
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import RequestError
from ..schema.flashinfer_trace import Binding, BuildSpec, Definition, Language, Solution, SourceFile
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
from .texts import robust_kbench as texts
from .texts.robust_kbench_backward import backward_text

SUITE = "robust-kbench"
BASELINE = "torch_eager"
FORWARD, BACKWARD = "forward", "backward"
FUNCTION_FILES = {name: f"func_{name}.py" for name in (FORWARD, BACKWARD)}
CONFIG_FILES = {name: f"config_{name}.json" for name in (FORWARD, BACKWARD)}
_HAS = re.compile(r"m\.def\(\s*\"(forward|backward)\"|^def (forward|backward)\b", re.MULTILINE)
TOLERANCE = {"form": "allclose", "atol": 1e-5, "rtol": 1e-5}
LIMIT_S = 180.0
LEAVES = ("tensor", "number")


@dataclass(frozen=True)
class FunctionTask:
    """A task's folder as read.

    Args:
        function: what its kernels compute: forward, or backward.
        configs: arguments of Model and of get_inputs, one pair for each workload.
    """

    folder: Path
    label: str
    function: str
    source: str
    configs: tuple[Mapping[str, Any], ...]

    @property
    def operator(self) -> str:
        """The name of its operator."""
        return "robust_kbench_" + re.sub(r"\W+", "_", self.label.lower()).strip("_")

    def reference(self, tree: Any, names: list[str], plan: Any = None) -> str:
        """Its reference.py, for a function that is called by a tree of its inputs."""
        if self.function == BACKWARD:
            return backward_text(self.source, tree, names, plan)
        return texts.reference_text(self.source, tree, names)


@dataclass(frozen=True)
class FunctionForm:
    """How the function of a task is called."""

    task: FunctionTask
    tree: Any
    names: list[str]

    def solution(self, name: str, file: str, source: str, function: str = "") -> Solution:
        """A kernel as it is: CUDA is called directly, Python by an entry point.

        Raises:
            ValueError: when CUDA cannot be called with what the task hands over.
        """
        function = function or self.task.function
        compiled = not file.endswith(".py")
        if compiled and any(kind not in LEAVES for kind, _ in self.tree[1]):
            raise ValueError("the task hands over None or a list, which only Python can be given")
        module = "kernel_source"
        entry = texts.entry_text(module, function, self.tree, self.names)
        files = {file: source} if compiled else {"kernel.py": entry, f"{module}.py": source}
        return Solution(
            name=name,
            definition=self.task.operator,
            author=SUITE,
            spec=BuildSpec(
                language=Language.CUDA if compiled else python_language(source),
                target_hardware=["cuda"],
                entry_point=f"{file}::{function}" if compiled else "kernel.py::run",
                destination_passing_style=False,
                binding=Binding.TORCH if compiled else None,
            ),
            sources=[SourceFile(path=path, content=text) for path, text in files.items()],
        )


def import_robust_kbench(
    folder: Path,
    out: Path,
    *,
    candidates: Sequence[Path] = (),
    published_only: bool = False,
) -> Imported:
    """Writes an operator folder for each task, and a candidate's folder for each kernel.

    Args:
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of kernels, each in a folder of its task's name.
        published_only: whether the suite's tolerance decides alone.

    Raises:
        RequestError: when there is no task, or a folder of candidates is missing.
    """
    places = [
        (path.parent, function)
        for function, file in FUNCTION_FILES.items()
        for path in sorted(folder.rglob(file))
    ]
    if not places:
        raise RequestError(
            "There is no task of robust-kbench",
            where=str(folder),
            remedy=f"Give its checkout: folders that hold {FUNCTION_FILES[FORWARD]} and "
            f"{CONFIG_FILES[FORWARD]}, or the same of a backward.",
        )
    if missing := [str(place) for place in candidates if not place.is_dir()]:
        raise RequestError("The folder of candidates does not exist", where=missing[0])
    root = folder / "tasks" if (folder / "tasks").is_dir() else folder
    left_out: dict[str, str] = {}
    warnings: dict[str, str] = {}
    tasks = []
    for place, function in places:
        within = root if place.is_relative_to(root) else folder
        label = task_label(place.relative_to(within).as_posix(), function)
        try:
            tasks.append(read_function_task(place, label, function))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            left_out[label] = f"it cannot be read: {error}"
    forms: dict[str, FunctionForm] = {}
    for task, facts in _probed(tasks):
        try:
            files, form = _operator(task, facts, left_out, published_only=published_only)
        except (ValueError, ValidationError) as error:
            left_out[task.label] = _words(error)
            continue
        if facts["warnings"]:
            warnings[task.operator] = "; ".join(facts["warnings"])
        files.write(out)
        forms[task.label] = form
    written = list(_candidates(candidates, forms, out, left_out))
    operators = tuple(form.task.operator for form in forms.values())
    return Imported(out, operators, tuple(written), left_out, warnings)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return str(error)


def task_label(folder: str, function: str) -> str:
    """What a task is called: as its folder, and a backward so."""
    return f"{folder} {BACKWARD}" if function == BACKWARD else folder


def function_of(file: Path) -> str:
    """Which function a kernel's file has; by its name where the text does not show it."""
    try:
        shown = {name for pair in _HAS.findall(file.read_text(encoding="utf-8")) for name in pair}
    except (OSError, UnicodeDecodeError):  # said when it is read as a kernel
        shown = set()
    shown.discard("")
    if len(shown) == 1:
        return shown.pop()
    return BACKWARD if file.stem.startswith(BACKWARD) else FORWARD


def read_function_task(folder: Path, label: str, function: str) -> FunctionTask:
    """The task of a folder, with every combination of its configurations.

    Raises:
        ValueError: when its configurations cannot be read.
    """
    source = (folder / FUNCTION_FILES[function]).read_text(encoding="utf-8")
    said = json.loads((folder / CONFIG_FILES[function]).read_text(encoding="utf-8"))

    def stated(kind: str) -> list[Mapping[str, Any]]:
        return said.get(f"multi_{kind}_configs") or said.get(f"single_{kind}_configs") or [{}]

    configs = tuple(
        {"init": {**init, **shared}, "input": {**given, **shared}}
        for init in stated("init")
        for given in stated("input")
        for shared in stated("shared")
    )
    return FunctionTask(folder, label, function, source, configs)


def _probed(tasks: Sequence[FunctionTask]) -> Iterator[tuple[FunctionTask, dict[str, Any]]]:
    with tempfile.TemporaryDirectory(prefix="kernel-harness-import-") as place:
        asked = []
        for number, task in enumerate(tasks):
            file = Path(place) / f"{number}.py"
            try:
                text = task.reference(("tuple", []), [])
            except (SyntaxError, IndentationError):  # for the process that loads it to say
                text = task.source
            file.write_text(text, encoding="utf-8")
            configs = list(task.configs)
            asked.append({"file": str(file), "function": task.function, "configs": configs})
        yield from zip(tasks, ask(SUITE, asked, LIMIT_S), strict=True)


def _operator(
    task: FunctionTask,
    facts: Mapping[str, Any],
    left_out: dict[str, str],
    *,
    published_only: bool,
) -> tuple[OperatorFiles, FunctionForm]:
    """What the task's operator folder is made of; notes the configurations that are no workloads.

    Raises:
        ValueError: when no operator can be made of it.
    """
    if "reason" in facts:
        raise ValueError(facts["reason"])
    usable = {n: case for n, case in enumerate(facts["cases"]) if "reason" not in case}
    for number, case in enumerate(facts["cases"]):
        if "reason" in case:
            left_out[f"{task.label}, configuration {number}"] = case["reason"]
    cases, names = list(usable.values()), list(facts["cases"][0]["inputs"])
    merged = [{**task.configs[n]["init"], **task.configs[n]["input"]} for n in usable]
    named = {key: [config.get(key) for config in merged] for key in merged[0]}
    axes = AxisTable({k: v for k, v in named.items() if _hashable(v)}, taken=names)
    definition = Definition.model_validate(
        {
            "name": task.operator,
            "op_type": SUITE,
            "inputs": {name: axes.spec([c["inputs"][name] for c in cases]) for name in names},
            "outputs": {
                f"out{i}": axes.spec([case["outputs"][i] for case in cases])
                for i in range(len(cases[0]["outputs"]))
            },
            "axes": axes.declared,
            "reference": task.reference(facts["tree"], names, facts.get("plan")),
        }
    )
    form = FunctionForm(task, facts["tree"], names)
    files = _files(definition, usable, axes, form, facts["warnings"])
    files.policy["criterion"] = "published" if published_only else "both"
    return files, form


def _files(
    definition: Definition,
    usable: Mapping[int, Mapping[str, Any]],
    axes: AxisTable,
    form: FunctionForm,
    warnings: Sequence[str],
) -> OperatorFiles:
    task, cases = form.task, list(usable.values())
    digest = digest_of(task.source, json.dumps(task.configs))
    uuids = {number: f"config-{number}-{digest[:8]}" for number in usable}
    scalars = [name for name, spec in definition.inputs.items() if spec.shape is None]
    policy: dict[str, Any] = {
        "baseline": BASELINE,
        "tolerance": TOLERANCE,
        "libraries": {"allowed": list(LIBRARIES)},
    }
    if scalars:
        values = {name: sorted({c["inputs"][name]["value"] for c in cases}) for name in scalars}
        policy["scalars"] = {name: {"values": found} for name, found in values.items()}
    workloads = [
        {
            "uuid": uuids[number],
            "axes": axes.sizes(at),
            "inputs": {
                name: {"type": "scalar", "value": case["inputs"][name]["value"]}
                if name in scalars
                else {"type": "random"}
                for name in form.names
            },
        }
        for at, (number, case) in enumerate(usable.items())
    ]
    origin = TaskOrigin(
        suite=SUITE,
        task=task.label,
        file=f"{task.folder.name}/{FUNCTION_FILES[task.function]}",
        sha256=digest,
        warnings=list(warnings),
    )
    return OperatorFiles(
        definition=definition,
        workloads=workloads,
        policy=policy,
        origin=origin,
        python={"inputs.py": texts.INPUTS},
        peers={BASELINE: form.solution(BASELINE, "main.py", definition.reference, "kh_function")},
        structure={uuids[number]: dict(task.configs[number]) for number in usable},
    )


def _hashable(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float | str | None) for value in values)


def _candidates(
    places: Sequence[Path], forms: Mapping[str, FunctionForm], out: Path, left_out: dict[str, str]
) -> Iterator[Path]:
    """Writes the kernels that lie in tasks' folders and in others, each beside its operator."""
    found = [
        (form, file)
        for form in forms.values()
        for file in sorted(form.task.folder.iterdir())
        if file.suffix in (".cu", ".py") and not file.name.startswith("func_")
        if function_of(file) == form.task.function
    ]
    for place in places:
        for file in sorted([*place.rglob("*.cu"), *place.rglob("*.py")]):
            label = task_label(file.parent.relative_to(place).as_posix(), function_of(file))
            if label in forms:
                found.append((forms[label], file))
            else:
                left_out[str(file.relative_to(place))] = f"no task {label!r} was imported"
    for form, file in found:
        name = re.sub(r"[^\w.-]+", "_", f"{file.parent.name}-{file.stem}")
        try:
            solution = form.solution(name, file.name, file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            left_out[f"{form.task.label}/{file.name}"] = _words(error)
            continue
        yield write_candidate(solution, out / form.task.operator / CANDIDATES / name)
