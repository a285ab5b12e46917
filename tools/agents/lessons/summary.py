"""The lessons of some rounds made one, by the search's agent, and held to the record."""

from __future__ import annotations

import time

from ..clients.table import TUNER
from ..records.events import LessonsSummarised, RoundBegan
from ..records.state import SearchState
from ..searches.agent_step import SearchParts, agent_step
from ..searches.prompts import LESSONS_FILE, SUMMARISE
from ..searches.round_harness import RoundHarness, RoundMeter
from .fact_check import checked_lessons

SUMMARY_MINUTES = 10.0
MOST_LINES = 12
MOST_BYTES = 64 << 10


def summary_due(state: SearchState, parts: SearchParts) -> bool:
    """Whether so many rounds ended since the last summary that another one is to be made."""
    every, done = parts.options.summarise, len(state.finished)
    return parts.agent.name != TUNER and 0 < every <= done - state.summarised


async def summarised(state: SearchState, parts: SearchParts) -> LessonsSummarised:
    """Has the agent write the lessons; those that the record contradicts are left out."""
    done = len(state.finished)
    best = state.best
    began = RoundBegan(
        at=time.time(),
        number=0,
        parent=best.best if best else "",
        role=SUMMARISE,
        why=f"{done} rounds are over",
        seed=done,
        session=f"{state.began.search_id}/summary",
    )
    folders = parts.folder.round(0)
    folders.make()
    meter = RoundMeter(parts.budget)
    harness = RoundHarness(parts.harness, folders.work, began.session, meter)
    try:
        async with parts.serve(harness) as endpoint:
            limit_s = min(60 * SUMMARY_MINUTES, parts.seconds_left)
            run = await agent_step(parts, began, SUMMARISE, folders, endpoint, limit_s)
    finally:
        folders.forget_log_ins()
        parts.activity.pop(0, None)
    file = folders.work / LESSONS_FILE
    text = ""
    if file.is_file() and not file.is_symlink():
        with file.open("rb") as stream:
            text = stream.read(MOST_BYTES).decode("utf-8", "replace")
    nodes = list(parts.harness.archive.iter(parts.options.definition))
    kept, refused = checked_lessons(text, nodes)
    parts.lessons = kept[:MOST_LINES] or state.lessons
    return LessonsSummarised(
        at=time.time(),
        number=done,
        lessons=parts.lessons,
        refused=refused[:MOST_LINES],
        usage=parts.agent.client.read_usage(run.output),
    )
