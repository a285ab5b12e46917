"""KernelAgent: its problem files as operator folders, and its kernels as candidates.

A problem is a folder with problem.py, in KernelBench's form; a kernel is a file with
kernel_function. What cannot be imported is listed with its reason. Nothing of the suite is part of
this project.

| KernelAgent                                 | operator folder                                  |
| ------------------------------------------- | ------------------------------------------------ |
| problem.py                                  | as a task of KernelBench                         |
| allclose, 1e-2, as its tests have           | policy.toml, `[tolerance]`                       |
| what test.py hands over beside the inputs:  | by the names of kernel_function's arguments:     |
| weights, sizes                              | tensors and attributes of the model              |
| kernel.py, final_kernel.py, and others      | candidates/<folder>-<file>                       |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..errors import RequestError
from ..schema.flashinfer_trace import BuildSpec, Solution, SourceFile
from .kernelbench import Task, probed, write_operator
from .operator_folder import CANDIDATES, Imported, python_language, write_candidate
from .probing.client import TaskFacts
from .texts.kernelagent import entry_text

SUITE = "kernelagent"
PROBLEM = "problem.py"
TOLERANCES: dict[str, float] = dict.fromkeys(("float64", "float32", "float16", "bfloat16"), 1e-2)
"""atol and rtol by the outputs' dtype; integers are exact."""
_KERNEL = re.compile(r"^(?:def kernel_function\b|kernel_function\s*=)", re.MULTILINE)


@dataclass(frozen=True)
class ProblemTask(Task):
    """A problem's file."""

    suite: str = SUITE
    description: str = "A problem of KernelAgent's."

    @property
    def operator(self) -> str:
        """The name of its operator."""
        return "kernelagent_" + re.sub(r"\W+", "_", self.name.lower()).strip("_")


def import_kernelagent(
    folder: Path,
    out: Path,
    *,
    candidates: Sequence[Path] = (),
    published_only: bool = False,
    reduce_by: int = 1,
) -> Imported:
    """Writes an operator folder for each problem, and a candidate's folder for each kernel.

    Args:
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of kernels, each in a folder of its problem's name.
        published_only: whether KernelAgent's tolerance decides alone.
        reduce_by: by what sizes are divided, or less where that does not fit together.

    Raises:
        RequestError: when there is no problem, or a folder of candidates is missing.
    """
    files = sorted(folder.rglob(PROBLEM))
    if not files:
        raise RequestError(
            "There is no problem of KernelAgent",
            where=str(folder),
            remedy=f"Give a folder that holds {PROBLEM} with Model, get_inputs and "
            "get_init_inputs, at any depth.",
        )
    if missing := [str(place) for place in candidates if not place.is_dir()]:
        raise RequestError("The folder of candidates does not exist", where=missing[0])
    problems = [ProblemTask(0, 0, _label(file.parent, folder), file) for file in files]
    left_out: dict[str, str] = {}
    known: dict[str, tuple[Task, TaskFacts]] = {}
    for task, facts in probed(problems, reduce_by):
        if isinstance(facts, TaskFacts):
            facts = write_operator(
                task, facts, folder, out, published_only=published_only, tolerances=TOLERANCES
            )
        if isinstance(facts, TaskFacts):
            known[task.name] = task, facts
        else:
            left_out[task.name] = facts
    written = tuple(_candidates(folder, candidates, known, out, left_out))
    return Imported(out, tuple(task.operator for task, _ in known.values()), written, left_out)


def _label(place: Path, folder: Path) -> str:
    """What a problem is called: as its folder."""
    label = place.relative_to(folder).as_posix()
    return place.resolve().name if label == "." else label


def _candidates(
    folder: Path,
    places: Sequence[Path],
    known: Mapping[str, tuple[Task, TaskFacts]],
    out: Path,
    left_out: dict[str, str],
) -> Iterator[Path]:
    """Writes the kernels that lie beside problems and in other folders."""
    found = [
        (name, file)
        for name, (task, _) in known.items()
        for file in sorted(task.file.parent.glob("*.py"))
        if file.name != PROBLEM
    ]
    found += [(_label(f.parent, place), f) for place in places for f in sorted(place.rglob("*.py"))]
    for name, file in found:
        label = f"{name}/{file.name}"
        try:
            source = file.read_text(encoding="utf-8")
            if not _KERNEL.search(source):
                continue  # of another kind, as its tests
            if name not in known:
                left_out[label] = f"no problem {name!r} was imported"
                continue
            solution = _solution(*known[name], f"{file.parent.name}-{file.stem}", source)
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            left_out[label] = f"it is no source that can be read: {error}"
            continue
        yield write_candidate(solution, out / solution.definition / CANDIDATES / solution.name)


def _solution(task: Task, facts: TaskFacts, name: str, source: str) -> Solution:
    files = {
        "kernel.py": entry_text(facts.init, facts.form),
        "kernel_source.py": source,
        PROBLEM: task.text,
    }
    return Solution(
        name=re.sub(r"[^\w.-]+", "_", name),
        definition=task.operator,
        author=SUITE,
        spec=BuildSpec(
            language=python_language(source),
            target_hardware=["cuda"],
            entry_point="kernel.py::run",
            destination_passing_style=False,
        ),
        sources=[SourceFile(path=path, content=text) for path, text in files.items()],
    )
