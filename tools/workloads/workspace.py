"""Workspaces: folders in which an agent writes one candidate.

A workspace holds `candidate.toml`, the sources, the definition's reference for reading, and notes
on the operator. Paths are confined to the workspaces folder; nothing outside it is read or written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from ..errors import DatasetError, HarnessError, RequestError, unknown_name
from ..schema.flashinfer_trace import Definition, Solution
from ..schema.record_model import RecordModel
from ..schema.source_tree import tree_faults
from .listing import Starts
from .operators import Operator
from .policy import Criterion, Tolerance, ToleranceForm
from .solution_folder import FILE_NAME, also_sources, read_candidate_file
from .templates.python import plain_source

NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


class Workspace(RecordModel):
    """An opened workspace."""

    path: str
    definition: str
    name: str
    language: str
    entry_point: str
    files: list[str]
    started_from: str
    notes: str
    plan: str = ""


@dataclass(frozen=True)
class WorkspaceStart:
    """What a new workspace starts from.

    Attributes:
        solution: None for the template.
        plan: id of the plan that it is to carry out; empty without one.
        plan_notes: what the plan says, for whoever writes it.
    """

    solution: Solution | None
    started_from: str
    plan: str = ""
    plan_notes: str = ""


FROM_TEMPLATE = WorkspaceStart(None, "template")


def confined(folder: Path, name_or_path: str) -> Path:
    """The workspace that a name or path means.

    A path has to lie inside `folder`; a file's means the workspace that it is in.

    Raises:
        RequestError: when it lies elsewhere or does not exist.
    """
    try:
        return _within(folder, name_or_path)
    except (OSError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"{name_or_path[:200]!r} names no workspace: {error}",
            remedy="open_workspace makes one; pass its path or name.",
        ) from error


def _within(folder: Path, name_or_path: str) -> Path:
    text = name_or_path.strip().rstrip("/")
    path = Path(text).expanduser()
    path = (path if path.is_absolute() else folder / path).resolve()
    root = folder.resolve()
    if path == root or root not in path.parents:
        raise RequestError(
            f"{name_or_path!r} lies outside the workspaces folder",
            where=str(root),
            remedy="open_workspace makes one inside it; pass its path or name.",
        )
    if path.is_file():
        path = root / path.relative_to(root).parts[0]
    if not path.is_dir():
        known = [p.name for p in root.iterdir() if p.is_dir()] if root.is_dir() else []
        raise unknown_name("workspace", path.name, known, remedy="open_workspace makes a new one.")
    return path


def make_workspace(
    folder: Path,
    operator: Operator,
    name: str | None,
    start: WorkspaceStart = FROM_TEMPLATE,
    starts: Starts | None = None,
) -> Workspace:
    """Makes a workspace that begins with a solution, or with the template.

    Args:
        name: None: one is made up.
        starts: what else there is of the operator, for the notes.

    Raises:
        RequestError: when the name is taken or malformed.
    """
    definition = operator.definition
    chosen = name or _free_name(folder, definition.name)
    if not NAME.match(chosen):
        raise RequestError(
            f"{chosen!r} cannot name a workspace",
            remedy="Use 1-64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit.",
        )
    path = folder / chosen
    if path.exists():
        raise RequestError(
            f"Workspace {chosen!r} exists already", where=str(path), remedy="Choose another name."
        )
    sources = (
        {source.path: source.content for source in start.solution.sources}
        if start.solution
        else {"kernel.py": plain_source(definition)}
    )
    if faults := tree_faults(list(sources)):
        raise RequestError(f"{start.started_from!r} cannot be laid into a workspace: {faults[0]}")
    manifest = _manifest(chosen, definition, start)
    notes = "\n\n".join(filter(None, [start.plan_notes, describe(operator), _start_notes(starts)]))
    own = {FILE_NAME: tomli_w.dumps(manifest), "reference.py": definition.reference}
    files = own | {"NOTES.md": notes} | sources
    _lay_out(path, files)
    return Workspace(
        path=str(path),
        definition=definition.name,
        name=chosen,
        language=str(manifest["language"]),
        entry_point=str(manifest["entry_point"]),
        files=sorted(files),
        started_from=start.started_from,
        notes=notes,
        plan=start.plan,
    )


def _lay_out(path: Path, files: Mapping[str, str]) -> None:
    """Makes the folder with its files at once, out of reach of whoever may write beside it.

    An agent that is confined to the workspaces could have them written elsewhere by a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".workspace-", dir=path.parent.parent))
    try:
        for relative, content in files.items():
            target = draft / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(path)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise RequestError(
            f"The workspace cannot be made: {error.strerror}", where=str(path)
        ) from error


def _overwrite(workspace: Path, name: str, text: str) -> None:
    """Writes a file of a workspace anew, through no link: neither its own nor the folder's."""
    try:
        folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            file = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise DatasetError(
            f"{name} cannot be written: {error.strerror}",
            where=str(workspace),
            remedy="Keep it a plain file.",
        ) from error


