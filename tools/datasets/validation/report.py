"""Validates a FlashInfer-Trace dataset in categories; nothing of it is run.

The categories and the names of report files are FlashInfer-Bench's. An error makes a definition,
or something of it, unusable or misread; a warning is what its readers will miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import DatasetError, unknown_name
from ...text import counted
from ..trace_set import TraceSet
from .rules import (
    RuleFinding,
    baseline_findings,
    definition_findings,
    layout_findings,
    solution_findings,
    trace_findings,
    unreadable_findings,
    workload_findings,
)


class Category(StrEnum):
    """What is looked at."""

    LAYOUT = "layout"
    DEFINITION = "definition"
    WORKLOAD = "workload"
    SOLUTION = "solution"
    TRACE = "trace"
    BASELINE = "baseline"
    BENCHMARK = "benchmark"
    """Runs references and baselines; the only one that runs anything."""


STATIC = tuple(category for category in Category if category is not Category.BENCHMARK)
RULES: Mapping[Category, Callable[[TraceSet], Iterator[RuleFinding]]] = {
    Category.LAYOUT: layout_findings,
    Category.DEFINITION: definition_findings,
    Category.WORKLOAD: workload_findings,
    Category.SOLUTION: solution_findings,
    Category.TRACE: trace_findings,
    Category.BASELINE: baseline_findings,
}


class ValidationFinding(BaseModel):
    """One thing that is wrong or missing."""

    model_config = ConfigDict(frozen=True)

    category: Category
    error: bool
    definition: str
    file: str
    line: int | None = None
    message: str

    @property
    def words(self) -> str:
        """The finding in one line, with its place."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        level = "error" if self.error else "warning"
        return f"{level}  {self.category}  {place}: {self.message}"


class ValidationReport(BaseModel):
    """What was looked at in a dataset, and what was found."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    categories: list[Category]
    definitions: list[str]
    findings: list[ValidationFinding]

    def status_of(self, definition: str) -> str:
        """'error', 'warning' or 'passed'."""
        own = [finding.error for finding in self.findings if finding.definition == definition]
        return "error" if any(own) else "warning" if own else "passed"

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.error for finding in self.findings)

    def with_findings(self, category: Category, found: Sequence[RuleFinding]) -> ValidationReport:
        """The report with what another category found."""
        more = [_placed(category, finding) for finding in found]
        categories = [*self.categories, category]
        return self.model_copy(
            update={"categories": categories, "findings": [*self.findings, *more]}
        )


def validate(
    found: TraceSet,
    *,
    categories: Sequence[Category] = STATIC,
    definitions: Sequence[str] = (),
    op_types: Sequence[str] = (),
) -> ValidationReport:
    """Looks at a dataset.

    Args:
        definitions, op_types: only what is of these; everything when empty.

    Raises:
        RequestError: when a name is none of the dataset's.
    """
    known = found.by_name
    types = {definition.op_type for definition in known.values()}
    for word, names, there in (
        ("definition", definitions, known),
        ("op_type", op_types, types),
    ):
        for name in names:
            if name not in there:
                raise unknown_name(word, name, there)
    chosen = [
        name
        for name, definition in known.items()
        if not definitions or name in definitions
        if not op_types or definition.op_type in op_types
    ]
    findings = [
        _placed(category, finding)
        for category in categories
        if category in RULES
        for finding in (*RULES[category](found), *unreadable_findings(found, category))
    ]
    if definitions or op_types:
        findings = [finding for finding in findings if finding.definition in chosen]
    return ValidationReport(
        dataset=str(found.root),
        categories=[category for category in categories if category in RULES],
        definitions=chosen,
        findings=findings,
    )


def read_report(path: Path) -> ValidationReport:
    """Reads a report that was written as JSON.

    Raises:
        DatasetError: when it is none.
    """
    try:
        return ValidationReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"It is no report of a validation: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="Write one with kernel-harness validate DATASET --json.",
        ) from error


def write_report(report: ValidationReport, folder: Path, *, json: bool, text: bool) -> list[Path]:
    """Writes a report into files named by the time, of those kinds; their paths."""
    stem = f"report-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    contents = {".json": report.model_dump_json(indent=1)} if json else {}
    contents |= {".txt": "\n".join(report_lines(report)) + "\n"} if text else {}
    if contents:
        folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in contents.items():
        (folder / f"{stem}{suffix}").write_text(content, encoding="utf-8")
    return [folder / f"{stem}{suffix}" for suffix in contents]


def report_lines(report: ValidationReport) -> Iterator[str]:
    """The report as text: findings by definition, and counts."""
    names = [*report.definitions]
    names += sorted({f.definition for f in report.findings} - set(names))
    for name in names:
        own = [finding for finding in report.findings if finding.definition == name]
        if own:
            yield f"{name or 'of no definition'}: {report.status_of(name)}"
            yield from (f"  {finding.words}" for finding in own)
    states = [report.status_of(name) for name in report.definitions]
    passed, warned, wrong = (states.count(state) for state in ("passed", "warning", "error"))
    warnings = len(report.findings) - report.errors
    yield (
        f"{counted(len(states), 'definition')}: {passed} without findings, {warned} with warnings "
        f"alone, {wrong} with errors. {counted(report.errors, 'error')} and "
        f"{counted(warnings, 'warning')} in all. Looked at: {', '.join(report.categories)}."
    )


def _placed(category: Category, finding: RuleFinding) -> ValidationFinding:
    return ValidationFinding(
        category=category,
        error=finding.error,
        definition=finding.definition,
        file=finding.file,
        line=finding.line,
        message=finding.message,
    )
