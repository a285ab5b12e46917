"""The MCP tools of the archive: keep, search, choose, promote; docstrings are for agents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...tools.archive.promotion.rules import PromotionDecision
from ...tools.archive.retrieval.filters import SearchRequest
from ...tools.archive.store.amendments import AmendmentWords
from ...tools.progress import OnProgress
from ..answers import archive as answers
from ..answers.archive import (
    AmendedAnswer,
    ArchivedAnswer,
    ContextAnswer,
    SelectionAnswer,
)
from ..answers.promotion import (
    PromotionAnswer,
    RollbackAnswer,
    promotion_answer,
    rollback_answer,
)
from ..answers.retrieval.knowledge import KnowledgeAnswer, knowledge_answer
from ..answers.retrieval.search import SearchAnswer, search_answer
from ..requests.context import (
    Call,
    background_of,
    harness_of,
    in_thread,
    made_by_of,
    progress_to,
)
from .fields import (
    DefinitionName,
    DetailLevel,
    MadeByWords,
    SolutionJson,
    WaitSeconds,
    WorkspacePath,
)

CandidateId = Annotated[
    str,
    Field(description="Id or its beginning."),
]
Policy = Literal[
    "epsilon_greedy",
    "best_first",
    "tournament",
    "ucb",
    "mcts",
    "best_of_k",
    "reflexion",
    "search_only",
    "multi_agent_only",
]
Role = Literal["plan", "code", "debug", "single"]


async def archive_candidate(
    ctx: Call,
    evaluation_id: Annotated[
        str, Field(description="Finished; its trial is archived if no sources are named.")
    ],
    hypothesis: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4_000,
            description="One sentence: the change, and what it should gain.",
        ),
    ],
    workspace: WorkspacePath = None,
    solution: SolutionJson = None,
    lesson: Annotated[
        str | None,
        Field(max_length=4_000, description="What is known now that was not, with numbers."),
    ] = None,
    parent: Annotated[
        list[str] | None,
        Field(description="Ids it was derived from; the workspace's start if absent, [] for none."),
    ] = None,
    tags: Annotated[
        list[str] | None,
        Field(description="Techniques, e.g. ['split-k', 'vectorised loads']."),
    ] = None,
    made_by: MadeByWords = None,
) -> ArchivedAnswer:
    """Keeps one trial in the archive for good, failed ones too, with its lesson.

    Call it when an idea ends, won or lost: what is not archived is tried again. Example:
    archive_candidate(workspace='gdn-1', evaluation_id='ev-…', hypothesis='16-byte loads',
    lesson='1.2x at 64, none at 1'). Next: `advice` in the result, or select_parent.
    """
    harness = harness_of(ctx)
    found = await in_thread(
        harness.lookup.judged, evaluation_id, workspace=workspace, solution=solution
    )
    archived = await in_thread(
        harness.archiving.archive_candidate,
        found.solution,
        evaluation_id,
        hypothesis,
        lesson=lesson,
        parents=parent,
        tags=tags or (),
        started_from=found.started_from,
        plan=found.plan,
        made_by=made_by_of(ctx, made_by),
    )
    return answers.archived_answer(archived)


async def amend_candidate(
    ctx: Call,
    candidate_id: CandidateId,
    note: Annotated[
        str | None, Field(max_length=4_000, description="A remark, by whoever makes it.")
    ] = None,
    lesson: Annotated[str | None, Field(max_length=4_000, description="For the old one.")] = None,
    tags: Annotated[list[str] | None, Field(description="For the old ones.")] = None,
    parent: Annotated[
        list[str] | None,
        Field(description="Ids, for the old ones; [] for the reference."),
    ] = None,
) -> AmendedAnswer:
    """Adds a note to an archived candidate, or another lesson, tags or parents.

    Use it when a parent was forgotten, a lesson was wrong, or something was learnt later; the
    newest amendment holds. Example: amend_candidate(candidate_id='4f2a9c01d3be',
    parent=['1b0c55e2a917']). Next: search_archive finds the new words.
    """
    words = AmendmentWords(lesson=lesson, tags=tags, parents=parent, note=note)
    archive = harness_of(ctx).archive
    return answers.amended_answer(await in_thread(archive.amend, candidate_id, words))


async def search_archive(
    ctx: Call,
    definition: Annotated[
        str | None, Field(description="Name or short form; all if absent.")
    ] = None,
    query: Annotated[
        str | None,
        Field(description="Words; any counts."),
    ] = None,
    status: Annotated[
        str | None,
        Field(description="A status ('TIMEOUT') or outcome ('slower')."),
    ] = None,
    hardware: Annotated[str | None, Field(description="GPU model, e.g. 'H200'.")] = None,
    technique: Annotated[str | None, Field(description="Beginning of a tag.")] = None,
    regime: Annotated[
        str | None, Field(description="A regime, or a range: 'batch_size 48-64'.")
    ] = None,
    bottleneck: Annotated[
        str | None,
        Field(description="Beginning of a parent's bottleneck."),
    ] = None,
    error: Annotated[str | None, Field(description="Words of a failure.")] = None,
    client: Annotated[str | None, Field(description="Beginning of the client's name.")] = None,
    model: Annotated[str | None, Field(description="Beginning of the model's name.")] = None,
    op_type: Annotated[str | None, Field(description="Operator family, e.g. 'gdn'.")] = None,
    parent: Annotated[
        str | None,
        Field(description="Id; its techniques are not recommended."),
    ] = None,
    limit: Annotated[int, Field(ge=1, le=100, description="Candidates on a page.")] = 10,
    cursor: Annotated[str | None, Field(description="`next_cursor` of the previous page.")] = None,
    detail: DetailLevel = "concise",
) -> SearchAnswer:
    """Looks through everything that was tried, failed candidates and human notes too.

    Call it before writing: `blocked` names what was only ever slower or kept failing, `recommended`
    what made something faster here or on a similar operator and by how much, `open` what nobody
    knows. Example: search_archive(definition='gdn_decode', query='vectorised loads'). Next:
    select_parent, or open_workspace with a candidate id.
    """
    request = SearchRequest(
        definition,
        query=query,
        status=status,
        hardware=hardware,
        technique=technique,
        regime=regime,
        bottleneck=bottleneck,
        error=error,
        client=client,
        model=model,
        op_type=op_type,
        parent=parent,
        limit=limit,
        cursor=cursor,
    )
    found = await in_thread(harness_of(ctx).archiving.search, request)
    return search_answer(found, definition, detail)


async def search_knowledge(
    ctx: Call,
    query: Annotated[str, Field(min_length=1, description="Words; any counts.")],
    limit: Annotated[int, Field(ge=1, le=20, description="Passages of each kind.")] = 4,
) -> KnowledgeAnswer:
    """Searches skills, lessons of all operators, and sources of installed packages.

    Use it before you write. Example: search_knowledge(query='mbarrier try_wait'). Next: read_report
    of a `uri`, or the file at `place`.
    """
    found = await in_thread(lambda: harness_of(ctx).knowledge.search(query, limit))
    return knowledge_answer(found)


async def select_parent(
    ctx: Call,
    definition: DefinitionName,
    policy: Annotated[
        Policy,
        Field(
            description="epsilon_greedy explores now and then, best_first never; ucb and mcts "
            "weigh visits; best_of_k begins anew; reflexion goes on from the newest; the last two "
            "are ablations."
        ),
    ] = "epsilon_greedy",
    seed: Annotated[int | None, Field(description="Repeats a choice.")] = None,
) -> SelectionAnswer:
    """Chooses the archived candidate to expand next, and says why and why not others.

    Use it at the start of each round: dead branches are left out. `candidate_id` 'reference' means:
    begin from the template. Example: select_parent(definition='gdn_decode'). Next: get_context for
    that candidate, then open_workspace(start_from=its id).
    """
    harness = harness_of(ctx)
    name = harness.dataset.operator(definition).name
    selection = await in_thread(harness.archiving.select_parent, name, policy, seed)
    return answers.selection_answer(selection, name)


async def get_context(
    ctx: Call,
    role: Annotated[
        Role,
        Field(
            description="plan: choose an idea. code: implement it. debug: fix a failure. single: "
            "all of these."
        ),
    ],
    candidate_id: CandidateId,
    seed: Annotated[int, Field(description="Repeats a draw.")] = 0,
) -> ContextAnswer:
    """Shows what one role needs of the search around a candidate: diffs, outcomes, lessons.

    Use it at the start of a sub-agent's work, or before planning a change. Example:
    get_context(role='plan', candidate_id='4f2a9c01d3be'). Next: the role's part, in `summary`.
    """
    return answers.context_answer(
        await in_thread(harness_of(ctx).archiving.context, role, candidate_id, seed)
    )


async def promote_candidate(
    ctx: Call, candidate_id: CandidateId, wait_s: WaitSeconds = None
) -> PromotionAnswer:
    """Verifies an archived candidate afresh and makes it the best when every rule holds.

    Call it when the full evaluation is FASTER and someone else has reviewed it. All workloads and
    hidden cases are judged again: minutes. RUNNING: the same call again waits. Example:
    promote_candidate(candidate_id='4f2a9c01d3be'). Next: on a refusal fix what the rule names.
    """
    harness = harness_of(ctx)
    patience = harness.settings.wait_s if wait_s is None else wait_s

    async def promote(report: OnProgress) -> PromotionDecision:
        return await harness.promotions.promote(candidate_id, report)

    key = ("promote", candidate_id)
    async with progress_to(ctx) as progress:
        decision = await background_of(ctx).wait(key, promote, patience, progress)
    return promotion_answer(candidate_id, decision)


async def rollback_promotion(
    ctx: Call,
    definition: DefinitionName,
    reason: Annotated[
        str, Field(min_length=8, max_length=2_000, description="What was found to be wrong.")
    ],
    gpu: Annotated[str | None, Field(description="GPU model; this machine's if absent.")] = None,
) -> RollbackAnswer:
    """Withdraws the best candidate of a definition and returns to the one before it.

    Use it only when a promoted candidate was found wrong or dishonest, and a person agrees.
    Example: rollback_promotion(definition='gdn_decode', reason='reads past seq_len'). Next:
    search_archive.
    """
    rolled = await in_thread(harness_of(ctx).promotions.rollback, definition, reason, gpu)
    return rollback_answer(definition, rolled)
