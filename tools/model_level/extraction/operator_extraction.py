"""Runs a program and writes one of its ranked parts as an operator's folder.

from kernel_harness.tools.model_level.extraction.operator_extraction import extract_operator

done = extract_operator(["python", "bench.py"], ranking.operators[0].operator, "operators/")
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...errors import DatasetError, RequestError
from ..program import run_python
from ..ranking.observations import ObservedOperator, torch_function
from ..ranking.ranking import ModelRanking
from .extracted_operator import ExtractedOperator, ExtractRequest

RUNNER = "kernel_harness.tools.model_level.extraction.extracted_run"


def extract_operator(
    words: Sequence[str],
    operator: ObservedOperator,
    out: Path | str,
    *,
    name: str | None = None,
    step: str | None = None,
) -> ExtractedOperator:
    """Runs a program to its end, records one of its operators, and writes its folder.

    Args:
        words: an interpreter of Python's, and a file or `-m` and a module, with arguments.
        operator: a row of a ranking of this program.
        out: a folder of operators, in which one of the operator's name is made.
        name: of the operator; None: after the function.
        step: as it was ranked with.

    Raises:
        RequestError: when it is none that can stand alone, or the program cannot be run.
    """
    if operator.kind == "torch" and operator.extractable:
        operator = replace(operator, name=torch_function(operator.name), kind="function", where=())
    if operator.kind == "torch" or not operator.extractable:
        within = f" in {operator.where[0]}" if operator.where else ""
        raise RequestError(
            f"{operator.name}{within} is no function of the program that has a name",
            remedy="Extract the block that it is in, or put this part into a function of a module.",
        )
    if operator.kind == "function" and operator.name.startswith("__main__."):
        raise RequestError(
            f"{operator.name} is a function of the program's own file",
            remedy="Put it into a module that the program imports, where it can be replaced.",
        )
    called = name or operator_name(operator)
    folder = Path(out).absolute() / called
    if folder.exists():
        raise RequestError(f"{folder} is in use", remedy="Give --name, or another folder.")
    where = operator.where if operator.kind == "module" else ()
    with tempfile.TemporaryDirectory() as place:
        asked, answer = Path(place, "request.json"), Path(place, "answer.json")
        request = ExtractRequest(
            tuple(words[1:]), step, operator.name, where, called, str(folder), str(answer)
        )
        asked.write_bytes(TypeAdapter(ExtractRequest).dump_json(request))
        run_python(words, RUNNER, [str(asked)])
        return TypeAdapter(ExtractedOperator).validate_json(answer.read_bytes())


def operator_name(operator: ObservedOperator) -> str:
    """A name for an operator: its function's or module's, and the size of a module's tensors."""
    *_, owner, last = operator.name.split(".")
    words = [owner] if operator.kind == "module" else [last]
    words += ["x".join(map(str, shape)) for shape in operator.parameters[:1] if shape]
    between = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    parts = re.sub(between, "_", "_".join(words))
    return re.sub(r"\W+", "_", parts).lower().strip("_")


def ranked_row(path: Path, row: int, *, block: bool = False) -> ObservedOperator:
    """A row of a ranking that `rank-model --out` wrote.

    Raises:
        DatasetError: when the file is none.
        RequestError: when it has no such row.
    """
    try:
        ranking = TypeAdapter(ModelRanking).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"It is no ranking: {error}", where=str(path), remedy="rank-model --out writes one."
        ) from error
    rows = ranking.blocks if block else ranking.operators
    for one in rows:
        if one.row == row:
            return one.operator
    raise RequestError(f"There is no row {row}", remedy=f"Rows are 1 to {len(rows)}.")
