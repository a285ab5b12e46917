"""SOL-ExecBench: the problems of a checkout as operator folders, with their solutions beside them.

A problem is a folder with definition.json, workload.jsonl and any number of solution*.json. What
cannot be imported is listed with its reason. Nothing of the suite is part of this project.

| SOL-ExecBench                               | operator folder                                  |
| ------------------------------------------- | ------------------------------------------------ |
| definition, op_type optional                | definition.json                                  |
| axes by an expression                       | const, or var with a constraint that says so     |
| sizes in shapes by their digits             | const axes, n1 and the like                      |
| inputs: random, by rules of their names     | inputs.py                                        |
| inputs: custom, by the entry point          | inputs.py, called under a seed of the judge's    |
| inputs: scalar, safetensors                 | as they are, paths from the folder               |
| tolerance of a workload                     | policy.toml, `[workload_tolerance.<uuid>]`       |
| allow_negative_inf; no other infinity, NaN  | `nonfinite`; zeros never pass for other values   |
| the reference, as the baseline              | peers/reference                                  |
| solution, languages, pip_packages           | candidates/<name>: first language, dependencies  |
| compile_options                             | compile_flags.toml among the sources             |
| REWARD_HACK                                 | INTEGRITY_VIOLATION; threads and clocks, too     |
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from ..errors import RequestError
from ..schema.flashinfer_trace import Definition, DType, Solution
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
from .probing.stated_axes import UnfitProblemError, axes_of, by_axes, names_in, size_of
from .texts.sol_execbench import custom_inputs_text, inputs_text

SUITE = "sol-execbench"
BASELINE = "reference"
DEFINITION, WORKLOADS, SOLUTIONS = "definition.json", "workload.jsonl", "solution*.json"
NOT_JUDGED = (DType.FLOAT4_E2M1,)
"""Element types that the format has and torch has not: of single float4 numbers."""
LANGUAGES = {
    **dict.fromkeys(("pytorch", "cute_dsl", "cutile", "cudnn_frontend", "python"), "python"),
    **dict.fromkeys(("triton", "tlx"), "triton"),
    **dict.fromkeys(("cuda_cpp", "cutlass", "cudnn", "cublas", "cuda", "cpp"), "cuda"),
}
SUFFIXES = (".cu", ".cuh", ".cpp", ".cc", ".cxx")
FLAGS_FILE = "compile_flags.toml"
DEFAULT_FLAGS = {"cuda_cflags": ["-O3", "--use_fast_math"]}
"""Of C++ and CUDA that states none."""
TOLERANCE = {
    "form": "allclose",
    "atol": 1e-2,
    "rtol": 1e-2,
    "required_matched_ratio": 0.99,
    "zeros": False,
    "nonfinite": "none",
}
"""The suite's criterion, where a workload states none."""


@dataclass
class SolProblem:
    """A problem's folder as read."""

    folder: Path
    label: str
    definition: dict[str, Any]
    workloads: list[dict[str, Any]]
    solutions: list[Path] = field(default_factory=list)


def import_sol_execbench(
    folder: Path,
    out: Path,
    *,
    candidates: Sequence[Path] = (),
    published_only: bool = False,
) -> Imported:
    """Writes an operator folder for each problem, and a candidate's folder for each solution.

    Args:
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of further solutions, as JSON files.
        published_only: whether the suite's tolerance decides alone.

    Raises:
        RequestError: when there is no problem, or a folder of candidates is missing.
    """
    places = sorted(path.parent for path in folder.rglob(DEFINITION) if _is_problem(path.parent))
    if not places:
        raise RequestError(
            "There is no problem of SOL-ExecBench",
            where=str(folder),
            remedy=f"Give its checkout: folders that hold {DEFINITION} and {WORKLOADS}.",
        )
    if missing := [str(place) for place in candidates if not place.is_dir()]:
        raise RequestError("The folder of candidates does not exist", where=missing[0])
    left_out: dict[str, str] = {}
    written: dict[str, Definition] = {}
    solutions: list[Path] = []
    for place in places:
        label = place.relative_to(folder).as_posix()
        try:
            problem = _read(place, label)
            files = _operator(problem, folder, published_only=published_only)
        except UnfitProblemError as error:
            left_out[label] = str(error)
            continue
        known = written.setdefault(files.definition.name, files.definition)
        if known is not files.definition and known != files.definition:
            left_out[label] = f"another problem is called {known.name!r}, too"
            continue
        files.write(out)
        solutions += problem.solutions
    solutions += [file for place in candidates for file in sorted(place.rglob("*.json"))]
    made = list(_candidates(solutions, folder, written, out, left_out))
    return Imported(out, tuple(written), tuple(made), left_out)


