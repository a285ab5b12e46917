"""One start of an agent in a round's folder, and what every part of a search works with."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ...harness import Harness
from ...settings import allowed_environment
from ...workloads.workspace import describe
from ..clients.protocol import AGENT_ENVIRONMENT, TOKEN_VARIABLE, AgentCommand, PromptBy
from ..processes.agent_process import AgentRun, AgentStart, run_agent
from ..processes.readable_files import SECRETS, readable_but
from ..records.events import RoundBegan, SearchEvent
from ..records.options import SINGLE, SearchOptions
from ..round_facts import RoundFacts
from .prompts import SUMMARISE, prompt_of
from .round_harness import DeviceBudget
from .search_folder import RoundFolder, SearchFolder

MAIN = "main"
"""The workspace whose last state is the round's result."""
BASELINE, TEMPLATE = "baseline", "template"
LEAST_COST = 0.01
"""US dollars; clients take no limit of nothing."""


@dataclass(frozen=True)
class Endpoint:
    """Where a round's server listens, and the token that opens it."""

    url: str
    token: str


Serve = Callable[[Harness], AbstractAsyncContextManager[Endpoint]]
"""Serves the tools of a round's harness while its block lasts."""
Tell = Callable[[SearchEvent], Awaitable[None]]
"""Writes a step of the search, before anything follows from it."""


@dataclass
class SearchParts:
    """What every round of a search works with.

    Attributes:
        user_home: where clients' log-ins are copied from.
        activity: what each round under way does now, by its number.
        ends_at: when the hours of the search are over, on the monotonic clock.
        cost_usd: what agents told so far that they cost.
        evaluation_s: for which an evaluation of a round had the device so far.
    """

    harness: Harness
    options: SearchOptions
    agent: AgentCommand
    folder: SearchFolder
    serve: Serve
    tell: Tell
    budget: DeviceBudget
    user_home: Path
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    lessons: list[str] = field(default_factory=list)
    activity: dict[int, str] = field(default_factory=dict)
    ends_at: float = math.inf
    cost_usd: float = 0.0
    evaluation_s: float | None = None

    @property
    def seconds_left(self) -> float:
        """Until the search has run as long as it may."""
        return self.ends_at - time.monotonic()

    @property
    def cost_left(self) -> float | None:
        """US dollars that one start may cost, where they are limited; rounds at a time share."""
        limit = self.options.cost_usd
        if limit is None:
            return None
        return max(LEAST_COST, (limit - self.cost_usd) / self.options.parallel)

    @property
    def device_seconds_left(self) -> float | None:
        """Seconds of the device for one start, where they are limited; rounds at a time share."""
        if self.budget.limit is None:
            return None
        return max(0.0, self.budget.limit - self.budget.used) / self.options.parallel

    def hidden(self, own: RoundFolder) -> list[Path]:
        """What an agent must not read: keys, log-ins, and what other rounds hold."""
        searches = self.folder.path.parent
        others = [path for path in searches.glob("*/*") if path != own.path]
        key = self.harness.settings.signing_key
        return [key, *(self.user_home / name for name in SECRETS), *others]


async def agent_step(
    parts: SearchParts,
    began: RoundBegan,
    role: str,
    folders: RoundFolder,
    endpoint: Endpoint,
    limit_s: float,
) -> AgentRun:
    """Starts the search's agent in a role, and waits for its end."""
    agent = parts.agent
    facts = RoundFacts(
        definition=parts.options.definition,
        workspace=MAIN,
        url=endpoint.url,
        token=endpoint.token,
        role=role,
        parent=began.parent,
        compare_to=began.parent,
        scope=parts.options.scope,
        round=began.number,
        seed=began.seed,
        seconds=limit_s,
        device_seconds=parts.device_seconds_left,
        cost_usd=parts.cost_left,
        evaluation_s=parts.evaluation_s,
    )
    folders.renew_home()
    facts.write(folders.work)
    agent.write_files(facts, folders.work, folders.home, parts.user_home)
    prompt = await asyncio.to_thread(
        round_prompt,
        parts.harness,
        parts.options,
        began,
        role,
        facts,
        parts.budget,
        parts.lessons,
        minutes=limit_s / 60,
    )
    parts.activity[began.number] = f"{agent.name} as {role}"
    start = AgentStart(
        arguments=agent.arguments(facts, prompt),
        stdin=prompt if agent.client.prompt_by is PromptBy.STDIN else "",
        work=folders.work,
        environment={
            **allowed_environment((*AGENT_ENVIRONMENT, *agent.client.variables)),
            **agent.environment,
            TOKEN_VARIABLE: endpoint.token,
            "HOME": str(folders.home),
            "TMPDIR": str(folders.temporary),
        },
        readable=await asyncio.to_thread(readable_but, parts.hidden(folders)),
        writable=[folders.work, folders.home, folders.temporary],
        confine=parts.options.confine,
    )
    return await run_agent(start, folders.specification, limit_s, parts.stop)


def round_prompt(
    harness: Harness,
    options: SearchOptions,
    began: RoundBegan,
    role: str,
    facts: RoundFacts,
    budget: DeviceBudget,
    lessons: Sequence[str] = (),
    *,
    minutes: float,
) -> str:
    """The prompt of one start, with the archive as it is now.

    Args:
        minutes: that the start may take.
    """
    operator = harness.dataset.operator(options.definition)
    shown = SINGLE if role == SUMMARISE else role
    context = harness.archiving.context(shown, began.parent, began.seed) if began.parent else None
    limits = [f"{max(1.0, minutes):.0f} minutes for you"]
    if budget.limit is not None:
        left = max(0.0, budget.limit - budget.used)
        limits.append(f"{left:.0f} seconds of the device for all that is left of the search")
    if facts.cost_usd is not None:
        limits.append(f"${facts.cost_usd:.2f} for you")
    return prompt_of(
        began,
        role,
        facts,
        options,
        context=context,
        notes=describe(operator),
        lessons=lessons,
        limits=limits,
    )


def roles_started(options: SearchOptions, role: str) -> list[str]:
    """Who is started in a round, one after the other.

    Args:
        role: the part that the choice of the parent asks for.
    """
    roles = options.roles
    if SINGLE in roles or role == SINGLE:
        return [SINGLE]
    if role == "debug" and "debug" in roles:
        return ["debug"]
    if role == "code" or "plan" not in roles:
        return ["code"]
    return ["plan", "code"] if "code" in roles else ["plan"]


def require_start(harness: Harness, options: SearchOptions) -> None:
    """Refuses a search whose first program is none.

    Raises:
        RequestError: naming what is near.
    """
    operator = harness.dataset.operator(options.definition)
    harness.lookup.start(operator, start_of(harness, options, ""), [BASELINE])


def start_of(harness: Harness, options: SearchOptions, parent: str) -> str:
    """What a round's workspace is opened from: its parent, or the search's start."""
    if parent or options.start != BASELINE:
        return parent or options.start
    operator = harness.dataset.operator(options.definition)
    baseline = operator.baseline(cpu=False)
    if baseline is None:
        return TEMPLATE
    identity = baseline.content_hash()
    named = operator.solutions() | operator.peers()
    return next((name for name, s in named.items() if s.content_hash() == identity), TEMPLATE)
