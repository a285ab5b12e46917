"""Calls the cost() of a file for several workloads, in a process of its own.

    python -m kernel_harness.tools.workloads.costs.counting FILE SECONDS BYTES

Sizes come on standard input. For each a numbered line of JSON goes out as soon as it is counted;
what the file itself prints goes nowhere. It imports nothing of the harness, so that it starts at
once.
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


def _counted(module: Any, number: int, asked: dict[str, Any]) -> str:
    try:
        fields = module.cost(asked["axes"], structure=asked["structure"], inputs=None)
        return json.dumps({"number": number, "cost": fields}, default=_plain)
    except BaseException as error:  # it may exit, too
        return json.dumps({"number": number, "fault": f"{type(error).__name__}: {error}"})


def _limit(seconds: int, most_bytes: int) -> None:
    """Bounds this process, also where nobody is left to end it, and what it leaves behind."""
    signal.alarm(seconds)
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    of_processors = seconds * (os.cpu_count() or 1)
    limits = {
        resource.RLIMIT_AS: size,
        resource.RLIMIT_CPU: of_processors,
        resource.RLIMIT_FSIZE: most_bytes,
    }
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, bound))


def main() -> None:
    """Counts what is asked for."""
    path = Path(sys.argv[1])
    _limit(int(sys.argv[2]), int(sys.argv[3]))
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        module = _loaded(path)
    except BaseException as error:
        print(json.dumps({"unloaded": f"{type(error).__name__}: {error}"}), file=out, flush=True)
        return
    for number, one in enumerate(asked):
        print(_counted(module, number, one), file=out, flush=True)


if __name__ == "__main__":
    main()
