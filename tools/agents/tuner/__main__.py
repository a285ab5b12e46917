"""The built-in agent as a program: runs the round whose facts lie in the working folder.

    python -m kernel_harness.tools.agents.tuner [VARIANTS]

It prints what came of it as a sentence and ends with status 0, or says on stderr why not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from ...errors import HarnessError
from ..round_facts import read_facts
from .mcp_session import mcp_session
from .tuning_round import VARIANTS, TuningRound


async def _run(count: int) -> str:
    folder = Path.cwd()
    facts = read_facts(folder)
    async with mcp_session(facts) as tools:
        return await TuningRound(tools, folder, facts, count).run()


def main(arguments: list[str]) -> int:
    """Runs one round; returns the exit status."""
    try:
        words = anyio.run(_run, int(arguments[0]) if arguments else VARIANTS)
    except (HarnessError, ExceptionGroup) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{words}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
