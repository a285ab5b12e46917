"""FlashInfer's contest: its definitions as operator folders, with the submissions of teams.

The contest has a FlashInfer-Trace dataset; a team has a repository with config.toml and sources in
solution/<language>/, for several definitions a folder of that kind each. What cannot be imported is
listed with its reason. Nothing of the contest is part of this project.

| the contest                                  | operator folder                                |
| -------------------------------------------- | ---------------------------------------------- |
| a definition, its workloads                  | contest_<definition>, as they are              |
| tensors of workloads                         | as they are, by their paths in the dataset     |
| a definition that is shipped here            | inputs, oracle and strict limits of the        |
|                                              | shipped operator; its workloads without others |
| tolerances: of experts 1, 0.3 and 90 %       | policy.toml, `[tolerance]`                     |
| the dataset's one solution by `baseline`     | peers/baseline; else peers/reference           |
| fused_moe, sparse_attention, gated_delta_net | origin.json, `track`                           |
| config.toml and solution/<language>/         | candidates/<team>--<name>                      |
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import DatasetError, RequestError
from ..schema.flashinfer_trace import Language, SafetensorsInput, Solution
from ..settings import Settings
from ..workloads.dataset import Dataset
from ..workloads.operators import BASELINE_AUTHOR, JUDGED_BY, REFERENCE, Operator
from ..workloads.policy import Policy
from .operator_folder import (
    CANDIDATES,
    LIBRARIES,
    Imported,
    OperatorFiles,
    digest_of,
    write_candidate,
)
from .origin import TaskOrigin

SUITE = "contest"
CONFIG, SOURCES, DEFINITIONS = "config.toml", "solution", "definitions"
PREFIX = "contest_"
"""Of operators: those of the definitions' own names are the shipped ones."""
TRACKS = {"moe": "fused_moe", "dsa_paged": "sparse_attention", "gdn": "gated_delta_net"}
"""By op_type; other definitions are a track of their type."""
TOLERANCES = {"moe": {"atol": 1.0, "rtol": 0.3, "required_matched_ratio": 0.9}}
"""By op_type, where the contest's command line says another than the usual."""
PACKED = frozenset({".py", ".cu", ".cuh", ".cpp", ".c", ".h", ".hpp", ".cc", ".cxx"})
"""Endings of what FlashInfer-Bench packs; it leaves out everything else."""
BETWEEN = "--"
"""Between a team and its solution, in names of candidates."""
DEPTH = 5
"""Of folders that are looked into."""
MOST_CONFIG_BYTES = 1 << 20
LONGEST_NAME = 200
"""Of a candidate's folder: file systems have at most 255 bytes."""


@dataclass(frozen=True)
class Submission:
    """What a team submits for one definition.

    Args:
        label: its folder, as people speak of it.
        definition: as config.toml names it.
    """

    label: str
    definition: str
    author: str
    solution: Solution


def import_contest(
    folder: Path,
    out: Path,
    *,
    candidates: Sequence[Path] = (),
    published_only: bool = False,
    shipped: Path | None = None,
) -> Imported:
    """Writes an operator folder for each definition, and a candidate's for each submission.

    Args:
        folder: holds the dataset, teams' repositories, or both, at any place.
        out: the folder of operators; those of the same names are written anew.
        candidates: folders of further repositories.
        published_only: whether the contest's tolerance decides alone.
        shipped: the shipped operators, for definitions that no dataset here has.

    Raises:
        RequestError: when there is neither a dataset nor a submission, or a folder is missing.
    """
    if missing := [str(place) for place in (folder, *candidates) if not place.is_dir()]:
        raise RequestError("The folder does not exist", where=missing[0])
    left_out: dict[str, str] = {}
    roots = sorted({place.parent for place in _found(folder, DEFINITIONS)})
    submissions = list(_submissions((folder, *candidates), left_out))
    if not roots and not submissions:
        raise RequestError(
            "There is neither the contest's dataset nor a submission",
            where=str(folder),
            remedy=f"Give a folder that holds the dataset, with {DEFINITIONS}/ and workloads/, or "
            f"a team's repository, with {CONFIG} and {SOURCES}/<language>/.",
        )
    found = Dataset.load(shipped or Settings().kernels_dir, roots)
    own = Dataset.load(roots[0], roots[1:]).operators if roots else {}
    left_out.update({str(problem): "of the dataset" for problem in found.problems})
    named = {submission.definition for submission in submissions}
    written: dict[str, Operator] = {}
    for name, operator in found.operators.items():
        if name not in own and (roots or name not in named):
            continue
        if not operator.workloads:
            left_out[name] = "it has no workload"
            continue
        _files(operator, published_only=published_only).write(out)
        written[name] = operator
    made = tuple(_candidates(submissions, written, out, left_out))
    return Imported(out, tuple(PREFIX + name for name in written), made, left_out)


