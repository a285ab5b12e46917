"""Calls the cost() of a file for several workloads, in a process of its own.

    python -m kernel_harness.tools.workloads.costs.counting FILE SECONDS

Sizes come on standard input. For each a line of JSON goes out as soon as it is counted; what the
file itself prints goes nowhere. It imports nothing of the harness, so that it starts at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("kernel_harness_operator_cost", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass with postponed annotations looks its module up while it is being made.
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _plain(value: Any) -> Any:
    """A number of numpy's or torch's as one of Python's, another mapping as a dict."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.item() if hasattr(value, "item") else list(value)


def _counted(module: Any, asked: dict[str, Any]) -> str:
    try:
        fields = module.cost(asked["axes"], structure=asked["structure"], inputs=None)
        return json.dumps({"cost": fields}, default=_plain)
    except BaseException as error:  # it may exit, too
        return json.dumps({"fault": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Counts what is asked for."""
    path, seconds = Path(sys.argv[1]), int(sys.argv[2])
    signal.alarm(seconds)  # also where nobody is left to end it
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        module = _loaded(path)
    except BaseException as error:
        print(json.dumps({"unloaded": f"{type(error).__name__}: {error}"}), file=out, flush=True)
        return
    for one in asked:
        print(_counted(module, one), file=out, flush=True)


if __name__ == "__main__":
    main()
