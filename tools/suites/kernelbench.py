"""KernelBench: the tasks of a checkout as operator folders, and candidates for them.

A task is `level<N>/<number>_<name>.py` with `Model`, `get_inputs` and `get_init_inputs`; a
candidate is one file with `ModelNew`. What cannot be imported is listed with its reason, and costs
nothing else. Nothing of the suite is part of this project: a person brings the folder.

| KernelBench                          | operator folder                                           |
| ------------------------------------ | --------------------------------------------------------- |
| the file                             | reference.py and the definition's reference, with `run`   |
| get_inputs                           | inputs.py, called under a seed of the judge's             |
| numbers among the inputs             | scalars of the workload, fixed in policy.toml             |
| tuples, lists and tables of inputs   | their tensors and numbers, put together by run            |
| inputs that forward writes to        | policy.toml, `mutable_inputs`                             |
| get_init_inputs, seed 42             | written into the entry point of each candidate            |
| allclose, 1e-4 (1e-2 in half)        | policy.toml, `[tolerance]`                                |
| Model in half precision              | run, which also takes inputs in float32, for exact values |
| Model in eager mode, as the baseline | peers/torch_eager                                         |
"""

from __future__ import annotations

import ast
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import RequestError
from ..schema.flashinfer_trace import BuildSpec, Definition, Solution, SourceFile
from .operator_folder import (
    CANDIDATES,
    LIBRARIES,
    Imported,
    OperatorFiles,
    python_language,
    write_candidate,
)
from .origin import TaskOrigin
from .probing.client import TaskFacts, TensorFacts, probe
from .texts.kernelbench import inputs_text, reference_text, wrapper_text
from .texts.reduced_sizes import factors_down_from, reduced

SUITE = "kernelbench"
LEVELS = (1, 2, 3, 4)
BASELINE = "torch_eager"
ENTRY = "kernel.py"
OUTPUT_WORDS = ("out", "output", "result", "made", "given")
"""What outputs are called, with a number: the first word by which no input is."""
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-2}
"""atol and rtol by the outputs' dtype, as KernelBench has them."""
HALVES = ("float16", "bfloat16")
TASK_FILE = re.compile(r"^(\d+)_(.+)\.py$")
CANDIDATE_FILE = re.compile(
    r"^level_(?P<level>\d+)_problem_(?P<number>\d+)(?:_sample_(?P<sample>\d+))?(?:_kernel)?\.py$"
)


@dataclass(frozen=True)
class Task:
    """A task's file."""

    level: int
    number: int
    name: str
    file: Path
    text: str = ""
    """What is imported of it: the file's text, or that text with smaller sizes."""
    reduced_by: int = 1
    suite: str = SUITE
    description: str = ""
    """What the definition says that it is."""

    @property
    def label(self) -> str:
        """Level and name, as people speak of it."""
        return f"level{self.level}/{self.number}_{self.name}" if self.level else self.name

    @property
    def operator(self) -> str:
        """The name of its operator."""
        words = re.sub(r"\W+", "_", self.name.lower()).strip("_")
        return f"kernelbench_l{self.level}_{self.number}_{words}"


def find_tasks(folder: Path, levels: Sequence[int] = ()) -> list[Task]:
    """The tasks of a checkout, of its folder of levels, or of one level's folder.

    Args:
        levels: which levels; all of them when empty.

    Raises:
        RequestError: when there is none.
    """
    tasks = []
    for level in levels or LEVELS:
        name = f"level{level}"
        places = [folder / name, folder / "KernelBench" / name]
        places += [folder] if folder.name == name else []
        place = next((p for p in places if p.is_dir()), None)
        tasks += [
            _task(level, int(found[1]), found[2].strip("_"), file)
            for file in (place.iterdir() if place else ())
            if (found := TASK_FILE.match(file.name))
        ]
    if not tasks:
        raise RequestError(
            "There is no task of KernelBench",
            where=str(folder),
            remedy="Give its checkout: a folder with level1 to level4, or KernelBench/level1 to "
            "level4, that hold files as 1_name.py.",
        )
    return sorted(tasks, key=lambda task: (task.level, task.number))


def _task(level: int, number: int, name: str, file: Path) -> Task:
    words = f"KernelBench, level {level}, task {number}: {name.replace('_', ' ')}."
    return Task(level, number, name, file, description=words)


