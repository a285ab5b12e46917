"""Reads an Nsight Compute report with the tool's own Python module; a process of its own.

    python -m kernel_harness.tools.profiling.ncu.report_reader REPORT MODULE_FOLDER

Prints one JSON object a line: a launch's name, its metrics with units and the findings of the
tool's rules. A separate process, because the module is native code that parses a file written
beside untrusted code, and because the server does not want it loaded.
"""

from __future__ import annotations

import ast
import importlib
import json
import math
import sys
from collections.abc import Iterator
from typing import Any


def launches(report: str, module: Any) -> Iterator[dict[str, Any]]:
    """Every launch of a report, in order.

    Args:
        report: path of the '.ncu-rep' file.
        module: Nsight Compute's `ncu_report`.
    """
    context = module.load_report(report)
    for index in range(context.num_ranges()):
        profiled = context.range_by_idx(index)
        for position in range(profiled.num_actions()):
            action = profiled.action_by_idx(position)
            yield {
                "name": _name(action, module),
                "metrics": dict(_metrics(action)),
                "rules": list(_rules(action)),
            }


def _name(action: Any, module: Any) -> str:
    base = getattr(getattr(module, "IAction", None), "NameBase_DEMANGLED", None)
    try:
        return str(action.name(base)) if base is not None else str(action.name())
    except TypeError:
        return str(action.name())


def _metrics(action: Any) -> Iterator[tuple[str, tuple[float, str]]]:
    """Every counter with a number; breakdowns and sampled timelines, the bulk, are left out."""
    for name in action.metric_names():
        if ":" in name or "Triage" in name:
            continue
        metric = action.metric_by_name(name)
        if metric is None:
            continue
        value = _number(metric)
        if value is not None:
            yield name, (value, metric.unit() or "")


def _number(metric: Any) -> float | None:
    try:
        value = metric.value()
    except Exception:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _rules(action: Any) -> Iterator[dict[str, Any]]:
    """The rules' findings; releases differ in whether parts are dicts or their text."""
    reader = getattr(action, "rule_results_as_dicts", None)
    for rule in reader() if reader is not None else ():
        said = _as_dict(rule.get("rule_message"))
        estimate = _as_dict(rule.get("speedup_estimation"))
        message = said.get("message")
        if message:
            kind = str(estimate.get("type", "")).lower()
            yield {
                "name": str(rule.get("rule_identifier") or rule.get("name") or "rule"),
                "message": str(message),
                "speedup_percent": _finite(estimate.get("speedup")),
                "kind": next((k for k in ("global", "local") if k in kind), None),
            }


def _as_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return {"message": value}
    return value if isinstance(value, dict) else {}


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def main(arguments: list[str]) -> int:
    """Prints the launches of the report named first, with the module from the folder named next."""
    report, folder = arguments
    sys.path.insert(0, folder)
    module = importlib.import_module("ncu_report")
    for launch in launches(report, module):
        sys.stdout.write(json.dumps(launch) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
