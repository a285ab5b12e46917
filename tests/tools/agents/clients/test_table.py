"""Clients: what each is started with, and what is read of its usage."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.agents.clients.protocol import TOKEN_VARIABLE, PromptBy
from kernel_harness.tools.agents.clients.table import CLIENTS, agent_named
from kernel_harness.tools.agents.clients.usage import Usage, last_words
from kernel_harness.tools.agents.round_facts import RoundFacts
from kernel_harness.tools.errors import RequestError
from tests.folding import for_each

FACTS = RoundFacts(definition="d", workspace="main", url="http://127.0.0.1:5/mcp", token="secret")


@pytest.mark.parametrize("text", ["claude -p", "codex exec", "gemini", "opencode run", "claude"])
def test_a_known_client_runs_once_reports_its_usage_and_is_given_its_prompt(text: str):
    agent = agent_named(text)
    words = agent.arguments(FACTS, "the prompt")
    assert words[0] == text.split()[0] and "json" in " ".join(words)
    assert len([w for w in words if w in ("-p", "exec", "run")]) <= 1, "a flag is there twice"
    by_argument = agent.client.prompt_by is PromptBy.ARGUMENT
    assert (words[-1] == "the prompt") is by_argument
    assert "secret" not in " ".join(words), "the token shows in the list of processes"


def test_files_of_a_command_are_found_where_it_was_written_and_it_is_called_after_its_program(
    tmp_path: Path,
):
    for name in ("agent.py", "conf.toml"):
        (tmp_path / name).write_text("")
    agent = agent_named("python3 agent.py --with conf.toml not.there run", str(tmp_path))
    files = [str(tmp_path / name) for name in ("agent.py", "conf.toml")]
    assert agent.words == ("python3", files[0], "--with", files[1], "not.there", "run")
    assert agent.name == "agent.py"
    assert [agent_named(text).name for text in ("bash", "bash -c 'a b'")] == ["bash", "bash"]


def test_claude_code_is_given_what_it_may_cost():
    words = agent_named("claude").arguments(FACTS.model_copy(update={"cost_usd": 2.5}), "")
    assert words[words.index("--max-budget-usd") + 1] == "2.50"
    assert "--max-budget-usd" not in agent_named("claude").arguments(FACTS, "")


def test_a_users_own_flags_stand():
    words = agent_named("claude -p --model opus --allowedTools Read").arguments(FACTS, "")
    assert words[:5] == ["claude", "-p", "--model", "opus", "--allowedTools"]
    assert words.count("--allowedTools") == 1 and "--strict-mcp-config" in words


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_is_given_this_server_and_no_other(name: str, tmp_path: Path):
    agent = agent_named(name)
    work, home, user = (tmp_path / part for part in ("work", "home", "user"))
    for log_in in agent.client.credentials:
        (user / log_in).parent.mkdir(parents=True, exist_ok=True)
        (user / log_in).write_text("log-in")
    agent.write_files(FACTS, work, home, user)
    written = [p for p in [*work.rglob("*"), *home.rglob("*")] if p.is_file()]
    assert {p.stat().st_mode & 0o077 for p in written} == {0}, "others can read it"
    assert len([p for p in written if p.read_text() == "log-in"]) == len(agent.client.credentials)
    texts = [p.read_text() for p in written if p.read_text() != "log-in"]
    (settings,) = [tomllib.loads(t) if not t.startswith("{") else json.loads(t) for t in texts]
    servers: Any = settings.get("mcpServers") or settings.get("mcp_servers") or settings.get("mcp")
    assert list(servers) == ["kernel-harness"]
    (server,) = servers.values()
    assert FACTS.url in server.values()
    carried = json.dumps(server)
    assert "Bearer secret" in carried or server.get("bearer_token_env_var") == TOKEN_VARIABLE


def test_the_tuner_and_any_other_command_are_agents_too(tmp_path: Path):
    tuner = agent_named("tuner 8")
    assert tuner.words[0] == sys.executable and tuner.words[-1] == "8" and tuner.name == "tuner"
    command = tmp_path / "my agent"
    command.touch(0o755)
    mine = agent_named("'./my agent' --fast", str(tmp_path))
    assert mine.arguments(FACTS, "p") == [str(command), "--fast"]


@pytest.mark.parametrize("text", ["", "  ", "claude 'unclosed"])
def test_what_is_no_command_is_refused(text: str):
    with pytest.raises(RequestError):
        agent_named(text)


USED = {
    "claude": json.dumps(
        {
            "type": "result",
            "subtype": "success",
            "total_cost_usd": 0.31,
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 7},
        }
    ),
    "codex": "\n".join(
        [
            '{"type":"thread.started"}',
            '{"type":"turn.completed","usage":{"input_tokens":60,"output_tokens":4}}',
            '{"type":"turn.completed","usage":{"input_tokens":40,"output_tokens":3}}',
        ]
    ),
    "gemini": json.dumps(
        {
            "response": "done",
            "stats": {
                "models": {"pro": {"tokens": {"prompt": 100, "candidates": 5, "thoughts": 2}}}
            },
        }
    ),
    "opencode": json.dumps(
        {
            "type": "step_finish",
            "part": {
                "type": "step-finish",
                "cost": 0.31,
                "tokens": {"input": 100, "output": 7, "reasoning": 0},
            },
        }
    ),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_usage_is_read_where_a_client_reports_it(name: str):
    usage = CLIENTS[name].read_usage(USED[name])
    assert (usage.tokens_in, usage.tokens_out) == (100, 7)
    assert usage.cost_usd == (0.31 if name in ("claude", "opencode") else None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "result", "result": "A wider tile.", "usage": {}}', "A wider tile."),
        ('{"response": "A wider tile.", "stats": {}}', "A wider tile."),
        (
            '{"type":"item.completed","item":{"type":"agent_message","text":"A wider tile."}}\n'
            '{"type":"turn.completed","usage":{"input_tokens":1}}',
            "A wider tile.",
        ),
        ('{"type":"text","part":{"type":"text","text":"A wider tile."}}', "A wider tile."),
        ('A wider tile.\n{"usage": {"tokens_in": 1}}\n', "A wider tile."),
        ('{"result": 5}', ""),
        ('{\n "usage": {}\n}', ""),
    ],
)
def test_the_last_words_of_an_agent_are_read_out_of_its_json(text: str, words: str):
    assert last_words(text) == words


@pytest.mark.parametrize("name", CLIENTS)
@for_each(
    "text",
    [
        *("", "no JSON", "{", "[1]", "null", '{"usage": 5, "stats": [], "type": "result"}'),
        '{"type":"turn.completed","usage":{"input_tokens":-1,"output_tokens":"many"}}',
        '{"type":"result","total_cost_usd":1e999,"usage":{"input_tokens":true}}',
        f'{{"type":"result","total_cost_usd":{10**400},"usage":{{"tokens_in":{10**400}}}}}',
        "{" * 5000,
    ],
)
def test_what_is_no_usage_counts_as_none(name: str, text: str):
    assert CLIENTS[name].read_usage(text) == Usage()