def workspace_starts(folder: Path) -> set[str]:
    """What the workspaces in a folder were opened from, those that can be read."""
    found: set[str] = set()
    for manifest in folder.glob(f"*/{FILE_NAME}"):
        with contextlib.suppress(HarnessError):
            found.add(read_candidate_file(manifest.parent).started_from or "")
    return found - {""}


def _free_name(folder: Path, definition: str) -> str:
    stem = re.sub(r"[^a-z0-9._-]", "-", definition.lower())[:50]
    number = 1
    while (folder / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def _manifest(name: str, definition: Definition, start: WorkspaceStart) -> dict[str, object]:
    solution = start.solution
    spec = solution.spec if solution else None
    return {
        "name": name,
        "definition": definition.name,
        "language": spec.language.value if spec else "triton",
        "entry_point": spec.entry_point if spec else "kernel.py::run",
        "destination_passing_style": spec.destination_passing_style if spec else True,
        "binding": (spec.binding.value if spec and spec.binding else ""),
        "target_hardware": list(spec.target_hardware) if spec else ["cuda"],
        "dependencies": list(spec.dependencies) if spec else [],
        "description": f"Started from {start.started_from}.",
        "technique": [],
        "also_sources": also_sources(solution) if solution else [],
        "started_from": start.started_from,
        "plan": start.plan,
    }


def name_plan(workspace: Path, plan: str) -> None:
    """Writes into a workspace's candidate.toml which plan it carries out; all else stays as it is.

    Raises:
        DatasetError: when the file would not be read as it was.
    """
    file = workspace / FILE_NAME
    said = read_candidate_file(workspace)
    text = file.read_text(encoding="utf-8")
    line = f"plan = {json.dumps(plan)}"
    # The key of the file itself stands above its first table, if there is any.
    found = re.compile(r"^plan[ \t]*=.*$", re.MULTILINE)
    changed = found.sub(line, text, count=1) if found.search(text) else f"{line}\n{text}"
    _overwrite(workspace, FILE_NAME, changed)
    if read_candidate_file(workspace) != said.model_copy(update={"plan": plan}):
        _overwrite(workspace, FILE_NAME, text)
        raise DatasetError(
            "The plan cannot be named in candidate.toml",
            where=str(file),
            remedy=f"Write the line {line} there yourself.",
        )


def describe(operator: Operator) -> str:
    """The notes an agent needs: shapes, constraints, tolerances, where to look next."""
    definition = operator.definition
    lines = [f"# {definition.name}", "", definition.description or "", "", "## Axes", ""]
    for name, axis in definition.axes.items():
        value = getattr(axis, "value", None)
        lines.append(f"- `{name}`: {'varies' if value is None else value}")
    for title, specs in (("Inputs", definition.inputs), ("Outputs", definition.outputs)):
        lines += ["", f"## {title} (in call order)", ""]
        for name, spec in specs.items():
            shape = "scalar" if spec.shape is None else f"[{', '.join(spec.shape)}]"
            lines.append(
                f"- `{name}` {shape} {spec.dtype.value}. {spec.description or ''}".rstrip()
            )
    if definition.constraints:
        lines += ["", "## Constraints", "", *(f"- `{c}`" for c in definition.constraints)]
    tolerance = operator.policy.tolerance
    lines += [
        "",
        "## What decides",
        "",
        f"- {_published(tolerance)}; {tolerance.required_matched_ratio:.0%} must pass.",
        "- The verdict is stricter: the error is compared with that of a trusted implementation in "
        "the same precision, scaled to the data, on values and shapes you have not seen."
        if operator.policy.criterion is Criterion.BOTH
        else "- That decides alone, on values and shapes you have not seen.",
        "- Inputs are positional, in the order above, then the outputs (destination passing). "
        "Inputs are read-only. Values and addresses change on every call.",
        "",
        "The skill optimize-kernel says how a round goes; reference.py is the definition's own "
        "code, for reading only.",
    ]
    return "\n".join(lines) + "\n"


def _start_notes(starts: Starts | None) -> str:
    """What is there already: to read, to start from, to be compared with."""
    if starts is None:
        return ""
    page = f"`skill://{starts.skill}`" if starts.skill else "none"
    return "\n".join(
        [
            "## What is there",
            "",
            f"- Baseline: {starts.baseline or 'none'}",
            f"- Solutions (`start_from`): {', '.join(starts.solutions) or 'none'}",
            f"- Peers: {', '.join(starts.peers) or 'none'}",
            f"- Page on this operator (read_report): {page}",
            "",
        ]
    )


def _published(tolerance: Tolerance) -> str:
    """The published criterion in words, for a criterion that an element fails."""
    if tolerance.form is ToleranceForm.ALLCLOSE:
        return (
            f"As torch.allclose: an element fails when its absolute error exceeds {tolerance.atol} "
            f"+ {tolerance.rtol} times the expected magnitude"
        )
    return (
        "Compatible with FlashInfer-Trace: an element fails when its absolute error exceeds "
        f"{tolerance.atol} and its relative error exceeds {tolerance.rtol}"
    )
