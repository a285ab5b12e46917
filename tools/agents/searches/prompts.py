"""What an agent is told at each start, in words: its part, what it goes on from, what is known."""

from __future__ import annotations

from collections.abc import Sequence

from ...archive.search.role_context import RoleContext
from ...text import shorten
from ..records.events import RoundBegan
from ..records.options import SearchOptions
from ..round_facts import FILE_NAME, RoundFacts

MOST_CHARACTERS = 24_000
LONGEST_SOURCE = 6_000
SUMMARISE = "summarise"
LESSONS_FILE = "lessons.md"
PARTS = {
    "plan": "You plan. Choose one idea for this program. In its sources mark with comment lines "
    "<<<IMPROVE BEGIN>>> and <<<IMPROVE END>>> where it may change, and call record_plan with the "
    "idea, the gain that you expect and your confidence. Do not write the change.",
    "code": "You write. Carry the workspace's plan out inside its marked regions only, then "
    "evaluate until it passes, or you know why it cannot.",
    "debug": "You repair. The program was judged wrong: find the cause in the error, make the "
    "smallest change that corrects it, and evaluate.",
    "single": "Choose one idea for this program, write it, and evaluate until it passes, or you "
    "know why it cannot.",
    SUMMARISE: f"Make one list of what the search has taught. Write {LESSONS_FILE} in the working "
    "folder: at most twelve lines, each beginning with '- ', each naming the ids of the candidates "
    "that show it. A line that the record contradicts is left out.",
}


def prompt_of(
    began: RoundBegan,
    role: str,
    facts: RoundFacts,
    options: SearchOptions,
    *,
    context: RoleContext | None,
    notes: str,
    lessons: Sequence[str],
    limits: Sequence[str],
) -> str:
    """The prompt of one start.

    Args:
        context: what the role should see of the search; None at the root.
        notes: on the operator.
        limits: what is left of time and budgets, in words.
    """
    parts = [
        f"# Round {began.number} of an unattended search: {facts.definition}",
        f"Nobody reads along. {PARTS[role]}",
        _rules(role, facts, options),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits) if limits else "",
        f"## What you go on from\n\n{began.parent or options.start}: {began.why}.",
        _window(context),
        "## What the search has taught\n\n" + "\n".join(lessons) if lessons else "",
        f"## The operator\n\n{notes}" if notes and role != SUMMARISE else "",
    ]
    return shorten("\n\n".join(filter(None, parts)), MOST_CHARACTERS) + "\n"


def _rules(role: str, facts: RoundFacts, options: SearchOptions) -> str:
    lines = ["## How", "", f"- Your working folder holds `{FILE_NAME}`, these facts for programs."]
    if role == SUMMARISE:
        return "\n".join([*lines, "- Read the archive with search_archive; evaluate nothing."])
    compare = f", compare_to='{facts.compare_to}'" if facts.compare_to else ""
    lines += [
        f"- Change the sources in `{facts.workspace}/` there, and nothing elsewhere.",
        f"- The MCP server kernel-harness judges: evaluate_kernel(workspace='{facts.workspace}', "
        f"scope='smoke') while you write, then scope='{options.scope}'{compare} once it passes.",
        "- Only its records count; what you write at the end does not. You need not archive: the "
        "last state of the workspace is judged and archived when you end.",
        "- In candidate.toml, say in `description` what you changed and what it should gain.",
        "- Change the kernel, not the question: cheats are found, and cost the round.",
    ]
    return "\n".join(lines)


def _window(context: RoleContext | None) -> str:
    if context is None:
        return ""
    lines = ["## Around it"]
    for entry in context.entries:
        lines += ["", f"### {entry.relation} {entry.candidate_id}: {entry.outcome}"]
        tags = ", ".join(entry.technique)
        for title, words in (
            ("Techniques", tags),
            ("Hypothesis", entry.hypothesis),
            ("Lesson", entry.lesson),
            ("Error", entry.error),
        ):
            if words:
                lines.append(f"{title}: {shorten(words, 1_200)}")
        for name, text in (("diff", entry.diff), ("python", entry.source)):
            if text:
                lines += [f"```{name}", shorten(text, LONGEST_SOURCE), "```"]
    return "\n".join(lines)
