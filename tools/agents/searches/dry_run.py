"""The first start of a search's agent, as it would be: its command line and its whole prompt."""

from __future__ import annotations

import math
import shlex
import time

from ...archive.search.tree import ROOT
from ...harness import Harness
from ..clients.protocol import AgentCommand, PromptBy
from ..records.events import RoundBegan
from ..records.options import SINGLE, SearchOptions
from ..round_facts import RoundFacts
from .agent_step import MAIN, round_prompt, start_of
from .round_harness import DeviceBudget

PLACE = "http://127.0.0.1:PORT/mcp"


def first_start(harness: Harness, options: SearchOptions, agent: AgentCommand) -> str:
    """What the first round's agent would be given; nothing is started and nothing written."""
    found = harness.archiving.select_parent(options.definition, options.policy, options.seed)
    parent = "" if found.candidate_id == ROOT else found.candidate_id
    single = SINGLE in options.roles
    role = SINGLE if single or found.role == SINGLE else found.role
    began = RoundBegan(
        at=time.time(),
        number=1,
        parent=parent,
        role=role,
        why=found.why,
        seed=options.seed,
        session="dry-run/1",
    )
    facts = RoundFacts(
        definition=options.definition,
        workspace=MAIN,
        url=PLACE,
        token="TOKEN",
        role=role,
        parent=parent,
        compare_to=parent,
        scope=options.scope,
        cost_usd=options.cost_usd and options.cost_usd / options.parallel,
    )
    budget = DeviceBudget(options.device_seconds, time.time())
    minutes = min(options.round_minutes, 60 * (options.hours or math.inf))
    prompt = round_prompt(harness, options, began, role, facts, budget, minutes=minutes)
    shown = "PROMPT" if agent.client.prompt_by is PromptBy.ARGUMENT else ""
    command = shlex.join(filter(None, agent.arguments(facts, shown)))
    files = {**agent.client.home_files(facts), **agent.client.work_files(facts)}
    written = [f"--- {name}\n{text.rstrip()}" for name, text in files.items()]
    start = start_of(harness, options, parent)
    return "\n".join(
        [f"Command: {command}", f"Workspace: opened from {start}", *written, "--- prompt", prompt]
    )
