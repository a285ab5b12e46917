"""The command `kernel-harness`: serve, install, and every MCP tool from a shell.

The options of a tool's command are the tool's own arguments; the call goes through an in-memory
client into the same server, and the result's summary is printed. So a person and an agent get the
same answers, and a new argument of a tool needs nothing here.
"""

from __future__ import annotations

import argparse
import base64
import gc
import importlib
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...tools.errors import HarnessError, RequestError, unknown_name
from ...tools.settings import Settings, load_settings
from ...tools.text import printable
from .commands import fitted_to, in_commands
from .groups import NAMES, TOOL_HELP, CommandParsers, listing

TOOL_COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "check": ("check_environment", ("definition",)),
    "list": ("list_workloads", ("definition",)),
    "sample": ("sample_shapes", ("definition",)),
    "open": ("open_workspace", ("definition",)),
    "plan": ("record_plan", ("workspace",)),
    "evaluate": ("evaluate_kernel", ("workspace",)),
    "tune": ("evaluate_variants", ("workspace",)),
    "get": ("get_evaluation", ("evaluation_id",)),
    "read": ("read_report", ("uri",)),
    "profile": ("profile_ncu", ("workspace",)),
    "timeline": ("profile_timeline", ("workspace",)),
    "sanitize": ("sanitize", ("workspace",)),
    "inspect": ("inspect_call", ("workspace",)),
    "show-code": ("show_code", ("workspace",)),
    "measure": ("measure_device", ("what",)),
    "floors": ("plot_floors", ("evaluation_id",)),
    "roofline": ("plot_roofline", ("definition",)),
    "progress": ("plot_progress", ("definition",)),
    "archive": ("archive_candidate", ("workspace",)),
    "amend": ("amend_candidate", ("candidate_id",)),
    "search": ("search_archive", ("definition",)),
    "know": ("search_knowledge", ("query",)),
    "select": ("select_parent", ("definition",)),
    "context": ("get_context", ("role", "candidate_id")),
    "promote": ("promote_candidate", ("candidate_id",)),
    "rollback": ("rollback_promotion", ("definition", "reason")),
}
"""Tool of each command, with the arguments that are given by position."""

OWN_COMMANDS = {"rank-model": "rank_model"}
"""Tools whose command is a module's own, for it takes more than a call can."""

COMMAND_MODULES = (
    *("setup", "archive", "dispatch", "records", "suites", "cluster", "datasets.reports"),
    *("datasets.run", "datasets.validation", "transfer.export", "transfer.batches"),
    *("searching.optimize", "searching.reports", "datasets.collecting"),
    *("model_level.ranking", "model_level.extraction", "model_level.verification"),
)
"""Those that add commands which are no tools; none is loaded to serve."""

PURPOSE = "Turns a GPU operator into a faster, proven kernel, through MCP."
DEFAULT_WAIT_S = 3600.0
JUDGES_ON_A_MODEL = frozenset(
    ("evaluate_kernel", "evaluate_variants", "profile_ncu", "profile_timeline")
)
"""Tools whose `device` is the model of GPU of a server: on the command line that is a setting."""
STATUSES_OF_SUCCESS = (None, "PASSED", "COMPILED", "RUNNING", "DONE", "promoted")
UNDECIDED_STATUSES = (
    *("PARTIAL", "NOT_JUDGED", "INVALID_REFERENCE", "INFRASTRUCTURE_ERROR", "INTERRUPTED"),
)
EXIT_FAILED = 1
EXIT_ERROR = 2
EXIT_UNDECIDED = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 success, 1 what was judged failed, 2 an error, 3 no verdict."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Runs one command.

    Returns:
        The exit status.
    """
    command = next((word for word in argv if not word.startswith("-")), None)
    if not argv:
        build_parser().print_help()
        return EXIT_ERROR
    if list(argv) == ["--version"]:
        from importlib.metadata import version

        _say(f"kernel-harness {version('kernel-harness')}")
        return 0
    try:
        if command in TOOL_COMMANDS and argv[0] == command:
            return _tool(command, argv[1:])
        if command is not None and argv[0] == command and command not in NAMES:
            remedy = "kernel-harness --help lists all of them."
            raise unknown_name("command", command, NAMES, remedy=remedy)
        parser = build_parser(() if argv[:1] == ["serve"] else COMMAND_MODULES)
        arguments, others = parser.parse_known_args(argv)
        if others:  # argparse's own words are of the whole parser, which takes next to nothing
            raise RequestError(
                f"kernel-harness {command} does not take {' '.join(others)!r}",
                remedy=f"kernel-harness {command} --help lists what it takes.",
            )
        return int(arguments.run(arguments))
    except HarnessError as error:
        _say(_in_commands(str(error)), sys.stderr)
        return EXIT_ERROR
    except BaseExceptionGroup as group:
        # Of a server's start, which tasks wait for, what is raised comes in groups.
        if (ours := _first(group)) is None:
            raise
        _say(_in_commands(str(ours)), sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130


def _first(error: BaseException) -> HarnessError | None:
    """The first error of the harness in a group, or in groups of it."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _first(inner))), None)
    return error if isinstance(error, HarnessError) else None


