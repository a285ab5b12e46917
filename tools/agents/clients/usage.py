"""Tokens and money that a client reports on standard output; what none reports is None."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...schema.record_model import RecordModel


class Usage(RecordModel):
    """What a client says that it used; its word, and never part of a result."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None

    def plus(self, other: Usage) -> Usage:
        """The sum; what either does not say is the other's."""
        sums: dict[str, Any] = {}
        for name in ("tokens_in", "tokens_out", "cost_usd"):
            said = [v for v in (getattr(self, name), getattr(other, name)) if v is not None]
            sums[name] = sum(said) if said else None
        return Usage(**sums)


ReadUsage = Callable[[str], Usage]
"""Takes a client's standard output."""
_MOST = 1e12


def no_usage(text: str) -> Usage:
    """Nothing: the client reports none."""
    del text
    return Usage()


def claude_usage(text: str) -> Usage:
    """Of Claude Code's `--output-format json`: one object, the result."""
    found = Usage()
    for said in _objects(text):
        if said.get("type") == "result":
            used = _mapping(said.get("usage"))
            inputs = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
            found = Usage(
                tokens_in=_sum(used, *inputs),
                tokens_out=_sum(used, "output_tokens"),
                cost_usd=_number(said.get("total_cost_usd")),
            )
    return found


def codex_usage(text: str) -> Usage:
    """Of `codex exec --json`: an event for each turn that was completed."""
    found = Usage()
    for said in _objects(text):
        if said.get("type") == "turn.completed":
            used = _mapping(said.get("usage"))
            turn = Usage(
                tokens_in=_sum(used, "input_tokens"), tokens_out=_sum(used, "output_tokens")
            )
            found = found.plus(turn)
    return found


def gemini_usage(text: str) -> Usage:
    """Of Gemini CLI's `--output-format json`: statistics by model."""
    found = Usage()
    for said in _objects(text):
        models = _mapping(_mapping(said.get("stats")).get("models"))
        for model in models.values():
            tokens = _mapping(_mapping(model).get("tokens"))
            found = found.plus(
                Usage(
                    tokens_in=_sum(tokens, "prompt"),
                    tokens_out=_sum(tokens, "candidates", "thoughts"),
                )
            )
    return found


def opencode_usage(text: str) -> Usage:
    """Of `opencode run --format json`: an event for each step that ended."""
    found = Usage()
    for said in _objects(text):
        part = _mapping(said.get("part"))
        if said.get("type") == "step_finish" or part.get("type") == "step-finish":
            tokens = _mapping(part.get("tokens"))
            found = found.plus(
                Usage(
                    tokens_in=_sum(tokens, "input"),
                    tokens_out=_sum(tokens, "output", "reasoning"),
                    cost_usd=_number(part.get("cost")),
                )
            )
    return found


def plain_usage(text: str) -> Usage:
    """Of a program: the last line that is an object with some of the names of `Usage`."""
    found = Usage()
    for said in _objects(text):
        used = said.get("usage") if isinstance(said.get("usage"), Mapping) else said
        used = _mapping(used)
        one = Usage(
            tokens_in=_sum(used, "tokens_in"),
            tokens_out=_sum(used, "tokens_out"),
            cost_usd=_number(used.get("cost_usd")),
        )
        found = one if one != Usage() else found
    return found


def last_words(text: str) -> str:
    """What an agent said at its end: the text of a client's answer in JSON, else what is no JSON.

    Claude Code has it under `result`, Gemini CLI under `response`, Codex and opencode as the `text`
    of an item or a part.
    """
    found = ""
    for said in _objects(text):
        inner = _mapping(said.get("item")) or _mapping(said.get("part"))
        words = said.get("result") or said.get("response") or inner.get("text")
        found = words if isinstance(words, str) else found
    plain = [line for line in text.splitlines() if _object(line) is None]
    return found or ("" if _object(text) is not None else "\n".join(plain))


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The whole text if it is one JSON object, else each line that is one."""
    whole = _object(text)
    if whole is not None:
        yield whole
        return
    for line in text.splitlines():
        if (said := _object(line)) is not None:
            yield said


def _object(text: str) -> Mapping[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    """A figure that can be one of use: finite and not below zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared, not converted: an integer of 400 digits is no float, and what is none of both fails.
    return float(value) if 0 <= value < _MOST else None


def _sum(values: Mapping[str, Any], *names: str) -> int | None:
    found = [number for name in names if (number := _number(values.get(name))) is not None]
    return int(sum(found)) if found else None
