"""The first round of a search as it would be: the agent's command line and its whole prompts."""

from __future__ import annotations

import math
import shlex
import time

from ...archive.search.tree import ROOT
from ...harness import Harness
from ..clients.protocol import AgentCommand, PromptBy
from ..records.events import RoundBegan
from ..records.options import SearchOptions, round_seed
from ..round_facts import RoundFacts
from .agent_step import MAIN, require_start, roles_started, round_prompt, start_of
from .round_harness import DeviceBudget

PLACE = "http://127.0.0.1:PORT/mcp"


NOT_JUDGED = "; it is judged and archived first, and is the round's parent then"


def first_start(harness: Harness, options: SearchOptions, agent: AgentCommand) -> str:
    """What the first round's agents would be given; nothing is started and nothing written.

    Raises:
        RequestError: when the first program is none.
    """
    require_start(harness, options)
    seed = round_seed(options, 1)
    found = harness.archiving.select_parent(options.definition, options.policy, seed)
    parent = "" if found.candidate_id == ROOT else found.candidate_id
    began = RoundBegan(
        at=time.time(),
        number=1,
        parent=parent,
        role=found.role,
        why=found.why,
        seed=seed,
        session="dry-run/1",
    )
    roles = roles_started(options, found.role)
    facts = {role: _facts(options, began, role) for role in roles}
    first = facts[roles[0]]
    shown = "PROMPT" if agent.client.prompt_by is PromptBy.ARGUMENT else ""
    command = shlex.join(filter(None, agent.arguments(first, shown)))
    files = {**agent.client.home_files(first), **agent.client.work_files(first)}
    start = start_of(harness, options, parent)
    lines = [f"Command: {command}"]
    lines.append(f"Workspace: opened from {start}{'' if parent else NOT_JUDGED}")
    lines += [f"--- {name}\n{text.rstrip()}" for name, text in files.items()]
    budget = DeviceBudget(options.device_seconds, time.time())
    for role in roles:
        minutes = min(options.round_minutes, 60 * (options.hours or math.inf))
        prompt = round_prompt(harness, options, began, role, facts[role], budget, minutes=minutes)
        lines += [f"--- prompt, {role}" if len(roles) > 1 else "--- prompt", prompt]
    return "\n".join(lines)


def _facts(options: SearchOptions, began: RoundBegan, role: str) -> RoundFacts:
    """What the file of the round would say."""
    return RoundFacts(
        definition=options.definition,
        workspace=MAIN,
        url=PLACE,
        token="TOKEN",
        role=role,
        parent=began.parent,
        compare_to=began.parent,
        scope=options.scope,
        seed=began.seed,
        cost_usd=options.cost_usd and options.cost_usd / options.parallel,
    )