def _in_commands(text: str) -> str:
    """A text for agents as one for a person at a shell."""
    tools = {tool: (command, places) for command, (tool, places) in TOOL_COMMANDS.items()}
    return in_commands(text, tools | {tool: (name, ()) for name, tool in OWN_COMMANDS.items()})


def _say(text: str, stream: Any = None, *, wrap: bool = True) -> None:
    stream = stream or sys.stdout
    said = printable(text).rstrip("\n")
    stream.write((fitted_to(stream, said) if wrap else said) + "\n")
    stream.flush()


_SETTINGS = {
    "data_dir": "holds workspaces/ and archive/",
    "dataset": "a FlashInfer-Trace dataset beside the shipped operators",
    "device": "auto, cpu, cuda:N, or a model as H200",
    "log_level": "DEBUG, INFO, WARNING or ERROR; logs go to stderr",
}
_FOLDERS = ("data_dir", "dataset")


def _settings_options(parser: argparse.ArgumentParser, taken: Collection[str] = ()) -> None:
    """Adds the settings, those aside whose names the tool's own arguments have taken."""
    group = parser.add_argument_group("settings")
    for name, help_text in _SETTINGS.items():
        if name not in taken:
            metavar = "DIR" if name in _FOLDERS else None
            group.add_argument(_flag(name), metavar=metavar, help=help_text)


def _settings(arguments: argparse.Namespace, taken: Collection[str] = ()) -> Settings:
    return load_settings(
        {name: getattr(arguments, name) for name in _SETTINGS if name not in taken}
    )


def build_parser(
    modules: Sequence[str] = COMMAND_MODULES, *, whole: bool = False
) -> argparse.ArgumentParser:
    """Returns the parser of all commands; those of tools are parsed by their own.

    Args:
        modules: of this folder, whose commands are added to `serve`.
        whole: with the arguments of tools, too.
    """
    parser = argparse.ArgumentParser(
        prog="kernel-harness",
        usage="%(prog)s COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = CommandParsers(
        parser.add_subparsers(
            required=True, prog="kernel-harness", help=None if whole else argparse.SUPPRESS
        )
    )
    help_text = "serve MCP on standard input and output, or over HTTP"
    serve = commands.add_parser("serve", help=help_text, description=help_text)
    serve.add_argument(
        "transport",
        nargs="?",
        choices=("stdio",),
        default="stdio",
        help="what is served without --http",
    )
    serve.add_argument("--http", metavar="HOST:PORT", help="streamable HTTP at /mcp, not stdio")
    serve.add_argument("--token-file", type=Path, help="token that every HTTP request must carry")
    serve.add_argument(
        "--allow-host", action="append", default=[], help="a further Host header to accept"
    )
    serve.add_argument("--cluster", help="judge on a Ray cluster: ray://HOST:10001, or auto")
    serve.set_defaults(run=_serve)
    _settings_options(serve)
    for module in modules:
        loaded = importlib.import_module(f".{module}", __package__)
        loaded.add_commands(commands, _settings_options, _settings)
    if not modules:
        return parser
    for name in TOOL_COMMANDS:
        parsed = commands.add_parser(name, help=TOOL_HELP[name], add_help=False)
        if whole:
            _add_tool_arguments(parsed, name, completed=True)
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.description = f"{PURPOSE}\n\n{listing(commands.helps)}"
    parser.epilog = "What a command takes: kernel-harness evaluate --help."
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    # Starting only allocates; collecting garbage meanwhile would take a fifth of the time.
    gc.disable()
    from .. import lifecycle
    from ..app import build_app

    settings = _settings(arguments)
    if arguments.cluster:
        settings = settings.model_copy(update={"cluster": arguments.cluster})
    # Whoever reaches a port without a token is not asked who they are.
    open_port = arguments.http is not None and not arguments.token_file
    app = build_app(settings, without=("rank_model",) if open_port else ())
    gc.freeze()
    gc.enable()
    if arguments.http is None:
        lifecycle.serve_stdio(app)
        return 0
    host, _, port = arguments.http.rpartition(":")
    if not port.isdigit():
        _say(f"--http wants HOST:PORT, not {arguments.http!r}", sys.stderr)
        return EXIT_ERROR
    token = lifecycle.read_token(arguments.token_file) if arguments.token_file else None
    lifecycle.serve_http(app, host or "127.0.0.1", int(port), tuple(arguments.allow_host), token)
    return 0


