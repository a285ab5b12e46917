"""AutoKernel: the operations of its bench.py as operator folders, and kernels for them.

An operation is an entry of KERNEL_CONFIGS in bench.py; a kernel is a file with KERNEL_TYPE and
kernel_fn. What cannot be imported is listed with its reason. Nothing of the suite is part of this
project.

| AutoKernel                                  | operator folder                                  |
| ------------------------------------------- | ------------------------------------------------ |
| an operation and one of its element types   | autokernel_<operation>_<type>                    |
| test_sizes                                  | workloads                                        |
| edge_sizes                                  | workloads for correctness alone, `untimed`       |
| input_generator, by keywords                | inputs.py, under a seed of the judge's           |
| reference_fn                                | reference.py and the definition's reference      |
| tolerances of the type, by torch.allclose   | policy.toml, `[tolerance]`                       |
| reference_fn in eager mode, as the baseline | peers/torch_eager                                |
| kernel.py, kernels/*.py                     | candidates/<name>, of each type of its operation |
"""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import RequestError
from ..schema.flashinfer_trace import BuildSpec, Definition, Language, Solution, SourceFile
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
from .texts import autokernel as texts

SUITE = "autokernel"
BENCH, KERNEL_PLACES = "bench.py", (".", "kernels", "workspace")
BASELINE = "torch_eager"
LIMIT_S = 180.0
_KERNEL_TYPE = re.compile(r"""^KERNEL_TYPE\b[^=\n]*=\s*["']([^"'\n]+)["']""", re.MULTILINE)
_KERNEL_FN = re.compile(r"^(?:def kernel_fn\b|kernel_fn\s*=)", re.MULTILINE)


@dataclass(frozen=True)
class BenchModules:
    """bench.py and what it imports of its folder.

    Args:
        sources: the texts, by the names that they are imported by.
        packages: which of them are packages.
    """

    sources: Mapping[str, str]
    packages: list[str]

    @property
    def digest(self) -> str:
        """Of all of their texts."""
        return digest_of(*(part for pair in sorted(self.sources.items()) for part in pair))


@dataclass(frozen=True)
class BenchOperation:
    """An operation for one element type, and how its reference is called."""

    name: str
    dtype: str
    tree: Any = None
    names: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The operation and the type, as people speak of it."""
        return f"{self.name} {self.dtype}"

    @property
    def operator(self) -> str:
        """The name of its operator."""
        words = re.sub(r"\W+", "_", self.name.lower()).strip("_")
        return f"autokernel_{words}_{self.dtype}"


def import_autokernel(
    folder: Path,
    out: Path,
    *,
    candidates: Sequence[Path] = (),
    published_only: bool = False,
) -> Imported:
    """Writes an operator folder for each operation and type, and candidates for the kernels.

    Args:
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of further kernels.
        published_only: whether bench.py's tolerance decides alone.

    Raises:
        RequestError: when there is no bench.py, it cannot be used, or a folder is missing.
    """
    if missing := [str(place) for place in candidates if not place.is_dir()]:
        raise RequestError("The folder of candidates does not exist", where=missing[0])
    modules = bench_modules(folder)
    left_out: dict[str, str] = {}
    operations = _operations(modules, folder)
    left_out |= {n: said["reason"] for n, said in operations.items() if "reason" in said}
    operations = {n: said for n, said in operations.items() if "reason" not in said}
    asked = [(name, dtype) for name, said in operations.items() for dtype in said["tolerances"]]
    facts = _facts(modules, [(n, d, operations[n]) for n, d in asked])
    written: dict[str, list[BenchOperation]] = {}
    for (name, dtype), found in zip(asked, facts, strict=True):
        operation = BenchOperation(name, dtype)
        try:
            files, operation = _operator(modules, operation, operations[name], found, left_out)
        except (ValueError, ValidationError) as error:
            left_out[operation.label] = _words(error)
            continue
        files.policy["criterion"] = "published" if published_only else "both"
        files.write(out)
        written.setdefault(name, []).append(operation)
    made = tuple(_candidates(folder, candidates, written, out, left_out))
    names = tuple(operation.operator for each in written.values() for operation in each)
    return Imported(out, names, made, left_out)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return str(error)


def bench_modules(folder: Path) -> BenchModules:
    """bench.py and all that it imports of its folder, found in their texts.

    Raises:
        RequestError: when there is none, or it cannot be read.
    """
    if not (folder / BENCH).is_file():
        raise RequestError(
            "There is no operation of AutoKernel",
            where=str(folder),
            remedy=f"Give its checkout: a folder with a {BENCH} that has KERNEL_CONFIGS.",
        )
    sources: dict[str, str] = {}
    packages: list[str] = []
    left = ["bench"]
    while left:
        name = left.pop()
        place = folder.joinpath(*name.split("."))
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else None
        if file is None and (place / "__init__.py").is_file():
            file, _ = place / "__init__.py", packages.append(name)
        if file is None:
            continue
        try:
            sources[name] = file.read_text(encoding="utf-8")
            found = _imported(ast.parse(sources[name]), name, is_package=name in packages)
        except (OSError, UnicodeDecodeError, SyntaxError) as error:
            raise RequestError(f"It cannot be read: {error}", where=str(file)) from error
        left += [other for other in found if other not in sources and other not in left]
    return BenchModules(sources, packages)


def _imported(tree: ast.AST, name: str, *, is_package: bool) -> Iterator[str]:
    """The modules that a module may import, with the packages that they are in."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: None if is_package else -1]
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" for alias in node.names] if base else []
        for whole in found:
            parts = whole.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))