def import_kernelbench(
    folder: Path,
    out: Path,
    *,
    levels: Sequence[int] = (),
    candidates: Sequence[Path] = (),
    published_only: bool = False,
    reduce_by: int = 1,
) -> Imported:
    """Writes an operator folder for each task, and a candidate's folder for each candidate.

    Args:
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of files with ModelNew, named as KernelBench names them.
        published_only: whether KernelBench's tolerance decides alone.
        reduce_by: by what sizes are divided, or less where that does not fit together.

    Raises:
        RequestError: when there is no task, or a folder of candidates is missing.
    """
    tasks = find_tasks(folder, levels)
    if missing := [str(place) for place in candidates if not place.is_dir()]:
        raise RequestError("The folder of candidates does not exist", where=missing[0])
    left_out: dict[str, str] = {}
    known: dict[tuple[int, int], tuple[Task, TaskFacts]] = {}
    for task, facts in probed(tasks, reduce_by):
        if isinstance(facts, TaskFacts):
            facts = write_operator(task, facts, folder, out, published_only=published_only)
        if isinstance(facts, TaskFacts):
            known[task.level, task.number] = task, facts
        else:
            left_out[task.label] = facts
    written = list(_write_candidates(candidates, known, out, left_out))
    operators = tuple(task.operator for task, _ in known.values())
    return Imported(out, operators, tuple(written), left_out)


def probed(tasks: Sequence[Task], reduce_by: int) -> Iterator[tuple[Task, TaskFacts | str]]:
    """Each task with its text and facts, at the smallest sizes of the factors that work."""
    left = list(tasks)
    with tempfile.TemporaryDirectory(prefix="kernel-harness-import-") as place:
        for factor in factors_down_from(reduce_by):
            if not left:
                return
            texts = [_with_text(task, factor) for task in left]
            readable = [text for text in texts if isinstance(text, Task)]
            yield from (pair for pair in texts if not isinstance(pair, Task))
            copies = [Path(place) / f"{task.operator}.py" for task in readable]
            for task, copy in zip(readable, copies, strict=True):
                copy.write_text(task.text, encoding="utf-8")
            left = []
            for task, facts in zip(readable, probe(copies), strict=True):
                if factor == 1 or isinstance(facts, TaskFacts):
                    yield task, facts
                else:
                    left.append(task)


def _with_text(task: Task, factor: int) -> Task | tuple[Task, str]:
    try:
        whole = task.file.read_text(encoding="utf-8-sig")
        text = reduced(whole, factor)
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        return task, f"{type(error).__name__}: {error}"
    return replace(task, text=text, reduced_by=factor if text != whole else 1)


def write_operator(
    task: Task,
    facts: TaskFacts,
    root: Path,
    out: Path,
    *,
    published_only: bool,
    tolerances: Mapping[str, float] = TOLERANCES,
) -> TaskFacts | str:
    """Writes a task's operator folder; its facts again, or why it cannot be an operator.

    Args:
        tolerances: atol and rtol by the outputs' dtype.
    """
    # KernelBench's own tolerance is held to its own reference, which rounds after each operation.
    halves = () if published_only else _halves(facts)
    text = reference_text(task.text, facts.form, keeps_state=facts.keeps_state, halves=halves)
    try:
        definition = _definition(task, facts, text)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    digest = hashlib.sha256(task.text.encode()).hexdigest()
    scalars = {name: spec for name, spec in facts.inputs.items() if spec.shape is None}
    workload = {
        # The text's hash is in it, so that no verdict on another state of it counts here.
        "uuid": f"inputs-{digest[:12]}",
        "axes": {},
        "inputs": {
            name: {"type": "scalar", "value": spec.value} if name in scalars else {"type": "random"}
            for name, spec in facts.inputs.items()
        },
    }
    origin = TaskOrigin(
        suite=task.suite,
        level=task.level,
        number=task.number,
        task=task.name,
        file=task.file.relative_to(root).as_posix(),
        sha256=hashlib.sha256(task.file.read_bytes()).hexdigest(),
        reduced_by=task.reduced_by,
    )
    OperatorFiles(
        definition=definition,
        workloads=[workload],
        policy=_policy(facts, scalars, tolerances, published_only=published_only),
        origin=origin,
        python={"inputs.py": inputs_text(task.text, facts.form)},
        peers={BASELINE: _solution(task, facts, BASELINE, task.text, "Model", "task_model")},
    ).write(out)
    return facts


def _halves(facts: TaskFacts) -> list[int]:
    """The positions of inputs that are tensors in half precision."""
    inputs = enumerate(facts.inputs.values())
    return [i for i, spec in inputs if spec.shape is not None and spec.dtype in HALVES]


