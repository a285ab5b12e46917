"""A contest's submission, packed from solutions: config.toml, sources in one folder, solution.json.

The contest's own script packs what lies directly in `solution/<language>/` again, and knows of the
calling convention only that outputs are passed. What it would pack into another program is refused
here, with what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import tomli_w

from ...errors import RequestError
from ...schema.flashinfer_trace import Language, Solution
from .names import FileNames, new_folder

LANGUAGES = (Language.TRITON, Language.CUDA, Language.PYTHON)
PACKED_SUFFIXES = frozenset(
    {".py", ".cu", ".cuh", ".cpp", ".c", ".h", ".hpp", ".cc", ".cxx"},
)
"""What FlashInfer-Bench's `pack_solution_from_files` takes up; it leaves out everything else."""
HARDWARE = "cuda"


@dataclass(frozen=True)
class PackedSolution:
    """One solution of a submission and the folder that holds it."""

    folder: Path
    solution: Solution


def pack_submission(
    solutions: Sequence[Solution],
    out: Path,
    *,
    name: str | None = None,
    author: str | None = None,
) -> list[PackedSolution]:
    """Writes solutions as a submission: one in the folder itself, several in one folder each.

    Args:
        solutions: at most one of each definition.
        out: a folder that does not exist yet, or is empty.
        name: of the solution, when there is only one.
        author: of all of them, as a team's name.

    Raises:
        RequestError: when the contest's script would pack another program, or two are of one
            definition.
    """
    named = [_renamed(s, name if len(solutions) == 1 else None, author) for s in solutions]
    _require_one_each(named)
    faults = [f"{s.name}: {fault}" for s in named for fault in packing_faults(s)]
    if faults:
        raise RequestError(
            "A submission cannot hold it as it is: " + "; ".join(faults),
            remedy="Change that in a workspace, evaluate it again, and pack the workspace.",
        )
    new_folder(out)
    packed: list[PackedSolution] = []
    folders = FileNames()
    for solution in named:
        folder = out if len(named) == 1 else out / folders.take(solution.definition)
        _write(solution, folder)
        packed.append(PackedSolution(folder, solution))
    return packed


def packing_faults(solution: Solution) -> list[str]:
    """What of a solution the contest's script would lose, in words."""
    spec = solution.spec
    faults = []
    if spec.language not in LANGUAGES:
        faults.append(f"the contest takes {', '.join(LANGUAGES)}, not {spec.language}")
    if not spec.destination_passing_style:
        faults.append("it returns its outputs, where the contest passes them to be written")
    for source in solution.sources:
        path = PurePosixPath(source.path)
        if len(path.parts) > 1:
            faults.append(f"{source.path} lies in a folder, and only files beside the entry count")
        elif path.suffix.lower() not in PACKED_SUFFIXES:
            faults.append(f"{source.path} would be left out for its ending")
    return faults


def _renamed(solution: Solution, name: str | None, author: str | None) -> Solution:
    """The solution as the contest's script makes it from the files, sources in order of names."""
    spec = solution.spec.model_copy(update={"target_hardware": [HARDWARE]})
    update = {
        "name": name or solution.name,
        "author": author or solution.author,
        "spec": spec,
        "sources": sorted(solution.sources, key=lambda source: source.path),
    }
    return solution.model_copy(update=update)


def _require_one_each(solutions: Sequence[Solution]) -> None:
    definitions = [solution.definition for solution in solutions]
    twice = sorted({name for name in definitions if definitions.count(name) > 1})
    if twice:
        raise RequestError(
            f"Two solutions are of {', '.join(twice)}, and only one of a definition counts",
            remedy="Pack the one that you submit.",
        )


def _write(solution: Solution, folder: Path) -> None:
    spec = solution.spec
    build = {"language": str(spec.language), "entry_point": spec.entry_point}
    build |= {"destination_passing_style": True}
    if spec.binding is not None:
        build |= {"binding": str(spec.binding)}
    if spec.dependencies:
        build |= {"dependencies": list(spec.dependencies)}
    config = {
        "solution": {
            "name": solution.name,
            "definition": solution.definition,
            "author": solution.author,
        },
        "build": build,
    }
    sources = folder / "solution" / str(spec.language)
    sources.mkdir(parents=True)
    for source in solution.sources:
        (sources / source.path).write_bytes(source.content.encode())
    (folder / "config.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
    text = solution.model_dump_json(indent=2)
    (folder / "solution.json").write_text(f"{text}\n", encoding="utf-8")