def _operations(modules: BenchModules, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kernel-harness-import-") as place:
        file = Path(place) / "bench_file.py"
        file.write_text(texts.reference_text(modules.sources, modules.packages), encoding="utf-8")
        (found,) = ask(SUITE, [{"file": str(file)}], LIMIT_S)
    if "reason" in found:
        raise RequestError(
            f"Its operations cannot be listed: {found['reason']}", where=str(folder / BENCH)
        )
    return found["operations"]


def _facts(
    modules: BenchModules, operations: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="kernel-harness-import-") as place:
        asked = []
        for number, (name, dtype, said) in enumerate(operations):
            file = Path(place) / f"{number}.py"
            text = texts.reference_text(modules.sources, modules.packages, name, dtype)
            file.write_text(text, encoding="utf-8")
            sizes = [size for _, size in (*said["sizes"], *said["edges"])]
            asked.append({"file": str(file), "sizes": sizes})
        return list(ask(SUITE, asked, LIMIT_S))


def _operator(
    modules: BenchModules,
    operation: BenchOperation,
    said: Mapping[str, Any],
    facts: Mapping[str, Any],
    left_out: dict[str, str],
) -> tuple[OperatorFiles, BenchOperation]:
    """What an operation's folder is made of; notes the sizes that are no workloads.

    Raises:
        ValueError: when no operator can be made of it.
    """
    if "reason" in facts:
        raise ValueError(facts["reason"])
    sizes: list[tuple[str, dict[str, int]]] = []
    usable: list[dict[str, Any]] = []
    for (label, size), case in zip((*said["sizes"], *said["edges"]), facts["cases"], strict=True):
        if "reason" in case:
            left_out[f"{operation.label} {label}"] = case["reason"]
        else:
            sizes.append((label, size))
            usable.append(case)
    names = tuple(usable[0]["inputs"])
    keys = dict.fromkeys(key for _, size in sizes for key in size)
    named = {key: [size.get(key) for _, size in sizes] for key in keys}
    axes = AxisTable(named, taken=names)
    operation = replace(operation, tree=facts["tree"], names=names)
    definition = Definition.model_validate(
        {
            "name": operation.operator,
            "op_type": SUITE,
            "inputs": {name: axes.spec([c["inputs"][name] for c in usable]) for name in names},
            "outputs": {
                f"out{i}": axes.spec([case["outputs"][i] for case in usable])
                for i in range(len(usable[0]["outputs"]))
            },
            "axes": axes.declared,
            "reference": _reference(modules, operation),
        }
    )
    uuids = [f"{label}-{modules.digest[:8]}" for label, _ in sizes]
    files = OperatorFiles(
        definition=definition,
        workloads=[
            {"uuid": uuid, "axes": axes.sizes(number), "inputs": _inputs(case)}
            for number, (uuid, case) in enumerate(zip(uuids, usable, strict=True))
        ],
        policy=_policy(said, operation, usable),
        origin=TaskOrigin(suite=SUITE, task=operation.label, file=BENCH, sha256=modules.digest),
        python={"inputs.py": texts.INPUTS},
        peers={BASELINE: _baseline(operation, definition.reference)},
        structure={u: {"size": size} for u, (_, size) in zip(uuids, sizes, strict=True)},
    )
    edges = {label for label, _ in said["edges"]}
    files.policy["untimed"] = [
        uuid for uuid, (label, _) in zip(uuids, sizes, strict=True) if label in edges
    ]
    return files, operation


def _reference(modules: BenchModules, operation: BenchOperation) -> str:
    return texts.reference_text(
        modules.sources,
        modules.packages,
        operation.name,
        operation.dtype,
        operation.tree,
        operation.names,
    )


def _inputs(case: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a workload: numbers as they are, tensors drawn."""
    return {
        name: {"type": "random"}
        if spec["shape"] is not None
        else {"type": "scalar", "value": spec["value"]}
        for name, spec in case["inputs"].items()
    }


def _policy(
    said: Mapping[str, Any], operation: BenchOperation, cases: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "baseline": BASELINE,
        "tolerance": {"form": "allclose", **said["tolerances"][operation.dtype]},
        "libraries": {"allowed": list(LIBRARIES)},
    }
    numbers = [name for name, spec in cases[0]["inputs"].items() if spec["shape"] is None]
    if numbers:
        values = {name: sorted({c["inputs"][name]["value"] for c in cases}) for name in numbers}
        policy["scalars"] = {name: {"values": found} for name, found in values.items()}
    return policy


def _baseline(operation: BenchOperation, reference: str) -> Solution:
    files = {"main.py": texts.baseline_text(operation.names), "task.py": reference}
    return _solution(operation, BASELINE, files, Language.PYTHON)


def _solution(
    operation: BenchOperation, name: str, files: Mapping[str, str], language: Language
) -> Solution:
    return Solution(
        name=name,
        definition=operation.operator,
        author=SUITE,
        spec=BuildSpec(
            language=language,
            target_hardware=["cuda"],
            entry_point="main.py::run",
            destination_passing_style=False,
        ),
        sources=[SourceFile(path=path, content=text) for path, text in files.items()],
    )


def _candidates(
    folder: Path,
    places: Sequence[Path],
    written: Mapping[str, Sequence[BenchOperation]],
    out: Path,
    left_out: dict[str, str],
) -> Iterator[Path]:
    """Writes the kernels of a checkout and of folders, beside each operator of their operation."""
    found = [f for name in KERNEL_PLACES for f in sorted((folder / name).glob("*.py"))]
    found += [file for place in places for file in sorted(place.rglob("*.py"))]
    for file in found:
        label = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
        try:
            source = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            left_out[label] = f"it cannot be read: {error}"
            continue
        kind = _KERNEL_TYPE.search(source)
        if kind is None or not _KERNEL_FN.search(source):
            continue  # no kernel
        if kind[1] not in written:
            known = ", ".join(written) or "none"
            left_out[label] = f"no operation {kind[1]!r} was imported; there are: {known}"
        for operation in written.get(kind[1], ()):
            name = re.sub(r"[^\w.-]+", "_", f"{file.parent.name}-{file.stem}")
            entry = texts.entry_text(operation.tree, operation.names)
            files = {"main.py": entry, "kernel_source.py": source}
            solution = _solution(operation, name, files, python_language(source))
            yield write_candidate(solution, out / operation.operator / CANDIDATES / name)