def _is_problem(folder: Path) -> bool:
    return (folder / WORKLOADS).is_file()


def _read(folder: Path, label: str) -> SolProblem:
    try:
        definition = json.loads((folder / DEFINITION).read_text(encoding="utf-8"))
        lines = (folder / WORKLOADS).read_text(encoding="utf-8").splitlines()
        workloads = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise UnfitProblemError(f"it cannot be read: {error}") from error
    if not isinstance(definition, dict) or not all(isinstance(w, dict) for w in workloads):
        raise UnfitProblemError("its files hold no JSON objects")
    workloads = [w.get("workload", w) for w in workloads]
    return SolProblem(folder, label, definition, workloads, sorted(folder.glob(SOLUTIONS)))


def _operator(problem: SolProblem, root: Path, *, published_only: bool) -> OperatorFiles:
    """What a problem's operator folder is made of.

    Raises:
        UnfitProblemError: when no operator can be made of it.
    """
    definition = _definition(problem)
    entry = problem.definition.get("custom_inputs_entrypoint")
    if entry and not _has_function(definition.reference, entry):
        raise UnfitProblemError(f"its reference has no function {entry!r} that makes inputs")
    sizes = definition.var_axes
    workloads = [_workload(problem, given, root, sizes) for given in problem.workloads]
    if not workloads:
        raise UnfitProblemError("it has no workload")
    inputs = custom_inputs_text(entry) if entry else inputs_text(definition)
    raw = (problem.folder / DEFINITION).read_text(encoding="utf-8")
    origin = TaskOrigin(
        suite=SUITE,
        task=problem.label,
        file=f"{problem.label}/{DEFINITION}",
        sha256=digest_of(raw),
        times_us={w["uuid"]: times for w in problem.workloads if (times := _times(w))},
    )
    return OperatorFiles(
        definition=definition,
        workloads=workloads,
        policy=_policy(problem, published_only=published_only),
        origin=origin,
        python={"inputs.py": inputs},
        peers={BASELINE: _reference(definition)},
    )


