"""Writes an operator's folder for a task of a suite, and candidates beside it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from ..schema.flashinfer_trace import Definition, Language, Solution
from ..workloads.solution_folder import write_solution
from .origin import TaskOrigin

CANDIDATES = "candidates"
LIBRARIES = ("torch", "cublas", "cudnn")
"""Whose kernels a candidate may launch: those that eager PyTorch has."""


@dataclass(frozen=True)
class Imported:
    """What an import wrote, and what it did not.

    Args:
        operators: names of the operators that were written.
        candidates: folders of the candidates that were written.
        left_out: what was not imported, by its file, and why.
        warnings: what makes a task a weak one, by its operator.
    """

    folder: Path
    operators: tuple[str, ...]
    candidates: tuple[Path, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorFiles:
    """What an operator's folder is made of.

    Args:
        workloads: as FlashInfer-Trace has them.
        policy: of policy.toml.
        origin: where the task is from.
        python: texts of inputs.py and the like, by name; the reference is the definition's.
        peers: what candidates may be compared with, by name.
        structure: by workload, what axes do not tell of its inputs.
    """

    definition: Definition
    workloads: Sequence[Mapping[str, Any]]
    policy: dict[str, Any]
    origin: TaskOrigin
    python: Mapping[str, str] = field(default_factory=dict)
    peers: Mapping[str, Solution] = field(default_factory=dict)
    structure: Mapping[str, Any] = field(default_factory=dict)

    def write(self, out: Path) -> Path:
        """Writes the folder below `out`; files of the same names are replaced."""
        name = self.definition.name
        place = out / name
        place.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"definition": name, "workload": dict(w)}) for w in self.workloads]
        files = {
            "definition.json": self.definition.model_dump_json(indent=1, exclude_none=False),
            "workloads.jsonl": "\n".join(lines),
            "reference.py": self.definition.reference,
            "policy.toml": tomli_w.dumps(self.policy),
            **self.python,
        }
        if self.structure:
            files["structure.json"] = json.dumps(self.structure, indent=1)
        for file, content in files.items():
            (place / file).write_text(content.rstrip("\n") + "\n", encoding="utf-8")
        self.origin.write(place)
        for peer, solution in self.peers.items():
            write_candidate(solution, place / "peers" / peer)
        return place


def write_candidate(solution: Solution, folder: Path) -> Path:
    """Writes a solution's folder, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_solution(solution, folder)
    return folder


def python_language(source: str) -> Language:
    """What a Python source is written in: Triton where it imports that."""
    triton = re.search(r"^\s*(?:import|from) +triton\b", source, re.MULTILINE)
    return Language.TRITON if triton else Language.PYTHON


def digest_of(*texts: str) -> str:
    """SHA-256 of texts."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