def _tool(command: str, argv: Sequence[str]) -> int:
    import anyio

    from ..app import build_app
    from .local_arguments import meant_here

    tool = TOOL_COMMANDS[command][0]
    own = _own_arguments(tool)
    arguments = _tool_parser(command).parse_args(argv)
    given = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name in own
        if (value := getattr(arguments, name, None)) not in (None, [])
    }
    if "wait_s" in own:
        given.setdefault("wait_s", DEFAULT_WAIT_S)
    if "detail" in own and not arguments.json:
        given.setdefault("detail", "detailed")  # only the summary is printed: it must be whole
    given = meant_here(given)
    # The process ends with this call: a judge started ahead would be of no use.
    settings = _settings(arguments, own).model_copy(update={"warm_ahead": False})
    app = build_app(settings)
    result = anyio.run(_call, app, tool, given)
    return _printed(result, tool, bool(arguments.json))


def _tool_parser(command: str) -> argparse.ArgumentParser:
    """Returns a parser whose options are the tool's arguments."""
    from ..mcp_tools.registry import tool_schemas

    tool = TOOL_COMMANDS[command][0]
    parser = argparse.ArgumentParser(
        prog=f"kernel-harness {command}",
        description=f"{tool_schemas()[tool][1]} (MCP tool: {tool})",
    )
    _add_tool_arguments(parser, command)
    return parser


def _add_tool_arguments(
    parser: argparse.ArgumentParser, command: str, *, completed: bool = False
) -> None:
    """Adds a tool's arguments; the words that one takes are choices for a shell that completes.

    The tool refuses others itself, in its own words.
    """
    from ..mcp_tools.registry import tool_schemas
    from .local_arguments import SOLUTION_FORMS

    tool, positional = TOOL_COMMANDS[command]
    schema: Mapping[str, Any] = tool_schemas()[tool][0]
    required = schema.get("required", ())
    own = _own_arguments(tool)
    for name, spec in own.items():
        help_text = str(spec.get("description", "")).replace("%", "%%")
        if name == "solution":
            help_text = help_text.rstrip(".") + SOLUTION_FORMS
        words = _words_of(spec)
        if name in positional:
            nargs = "*" if _takes_several(spec) else None if name in required else "?"
            added = parser.add_argument(name, nargs=nargs, help=help_text)
        elif spec.get("type") == "boolean":
            parser.add_argument(_flag(name), action="store_const", const=True, help=help_text)
            continue
        else:
            added = parser.add_argument(
                _flag(name),
                dest=name,
                action="append" if _takes_several(spec) else "store",
                metavar=f"{{{','.join(words)}}}" if words else None,
                help=help_text,
                required=name in required,
            )
        if completed and words:
            added.choices = words
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    _settings_options(parser, own)


def _words_of(spec: Mapping[str, Any]) -> list[str]:
    """The words that an argument, or each of its items, must be one of; empty when it is free."""
    return [str(word) for word in spec.get("enum") or spec.get("items", {}).get("enum", ())]


def _own_arguments(tool: str) -> dict[str, Any]:
    """A tool's arguments by name, without the model that judges: that is a setting here."""
    from ..mcp_tools.registry import tool_schemas

    arguments = dict(tool_schemas()[tool][0].get("properties", {}))
    if tool in JUDGES_ON_A_MODEL:
        del arguments["device"]
    return arguments


def _takes_several(spec: Mapping[str, Any]) -> bool:
    """Whether an argument is a list, which may be given as one or by repeating its option."""
    return any(kind.get("type") == "array" for kind in (spec, *spec.get("anyOf", ())))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


async def _call(app: Any, tool: str, given: dict[str, Any]) -> Any:
    from importlib.metadata import version

    from mcp import Client
    from mcp.types import Implementation

    from ..lifecycle import reaping

    async def show(progress: float, total: float | None, message: str | None) -> None:
        if sys.stderr.isatty():
            _say(f"[{progress:.0f}/{total or 0:.0f}] {message or ''}", sys.stderr)

    me = Implementation(name="kernel-harness", version=version("kernel-harness"))
    async with reaping(app.kill_children), Client(app, client_info=me) as client:
        return await client.call_tool(tool, given, progress_callback=show)


def _printed(result: Any, tool: str, as_json: bool) -> int:
    """Prints a tool's result, writes images to files, and returns the exit status."""
    if result.is_error:
        message = " ".join(getattr(block, "text", "") for block in result.content)
        _say(_in_commands(message.removeprefix(f"Error executing tool {tool}: ")), sys.stderr)
        return EXIT_ERROR
    for block in result.content:
        if block.type == "image":
            path = Path(f"{tool}.png")
            path.write_bytes(base64.b64decode(block.data))
            _say(f"Wrote {path}")
    content = result.structured_content
    if content is None:
        return 0
    if as_json:
        _say(json.dumps(content, indent=1), wrap=False)
    else:
        if tool == "read_report":
            _say(str(content.get("text", "")), wrap=False)
        _say(_in_commands(str(content.get("summary", ""))))
    status = content.get("status")
    if status in UNDECIDED_STATUSES or content.get("unverified"):
        return EXIT_UNDECIDED
    if content.get("fit") is False:  # an operator that was checked
        return EXIT_FAILED
    return 0 if status in STATUSES_OF_SUCCESS else EXIT_FAILED