def _found(folder: Path, name: str) -> Iterator[Path]:
    """Entries of a name below a folder, none of them in a hidden folder or in another's sources."""
    edge = [(folder, 0)]
    while edge:
        place, depth = edge.pop()
        for entry in sorted(place.iterdir()):
            if entry.name == name:
                yield entry
            elif entry.is_dir() and not entry.is_symlink() and depth < DEPTH:
                if not entry.name.startswith(".") and entry.name != SOURCES:
                    edge.append((entry, depth + 1))


def _submissions(places: Sequence[Path], left_out: dict[str, str]) -> Iterator[Submission]:
    """The submissions below folders; notes those that cannot be read."""
    seen: dict[tuple[str, str], str] = {}
    for place in places:
        for config in sorted(_found(place, CONFIG)):
            label = config.parent.relative_to(place).as_posix()
            label = place.name if label == "." else label
            if not (config.parent / SOURCES).is_dir():
                continue  # of another program
            try:
                submission = read_submission(config.parent, label)
            except DatasetError as error:
                left_out[label] = error.what
                continue
            key = _part(submission.author), submission.definition
            if key in seen:
                left_out[label] = f"{seen[key]} is of the same team and definition: only one counts"
                continue
            seen[key] = label
            yield submission


def read_submission(folder: Path, label: str = "") -> Submission:
    """The submission of a folder, packed as the contest's own script packs it.

    Raises:
        DatasetError: when its config.toml or its sources cannot be used, with the reason.
    """
    path = folder / CONFIG
    _require_plain(folder)
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        solution, build = dict(said["solution"]), dict(said["build"])
        author, definition, name = (str(solution[k]) for k in ("author", "definition", "name"))
        language = str(Language(build["language"]))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{CONFIG} is not TOML: {error}", where=str(path)) from error
    except KeyError as error:
        raise DatasetError(f"{CONFIG} does not say its {error}", where=str(path)) from error
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{CONFIG} cannot be used: {error}", where=str(path)) from error
    place = folder / SOURCES / language
    files = sorted(place.iterdir()) if place.is_dir() else []
    files = [f for f in files if f.is_file() and f.suffix.lower() in PACKED]
    if links := [file.name for file in (place, *files) if file.is_symlink()]:
        raise DatasetError(f"{links[0]} is a link, and may lead anywhere", where=str(folder))
    if not files:
        raise DatasetError(f"there are no sources in {SOURCES}/{language}", where=str(folder))
    whole = f"{_part(author)}{BETWEEN}{_part(name)}"
    if len(whole) > LONGEST_NAME:
        raise DatasetError(f"author and name are longer than {LONGEST_NAME}", where=str(path))
    try:
        made = Solution.model_validate(
            {
                "name": whole,
                "definition": PREFIX + definition,
                "author": author,
                "spec": {
                    "language": language,
                    "target_hardware": ["cuda"],
                    "entry_point": build.get("entry_point", ""),
                    "destination_passing_style": build.get("destination_passing_style", True),
                    "binding": build.get("binding") or None,
                    "dependencies": build.get("dependencies") or [],
                },
                "sources": [
                    # The format refuses empty contents.
                    {"path": file.name, "content": file.read_text(encoding="utf-8") or "\n"}
                    for file in files
                ],
            }
        )
    except (ValidationError, UnicodeDecodeError) as error:
        words = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise DatasetError(
            f"it is no solution: {words.removeprefix('Value error, ')}", where=str(path)
        ) from error
    return Submission(label or folder.name, definition, author, made)


