"""The clients that a search knows how to start without anybody beside them.

Flags and files of Claude Code 2.1.197 and Codex 0.171 were tried with those, without an account;
those of Gemini CLI and opencode 1 are by their documentation. Each is given this server and no
other, may edit files, and runs no shell of its own where it can be told so; all of them are
confined by the kernel beside that.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from ...errors import CapabilityError, RequestError, unknown_name
from ..round_facts import RoundFacts
from .protocol import CALL_SECONDS, SERVER, TOKEN_VARIABLE, AgentClient, AgentCommand, PromptBy
from .usage import claude_usage, codex_usage, gemini_usage, no_usage, opencode_usage

TUNER = "tuner"
CLAUDE_FILE = "mcp.json"
CLAUDE_OWN_TOOLS = "Read,Edit,Write,Glob,Grep"
CLAUDE_TOOLS = f"mcp__{SERVER},{CLAUDE_OWN_TOOLS}"
INTERPRETER = re.compile(r"(?:python|pypy|bash|sh|node|bun|perl|ruby)[\d.]*")
"""A command that begins with one of these is called after its program."""
CLAUDE_REFUSED = "Bash,WebFetch,WebSearch,Task"


def _claude_flags(facts: RoundFacts) -> Sequence[str]:
    limit = () if facts.cost_usd is None else ("--max-budget-usd", f"{facts.cost_usd:.2f}")
    return (
        *("-p", "--output-format", "json"),
        *("--mcp-config", CLAUDE_FILE, "--strict-mcp-config"),
        *("--permission-mode", "acceptEdits", "--tools", CLAUDE_OWN_TOOLS),
        *("--allowedTools", CLAUDE_TOOLS, "--disallowedTools", CLAUDE_REFUSED),
        *limit,
    )


def _claude_files(facts: RoundFacts) -> Mapping[str, str]:
    server = {
        "type": "http",
        "url": facts.url,
        "headers": {"Authorization": f"Bearer {facts.token}"},
        "timeout": CALL_SECONDS * 1000,
    }
    return {CLAUDE_FILE: json.dumps({"mcpServers": {SERVER: server}}, indent=1)}


def _codex_flags(facts: RoundFacts) -> Sequence[str]:
    del facts
    return ("exec", "--json", "--sandbox", "workspace-write", "--skip-git-repo-check", "-")


def _codex_files(facts: RoundFacts) -> Mapping[str, str]:
    lines = [
        'approval_policy = "never"',
        f"[mcp_servers.{SERVER}]",
        f"url = {json.dumps(facts.url)}",
        f'bearer_token_env_var = "{TOKEN_VARIABLE}"',
        "startup_timeout_sec = 60",
        f"tool_timeout_sec = {CALL_SECONDS}",
    ]
    return {".codex/config.toml": "\n".join(lines) + "\n"}


def _gemini_flags(facts: RoundFacts) -> Sequence[str]:
    del facts
    return (
        *("--output-format", "json", "--approval-mode", "auto_edit"),
        *("--allowed-mcp-server-names", SERVER, "-p"),
    )


def _gemini_files(facts: RoundFacts) -> Mapping[str, str]:
    server = {
        "httpUrl": facts.url,
        "headers": {"Authorization": f"Bearer {facts.token}"},
        "timeout": CALL_SECONDS * 1000,
        "trust": True,
    }
    return {".gemini/settings.json": json.dumps({"mcpServers": {SERVER: server}}, indent=1)}


def _opencode_flags(facts: RoundFacts) -> Sequence[str]:
    del facts
    return ("run", "--format", "json")


def _opencode_files(facts: RoundFacts) -> Mapping[str, str]:
    server = {
        "type": "remote",
        "url": facts.url,
        "headers": {"Authorization": f"Bearer {facts.token}"},
        "enabled": True,
        "oauth": False,
        "timeout": CALL_SECONDS * 1000,
    }
    settings = {
        "mcp": {SERVER: server},
        "permission": {"edit": "allow", "bash": "deny", "webfetch": "deny"},
        "autoupdate": False,
        "share": "disabled",
    }
    return {"opencode.json": json.dumps(settings, indent=1)}


def _no_flags(facts: RoundFacts) -> Sequence[str]:
    del facts
    return ()


_CLAUDE = AgentClient(
    "claude",
    _claude_flags,
    work_files=_claude_files,
    credentials=(".claude/.credentials.json", ".claude.json"),
    variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
    + ("ANTHROPIC_MODEL", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK")
    + ("CLAUDE_CODE_USE_VERTEX",),
    read_usage=claude_usage,
)
_CODEX = AgentClient(
    "codex",
    _codex_flags,
    home_files=_codex_files,
    credentials=(".codex/auth.json",),
    variables=("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    read_usage=codex_usage,
    tells_cost=False,
)
_GEMINI = AgentClient(
    "gemini",
    _gemini_flags,
    PromptBy.ARGUMENT,
    work_files=_gemini_files,
    credentials=(".gemini/oauth_creds.json", ".gemini/google_accounts.json")
    + (".gemini/installation_id",),
    variables=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT"),
    read_usage=gemini_usage,
    tells_cost=False,
)
_OPENCODE = AgentClient(
    "opencode",
    _opencode_flags,
    PromptBy.ARGUMENT,
    work_files=_opencode_files,
    credentials=(".local/share/opencode/auth.json",),
    variables=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"),
    read_usage=opencode_usage,
)
_TUNER = AgentClient(TUNER, _no_flags, read_usage=no_usage, model=False, tells_cost=False)
CLIENTS = {client.name: client for client in (_CLAUDE, _CODEX, _GEMINI, _OPENCODE)}


def agent_named(text: str, folder: str = "") -> AgentCommand:
    """The agent that a user means: 'tuner', a known client with its arguments, or any command.

    A known client need not be installed here: what it would be told can be looked at without it.

    Args:
        folder: in which files of the command are looked for; the current one where it is empty.

    Raises:
        RequestError: when it is no command line, or begins with what is no command here.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RequestError(
            f"--agent {text!r} is no command line: {error}", remedy="Close its quotation marks."
        ) from error
    if not words:
        raise RequestError(
            "--agent is empty", remedy=f"Give '{TUNER}', 'claude -p', 'codex exec', or a command."
        )
    if words[0] == TUNER:
        module = __name__.rpartition(".agents.")[0] + ".agents.tuner"
        return AgentCommand(_TUNER, (sys.executable, "-P", "-m", module, *words[1:]))
    words = [_where_it_is(word, Path(folder)) for word in words]
    known = CLIENTS.get(PurePath(words[0]).name)
    client = known or AgentClient(_program(words), _no_flags, model=False)
    if known is None and shutil.which(words[0]) is None:
        remedy = "Any other command must be on PATH, or be named with its folder."
        raise unknown_name("agent", words[0], [TUNER, *CLIENTS], remedy=remedy)
    return AgentCommand(client, tuple(words))


def _program(words: Sequence[str]) -> str:
    """What a command is called: its program's file, where an interpreter runs one."""
    command = PurePath(words[0]).name
    if INTERPRETER.fullmatch(command) and "-c" not in words:
        return next((PurePath(w).name for w in words[1:] if not w.startswith("-")), command)
    return command


def _where_it_is(word: str, folder: Path) -> str:
    """A file's whole path, for an agent runs in a folder of its own; another word as it is."""
    file = (folder / word).absolute()
    return str(file) if (os.sep in word or file.suffix) and file.is_file() else word


def require_installed(agent: AgentCommand) -> None:
    """Refuses an agent whose command is not there.

    Raises:
        CapabilityError: naming it.
    """
    command = agent.words[0]
    if shutil.which(command) is None:
        raise CapabilityError(
            f"{command} is not installed here, or is not on PATH",
            remedy="Install it, name it with its folder, or take --agent tuner, which needs none.",
        )
