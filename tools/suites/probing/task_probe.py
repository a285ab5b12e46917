"""Tells what the code of a suite's tasks takes and gives, each task in a fork of its own.

A program: a JSON line with `kind`, `tasks` and `limit_s` comes in, a JSON line for each task goes
out, in order. A task that fails, ends its process or takes too long costs only itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from . import autokernel_facts, gpu_mode_facts, kernelbench_facts, robust_kbench_facts
from .task_code import Facts

DESCRIBERS: Mapping[str, Callable[[Facts], Facts]] = {
    "autokernel": autokernel_facts.facts_of,
    "kernelbench": kernelbench_facts.facts_of,
    "gpu-mode": gpu_mode_facts.facts_of,
    "robust-kbench": robust_kbench_facts.facts_of,
}


def main() -> None:
    """Answers the one request on standard input; the tasks' own output goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    torch.set_num_threads(1)
    with FakeTensorMode():  # loads what every fork would load anew
        torch.nn.BatchNorm1d(2)(torch.rand(2, 2))
    describe = DESCRIBERS[asked["kind"]]
    for task in asked["tasks"]:
        facts = _facts_in_a_fork(describe, task, float(asked["limit_s"]))
        answers.write(json.dumps(facts) + "\n")
        answers.flush()


def _facts_in_a_fork(describe: Callable[[Facts], Facts], task: Facts, limit_s: float) -> Facts:
    """The facts of a task, or `{"reason": …}`, from a fork of this process."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        with os.fdopen(writable, "w", encoding="utf-8") as out:
            out.write(json.dumps(describe(task)))
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8") as answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ValueError):
        return dict(json.loads(text))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return {"reason": f"its code had not ended after {limit_s:g} s"}
    return {"reason": f"its code ended the process with {os.waitstatus_to_exitcode(status)}"}


if __name__ == "__main__":
    main()