def _definition(problem: SolProblem) -> Definition:
    given = problem.definition
    for name, spec in {**given.get("inputs", {}), **given.get("outputs", {})}.items():
        dtype = spec.get("dtype")
        if dtype not in list(DType) or dtype in NOT_JUDGED:
            raise UnfitProblemError(f"{name!r} has the dtype {dtype}, which cannot be compared")
    axes, constraints = axes_of(given)
    known = ("name", "description", "reference", "tags")
    fields = {key: given[key] for key in known if given.get(key) is not None}
    tensors = {key: by_axes(given.get(key), axes) for key in ("inputs", "outputs")}
    try:
        return Definition.model_validate(
            {
                **fields,
                **tensors,
                "op_type": given.get("op_type") or SUITE,
                "axes": axes,
                "constraints": [*(given.get("constraints") or ()), *constraints],
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise UnfitProblemError(f"{place}: {words}" if place else words) from error


def _workload(
    problem: SolProblem, given: Mapping[str, Any], root: Path, variable: Sequence[str]
) -> dict[str, Any]:
    """A workload with sizes for all axes that are variable, and inputs as the format has."""
    if not given.get("uuid"):
        raise UnfitProblemError("a workload has no uuid")
    axes = dict(given.get("axes", {}))
    declared = problem.definition["axes"]
    constants = {n: a["value"] for n, a in declared.items() if a.get("type") == "const"}
    left = {n: a["expression"] for n, a in declared.items() if a.get("type") == "expr"}
    while left:
        ready = [n for n, text in left.items() if names_in(text) <= {*constants, *axes}]
        if not ready:
            raise UnfitProblemError(f"workload {given['uuid']} has no size for {', '.join(left)}")
        for name in ready:
            axes[name] = size_of(name, left.pop(name), {**constants, **axes})
    sizes = {name: size for name, size in axes.items() if name in variable}
    inputs = {
        name: _input(spec, problem.folder, root) for name, spec in given.get("inputs", {}).items()
    }
    return {"uuid": given["uuid"], "axes": sizes, "inputs": inputs}


def _input(spec: Mapping[str, Any], *places: Path) -> dict[str, Any]:
    kind = spec.get("type")
    if kind == "custom":
        return {"type": "random"}
    if kind == "safetensors":
        found = [place / spec["path"] for place in places if (place / spec["path"]).is_file()]
        path = found[0] if found else places[-1] / spec["path"]
        return {**spec, "path": str(path.resolve())}
    return dict(spec)


def _times(given: Mapping[str, Any]) -> dict[str, float]:
    """The times of a workload that come with it, in microseconds: of a baseline, and the bound.

    They stand in the workload or under its key `times`, in milliseconds with names that end in
    `_ms`, else in microseconds.
    """
    stated = {**given, **(given.get("times") or {})}
    found = {}
    for key, names in TIMES.items():
        for name in names:
            for ending, factor in (("_us", 1.0), ("_ms", 1e3)):
                value = stated.get(f"{name}{ending}")
                if isinstance(value, int | float) and value > 0:
                    found.setdefault(key, value * factor)
    return found


TIMES = {"baseline": ("t_b", "baseline"), "sol": ("t_sol", "sol")}


def _policy(problem: SolProblem, *, published_only: bool) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "baseline": BASELINE,
        "criterion": "published" if published_only else "both",
        "process": "refused",
        "tolerance": TOLERANCE,
        "libraries": {"allowed": list(LIBRARIES)},
    }
    own = {w["uuid"]: _tolerance(w["tolerance"]) for w in problem.workloads if w.get("tolerance")}
    if own:
        policy["workload_tolerance"] = own
    return policy


def _tolerance(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {"atol": "max_atol", "rtol": "max_rtol", "max_error": "max_error_cap"}
    names["required_matched_ratio"] = "required_matched_ratio"
    stated = {name: given[key] for name, key in names.items() if given.get(key) is not None}
    allowed = "negative_infinity" if given.get("allow_negative_inf") else "none"
    return {**TOLERANCE, **stated, "nonfinite": allowed}


def _has_function(source: str, name: str) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == name for n in ast.parse(source).body)


def _reference(definition: Definition) -> Solution:
    source = definition.reference
    return Solution.model_validate(
        {
            "name": BASELINE,
            "definition": definition.name,
            "author": SUITE,
            "spec": {
                "language": python_language(source),
                "target_hardware": ["cuda"],
                "entry_point": "main.py::run",
                "destination_passing_style": False,
            },
            "sources": [{"path": "main.py", "content": source}],
        }
    )


def _candidates(
    files: Sequence[Path],
    root: Path,
    written: Mapping[str, Definition],
    out: Path,
    left_out: dict[str, str],
) -> Iterator[Path]:
    """Writes the solutions, each beside its operator; notes those that it does not."""
    for file in files:
        label = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
        try:
            given = json.loads(file.read_text(encoding="utf-8"))
            solution = as_solution(given)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            words = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            left_out[label] = f"no solution can be read: {words.removeprefix('Value error, ')}"
            continue
        if solution.definition not in written:
            left_out[label] = f"no problem {solution.definition!r} was imported"
            continue
        name = re.sub(r"[^\w.-]+", "_", solution.name)
        yield write_candidate(solution, out / solution.definition / CANDIDATES / name)


def as_solution(given: Mapping[str, Any]) -> Solution:
    """A solution of the suite's as FlashInfer-Trace has it.

    Raises:
        ValueError: when it has none of the suite's languages, or is no solution.
    """
    spec = dict(given["spec"])
    said = spec.pop("languages", None) or [spec.get("language")]
    languages = [language for language in said if language in LANGUAGES]
    if not languages:
        raise ValueError(f"none of its languages is known: {', '.join(map(str, said))}")
    spec["language"] = LANGUAGES[languages[0]]
    named = [name for key in ("dependencies", "pip_packages") for name in spec.pop(key, 0) or ()]
    spec["dependencies"] = [*named, *["nvidia-cutlass"] * ("cutlass" in languages)]
    file, _, function = spec.get("entry_point", "").partition("::")
    sources = [dict(source) for source in given["sources"]]
    paths = [source["path"] for source in sources]
    if spec["language"] == "cuda":
        spec["binding"] = spec.get("binding") or "torch"
        flags = {key: list(words) for key, words in (spec.pop("compile_options", 0) or {}).items()}
        sources.append({"path": FLAGS_FILE, "content": tomli_w.dumps(flags or DEFAULT_FLAGS)})
        # An extension is named by what it exports; which file that lies in is of no consequence.
        if file not in paths:
            file = next((path for path in paths if path.endswith(SUFFIXES)), file)
    spec.pop("compile_options", None)
    spec["entry_point"] = f"{file}::{function}"
    return Solution.model_validate({**given, "spec": spec, "sources": sources})
