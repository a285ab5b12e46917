"""The commands in groups, as `kernel-harness --help` lists them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

GROUPS: dict[str, tuple[str, ...]] = {
    "Set up": ("serve", "install", "uninstall", "doctor", "check", "calibrate", "trust")
    + ("cluster", "completion"),
    "Benchmarks": ("import", "collect", "run", "score", "validate", "validate-render"),
    "Whole models": ("rank-model", "extract-operator", "verify-model"),
    "Look": ("list", "sample", "measure", "floors", "roofline", "search", "know", "best", "show")
    + ("diff", "log", "progress", "report", "read"),
    "Try": ("open", "plan", "evaluate", "tune", "get", "profile", "timeline", "sanitize")
    + ("inspect", "show-code"),
    "Leave alone": ("optimize", "compare", "lessons"),
    "Remember": ("archive", "amend", "plans", "select", "context", "dispatch", "promote")
    + ("rollback", "recompute", "tidy", "rebuild-index"),
    "Carry": ("bundle", "fetch", "push", "export", "pack", "extract", "deploy", "trajectories")
    + ("batch",),
}
NAMES = tuple(name for names in GROUPS.values() for name in names)
TOOL_HELP = {
    "check": "what this machine can and cannot do",
    "list": "operators, or the inputs and workloads of one",
    "sample": "the few workloads to measure while iterating",
    "open": "begin a candidate in a folder of its own",
    "plan": "write down an idea and its forecast before the code",
    "evaluate": "judge a candidate: build it, check it, time it",
    "tune": "try many variants of a candidate, and find the fastest",
    "get": "an evaluation that is under way or done",
    "read": "a part of a long report, log, diff or profile",
    "profile": "what limits each kernel, by counters",
    "timeline": "kernels, gaps and host time of a call",
    "sanitize": "look for races and stray accesses",
    "inspect": "one call's tensors beside the reference's; no verdict",
    "show-code": "what kernels are compiled to, down to SASS",
    "measure": "what a device does with the simplest code",
    "floors": "a picture of latencies against what the device allows",
    "roofline": "a picture of an operator's workloads under the roofline",
    "progress": "a picture of a search's course",
    "archive": "keep a candidate, with what it was to show and did",
    "amend": "add words, tags, parents or a note to a candidate",
    "search": "what was tried, what helped, what is blocked",
    "know": "skills, lessons and others' sources that have some words",
    "select": "the candidate to go on from",
    "context": "what a planner, coder or debugger should read",
    "promote": "make a candidate the best, if every rule holds",
    "rollback": "take the last promotion back",
}
"""What the commands do that are tools; the others say it themselves."""
_COLUMN = 16
_WIDTH = 79


class CommandParsers:
    """The parsers of commands, and what each command does, which argparse does not give back."""

    def __init__(self, parsers: Any) -> None:
        self._parsers = parsers
        self.helps: dict[str, str] = {}

    def add_parser(self, name: str, **options: Any) -> Any:
        """Adds a command's parser, as argparse's own method does, and notes its help."""
        self.helps[name] = options["help"]
        return self._parsers.add_parser(name, **options)


def listing(helps: Mapping[str, str]) -> str:
    """The groups with a line or two for each command.

    Args:
        helps: by command, what it does.
    """
    parts, indent = [], " " * (_COLUMN + 2)
    for title, names in GROUPS.items():
        parts.append(f"{title}:")
        for name in names:
            words = textwrap.fill(
                helps[name], _WIDTH, initial_indent=indent, subsequent_indent=indent
            )
            parts.append(f"  {name:{_COLUMN - 1}} {words.lstrip()}")
        parts.append("")
    return "\n".join(parts).rstrip()