def _definition(task: Task, facts: TaskFacts, reference: str) -> Definition:
    """The definition: a constant axis for each size that occurs."""
    inputs = facts.inputs
    count = range(len(facts.outputs))
    word = next(w for w in OUTPUT_WORDS if not any(f"{w}{i}" in inputs for i in count))
    outputs = {f"{word}{i}": spec for i, spec in enumerate(facts.outputs)}
    sizes = {size for spec in (*inputs.values(), *outputs.values()) for size in spec.shape or ()}

    def tensor(spec: TensorFacts) -> dict[str, Any]:
        shape = None if spec.shape is None else [f"n{size}" for size in spec.shape]
        return {"shape": shape, "dtype": spec.dtype}

    return Definition.model_validate(
        {
            "name": task.operator,
            "op_type": task.suite,
            "description": task.description,
            "axes": {f"n{size}": {"type": "const", "value": size} for size in sorted(sizes)},
            "inputs": {name: tensor(spec) for name, spec in inputs.items()},
            "outputs": {name: tensor(spec) for name, spec in outputs.items()},
            "reference": reference,
        }
    )


def _policy(
    facts: TaskFacts,
    scalars: Mapping[str, TensorFacts],
    tolerances: Mapping[str, float],
    *,
    published_only: bool,
) -> dict[str, Any]:
    tolerance = max((tolerances.get(spec.dtype, 0.0) for spec in facts.outputs), default=0.0)
    bound = tolerance or tolerances["float32"]
    policy: dict[str, Any] = {
        "baseline": BASELINE,
        "criterion": "published" if published_only else "both",
        "tolerance": {"form": "allclose", "atol": bound, "rtol": bound},
        "libraries": {"allowed": list(LIBRARIES)},
    }
    if facts.overwritten:
        policy["mutable_inputs"] = list(facts.overwritten)
    if scalars:
        policy["scalars"] = {name: {"values": [spec.value]} for name, spec in scalars.items()}
    return policy


def _write_candidates(
    places: Sequence[Path],
    known: Mapping[tuple[int, int], tuple[Task, TaskFacts]],
    out: Path,
    left_out: dict[str, str],
) -> Iterator[Path]:
    """Writes the candidates of folders, each beside its operator; notes those that it does not."""
    for place in places:
        for file in sorted(place.glob("*.py")):
            label = f"{place.name}/{file.name}"
            named = CANDIDATE_FILE.match(file.name)
            if named is None:
                left_out[label] = "it is not named as level_1_problem_2_sample_0_kernel.py is"
                continue
            found = known.get((int(named["level"]), int(named["number"])))
            if found is None:
                left_out[label] = "no task of that level and number was imported"
                continue
            task, facts = found
            name = f"{place.name}-sample-{named['sample'] or 0}"
            try:
                source = file.read_text(encoding="utf-8-sig")
                if _is_the_model(source):
                    left_out[label] = "its ModelNew is a Model of its own file and has no forward"
                    continue
                source = _reduced_as(task, source)
                solution = _solution(task, facts, name, source, "ModelNew", "model_new")
            except (UnicodeDecodeError, ValidationError):
                left_out[label] = "it is empty, or no UTF-8 text"
                continue
            yield write_candidate(solution, out / task.operator / CANDIDATES / name)


def _reduced_as(task: Task, source: str) -> str:
    """A candidate's file, with the sizes made smaller that the task's file states in its words."""
    if task.reduced_by == 1:
        return source
    try:
        return reduced(source, task.reduced_by, like=task.file.read_text(encoding="utf-8-sig"))
    except SyntaxError:  # for the judge to say
        return source


def _is_the_model(source: str) -> bool:
    """Whether a file's ModelNew is another class of it by another name."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # for the judge to say
        return False
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            if any(isinstance(to, ast.Name) and to.id == "ModelNew" for to in node.targets):
                return True
        elif isinstance(node, ast.ClassDef) and node.name == "ModelNew":
            own = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            return "Model" in bases and not own & {"forward", "__call__", "_call_impl"}
    return False


def _solution(
    task: Task, facts: TaskFacts, name: str, source: str, class_name: str, module: str
) -> Solution:
    """A file with a class of KernelBench's form, as it is, behind an entry point of ours."""
    entry = wrapper_text(module, class_name, facts.init, facts.form, keeps_state=facts.keeps_state)
    return Solution(
        name=name,
        definition=task.operator,
        author=task.suite,
        spec=BuildSpec(
            language=python_language(source),
            target_hardware=["cuda"],
            entry_point=f"{ENTRY}::run",
            destination_passing_style=False,
        ),
        sources=[
            SourceFile(path=ENTRY, content=entry),
            SourceFile(path=f"{module}.py", content=source),
        ],
    )