def _require_plain(folder: Path) -> None:
    """Refuses a repository whose config.toml would be another's, or not end, when it is read."""
    path = folder / CONFIG
    if links := [place.name for place in (path, folder / SOURCES) if place.is_symlink()]:
        raise DatasetError(f"{links[0]} is a link, and may lead anywhere", where=str(folder))
    if not path.is_file() or path.stat().st_size > MOST_CONFIG_BYTES:
        words = f"{CONFIG} is no file, or larger than {MOST_CONFIG_BYTES} bytes"
        raise DatasetError(words, where=str(path))


def _part(name: str) -> str:
    """A name as a part of a candidate's, which holds the mark between them once."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")
    return re.sub(r"-{2,}", "-", plain) or "unnamed"


def _files(operator: Operator, *, published_only: bool) -> OperatorFiles:
    """What an operator's folder is made of."""
    definition = operator.definition.model_copy(update={"name": PREFIX + operator.name})
    given = [s for s in operator.dataset_solutions if s.author == BASELINE_AUTHOR]
    baseline = given[0] if len(given) == 1 else operator.reference()
    peer = BASELINE_AUTHOR if len(given) == 1 else REFERENCE
    texts = {
        name: (operator.folder / name).read_text(encoding="utf-8")
        for name in JUDGED_BY
        if operator.folder and name.endswith(".py") and (operator.folder / name).is_file()
    }
    return OperatorFiles(
        definition=definition,
        workloads=[_workload(operator, number) for number in range(len(operator.workloads))],
        policy=_policy(operator, peer, published_only=published_only),
        origin=TaskOrigin(
            suite=SUITE,
            task=operator.name,
            file=f"{DEFINITIONS}/{definition.op_type}/{operator.name}.json",
            sha256=digest_of(operator.definition.model_dump_json()),
            track=TRACKS.get(definition.op_type, definition.op_type),
        ),
        python={name: text for name, text in texts.items() if name != "reference.py"},
        peers={peer: baseline.model_copy(update={"definition": definition.name})},
        structure=operator.structure,
    )


def _workload(operator: Operator, number: int) -> dict[str, Any]:
    """A workload whose tensors are found wherever its file is moved."""
    workload = operator.workloads[number]
    said = workload.model_dump(mode="json")
    for name, spec in workload.inputs.items():
        if isinstance(spec, SafetensorsInput) and operator.root is not None:
            said["inputs"][name]["path"] = str((operator.root / spec.path).resolve())
    return said


def _policy(operator: Operator, baseline: str, *, published_only: bool) -> dict[str, Any]:
    """The shipped operator's policy, or the usual one, with the contest's criterion."""
    policy: Policy = operator.policy
    said = policy.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    for name in ("cpu_baseline", "interpreter_seconds"):
        said.pop(name, None)
    said["baseline"] = baseline
    said["criterion"] = "published" if published_only else "both"
    own = TOLERANCES.get(operator.definition.op_type, {})
    said["tolerance"] = {**said.get("tolerance", {}), **own}
    allowed = dict.fromkeys([*LIBRARIES, *policy.libraries.allowed, "flashinfer"])
    said["libraries"] = {"allowed": list(allowed)}
    return said


def _candidates(
    submissions: Sequence[Submission],
    written: Mapping[str, Operator],
    out: Path,
    left_out: dict[str, str],
) -> Iterator[Path]:
    """Writes the submissions, each beside its operator; notes those of no definition here."""
    for submission in submissions:
        if submission.definition not in written:
            known = ", ".join(written) or "none"
            words = f"no definition {submission.definition!r}; there are: {known}"
            left_out[submission.label] = words
            continue
        solution = submission.solution
        yield write_candidate(solution, out / solution.definition / CANDIDATES / solution.name)
