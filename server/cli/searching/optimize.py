"""Command optimize: a search that runs with nobody beside it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..commands import SettingsOf, SettingsOptions, command_factory

if TYPE_CHECKING:
    from ....tools.agents.records.ledger import SearchLedger
    from ....tools.agents.records.options import SearchOptions
    from ....tools.agents.searches.agent_step import Serve
    from ....tools.agents.searches.search_loop import UnattendedSearch
    from ....tools.harness import Harness
    from ....tools.workloads.operators import Operator
    from .live import SearchView

STATUS, STOP = "status", "stop"
LAST = "last"
MOST_OTHERS = 12
"""Searches that the status of the newest one names."""
DEFAULTS = {"agent": "tuner", "policy": "epsilon_greedy", "roles": "single", "start": "baseline"}


def add_commands(commands: Any, settings_options: SettingsOptions, settings_of: SettingsOf) -> None:
    """Adds the command to a parser."""
    command = command_factory(commands, settings_options, settings_of)
    run = command(
        "optimize", "run a search for hours with nobody beside it; status, stop", _optimize
    )
    run.add_argument("operator", help=f"a definition; or '{STATUS}' or '{STOP}'")
    run.add_argument("search", nargs="?", help=f"of {STATUS} and {STOP}: a search's id; the last")
    run.add_argument(
        "--agent", help="tuner, 'claude -p', 'codex exec', gemini, opencode, or a command"
    )
    run.add_argument("--policy", help="how the next parent is chosen; epsilon_greedy")
    run.add_argument("--roles", help="plan,code,debug, some of them, or single; single")
    run.add_argument("--start", help="first program: baseline, template, or a name; baseline")
    run.add_argument("--scope", choices=("smoke", "sample", "full"), help="sample")
    run.add_argument("--rounds", type=int, help="most rounds")
    run.add_argument("--hours", type=float, help="most hours")
    run.add_argument("--gpu-seconds", type=float, help="most seconds of the device")
    run.add_argument("--cost", type=float, help="most US dollars, as the agents report them")
    run.add_argument("--stop-at", help="a result that is enough: 2.0x, or 90%%-of-floor")
    run.add_argument("--parallel", type=int, help="rounds at a time; 1")
    run.add_argument("--round-minutes", type=float, help="most minutes of a round's agents; 30")
    run.add_argument(
        "--summarise", type=int, help="rounds between summaries of lessons; 8, 0: none"
    )
    run.add_argument("--seed", type=int, help="of what is drawn; 0")
    run.add_argument("--unconfined", action="store_true", help="agents may write anywhere; beware")
    run.add_argument("--dry-run", action="store_true", help="show the first prompt; start nothing")
    run.add_argument(
        "--resume", nargs="?", const=LAST, metavar="SEARCH", help="go on with a search; the last"
    )


def _optimize(harness: Harness, arguments: argparse.Namespace) -> Any:
    if arguments.operator == STATUS:
        return _status(harness, arguments.search, as_json=arguments.json)
    if arguments.operator == STOP:
        return _stop(harness, arguments.search)
    if arguments.dry_run:
        return _dry_run(harness, arguments)
    search = _run(harness, arguments)
    from ....tools.agents.lessons.draft import lesson_draft
    from .words import search_data, search_lines

    definition, folder = search.state.options.definition, search.parts.folder
    draft = folder.path / "lessons.md"
    draft.write_text(lesson_draft(harness.archive, definition), encoding="utf-8")
    if arguments.json:
        return json.dumps({**search_data(search.state), "page": str(folder.page)})
    return "\n".join(
        [
            *search_lines(search.state, time.time()),
            f"Page: {folder.page}",
            f"Draft of its lessons, for you to check: {draft}",
            _how_to_go_on(definition, search),
        ]
    )


def _how_to_go_on(definition: str, search: UnattendedSearch) -> str:
    """How a search that ended is gone on with: one that was stopped may go on as it is."""
    said = f"Go on: kernel-harness optimize {definition} --resume"
    if not search.state.reason_to_stop(time.time()):
        return f"{said}: what was used counts."
    limits = "(--rounds, --hours, --gpu-seconds, --cost)"
    return f"{said} with a higher limit {limits}: what was used counts."


def _ledger(harness: Harness, name: str | None, definition: str = "") -> SearchLedger:
    from ....tools.agents.records.ledger import search_named, searches
    from ....tools.errors import RequestError

    repository = harness.archive.repository
    if name is not None and name != LAST:
        return search_named(repository, name)
    if definition:
        return search_named(repository, definition)
    found = searches(repository)
    if not found:
        raise RequestError(
            "There is no search yet", remedy="`kernel-harness optimize OPERATOR` begins one."
        )
    return found[0]


def _status(harness: Harness, name: str | None, *, as_json: bool) -> str:
    from ....tools.agents.records.state import state_of
    from ....tools.agents.searches.search_folder import SearchFolder, searches_dir
    from .words import search_data, search_lines

    ledger = _ledger(harness, name)
    state = state_of(ledger.events())
    folder = SearchFolder(searches_dir(harness.settings) / state.began.search_id)
    running = folder.is_running()
    if as_json:
        data = {**search_data(state), "running": running, "page": str(folder.page)}
        return json.dumps(data)
    lines = search_lines(state, time.time() if running else state.last_at, running=running)
    if running:
        lines.append(f"It runs now. Page: {folder.page}")
    elif state.ended is None:
        again = f"kernel-harness optimize {state.options.definition} --resume"
        lines.append(f"Its process has ended before it was done: {again}")
    if name is None:
        lines += _others(harness, ledger)
    return "\n".join(lines)


def _others(harness: Harness, shown: SearchLedger) -> list[str]:
    """The other searches, the newest first, each in a line."""
    from ....tools.agents.records.ledger import searches
    from ....tools.agents.records.state import state_of
    from .words import search_line

    others = [found for found in searches(harness.archive.repository) if found.ref != shown.ref]
    lines = [f"  {search_line(state_of(found.events()))}" for found in others[:MOST_OTHERS]]
    if len(others) > MOST_OTHERS:
        lines.append(f"  and {len(others) - MOST_OTHERS} older ones")
    return ["Other searches:", *lines] if lines else []


def _stop(harness: Harness, name: str | None) -> str:
    from ....tools.agents.searches.search_folder import SearchFolder, searches_dir

    identity = _ledger(harness, name).ref.rpartition("/")[2]
    folder = SearchFolder(searches_dir(harness.settings) / identity)
    if not folder.is_running():
        return f"{identity} does not run."
    folder.ask_to_stop()
    return f"{identity} was asked to stop: its agents are ended, and what they evaluated is kept."


def search_options(
    arguments: argparse.Namespace, definition: str, before: SearchOptions | None = None
) -> SearchOptions:
    """The options that a command line asks for; what it leaves out is as before, or the default.

    Raises:
        RequestError: when one of them cannot be.
    """
    from pydantic import ValidationError

    from ....tools.agents.records.options import SearchOptions, goal_of, roles_of
    from ....tools.archive.search.policies import POLICIES
    from ....tools.errors import RequestError, unknown_name

    said = {
        "agent": arguments.agent,
        "folder": str(Path.cwd()) if arguments.agent else None,
        "policy": arguments.policy,
        "roles": roles_of(arguments.roles) if arguments.roles else None,
        "start": arguments.start,
        "scope": arguments.scope,
        "rounds": arguments.rounds,
        "hours": arguments.hours,
        "device_seconds": arguments.gpu_seconds,
        "cost_usd": arguments.cost,
        "goal": goal_of(arguments.stop_at) if arguments.stop_at else None,
        "parallel": arguments.parallel,
        "round_minutes": arguments.round_minutes,
        "summarise": arguments.summarise,
        "seed": arguments.seed,
        "confine": False if arguments.unconfined else None,
    }
    given = {name: value for name, value in said.items() if value is not None}
    start = {"definition": definition, "agent": DEFAULTS["agent"]}
    base = dict(before) if before is not None else start
    try:
        options = SearchOptions.model_validate({**base, **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(
            f"{first['loc'][0]} cannot be {first['input']!r}: {first['msg']}",
            remedy="kernel-harness optimize --help",
        ) from error
    if options.policy not in POLICIES:
        raise unknown_name("policy", options.policy, POLICIES)
    return options


def _run(harness: Harness, arguments: argparse.Namespace) -> UnattendedSearch:
    """Runs a search to its end; a signal stops it, and a second one ends this process at once."""
    import asyncio

    import anyio

    from ...lifecycle import reaping
    from .endpoints import round_endpoints
    from .live import SearchView

    outcome: list[UnattendedSearch] = []
    failure: list[Exception] = []

    async def whole(view: SearchView) -> None:
        def killed() -> None:
            view.show_cursor()
            harness.kill_children()

        stop = asyncio.Event()
        async with reaping(killed, stop):
            try:
                async with round_endpoints() as serve:
                    search = _search(harness, arguments, serve, view)
                    search.parts.stop = stop
                    await search.run()
                    outcome.append(search)
            except Exception as error:  # raised below: the task group would wrap it
                failure.append(error)
            await harness.aclose()

    with SearchView(quiet=arguments.json) as view:
        anyio.run(whole, view)
    if failure:
        raise failure[0]
    return outcome[0]


def _operator(harness: Harness, name: str) -> Operator:
    """The operator of that name.

    Raises:
        RequestError: when there is none; naming what else may stand in its place, where it is near.
    """
    from difflib import get_close_matches

    from ....tools.errors import RequestError

    try:
        return harness.dataset.operator(name)
    except RequestError:
        if near := get_close_matches(name, (STATUS, STOP)):
            raise RequestError(
                f"{name!r} is no operator",
                remedy=f"`kernel-harness optimize {near[0]}` may be meant.",
            ) from None
        raise


def _search(
    harness: Harness, arguments: argparse.Namespace, serve: Serve, view: SearchView
) -> UnattendedSearch:
    """A new search, or the one that is to go on."""
    from ....tools.agents.clients.table import agent_named
    from ....tools.agents.records.state import state_of
    from ....tools.agents.searches.search_loop import UnattendedSearch

    operator = _operator(harness, arguments.operator)
    ledger, before = None, None
    if arguments.resume is not None:
        ledger = _ledger(harness, arguments.resume, operator.name)
        before = state_of(ledger.events()).options
    options = search_options(arguments, operator.name, before)
    agent = agent_named(options.agent, options.folder)
    return UnattendedSearch.opened(
        harness, options, agent, serve, Path.home(), view.show, ledger=ledger
    )


def _dry_run(harness: Harness, arguments: argparse.Namespace) -> str:
    from ....tools.agents.clients.table import agent_named
    from ....tools.agents.searches.dry_run import first_start

    operator = _operator(harness, arguments.operator)
    options = search_options(arguments, operator.name)
    return first_start(harness, options, agent_named(options.agent, options.folder))
