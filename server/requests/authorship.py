"""Who calls: the client, what it declares of its model, and the skills it was served.

A client of the handshake revisions tells its name once, one of 2026-07-28 with each request; the
SDK keeps both alike. Served skills are kept by HTTP session, or by client where there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context

from ...tools.errors import unknown_name
from ...tools.schema.search.made_by import MadeBy
from ...tools.settings import Settings

DECLARED = ("model", "effort", "session")
MOST_CLIENTS = 256
"""HTTP sessions end unnoticed; the oldest are forgotten beyond this number."""
DIGEST_DIGITS = 12

_Client = tuple[str, str, str]


class ServedSkills:
    """The files of skills that each client was served, by the digest of what it saw."""

    def __init__(self) -> None:
        self._of: dict[_Client, dict[str, str]] = {}

    def note(self, ctx: Context[Any], path: str, text: str) -> None:
        """Notes that a client was served the file of a skill, e.g. "write-triton/SKILL.md"."""
        client = _client(ctx)
        seen = self._of.pop(client, {})
        seen[path.removesuffix("/SKILL.md")] = hashlib.sha256(text.encode()).hexdigest()[
            :DIGEST_DIGITS
        ]
        self._of[client] = seen
        for oldest in list(self._of)[:-MOST_CLIENTS]:
            del self._of[oldest]

    def to(self, ctx: Context[Any]) -> dict[str, str]:
        """What the client of a call was served so far: file to the beginning of its sha256."""
        return dict(self._of.get(_client(ctx), {}))


def made_by(
    ctx: Context[Any], settings: Settings, served: ServedSkills, declared: Mapping[str, str] | None
) -> MadeBy:
    """Who makes what a call asks for.

    Args:
        declared: of the model, effort and session, by the call; before those of the settings.

    Raises:
        RequestError: when something else is declared.
    """
    for name in declared or ():
        if name not in DECLARED:
            raise unknown_name("field of made_by", name, DECLARED)
    said = {name: getattr(settings, name) for name in DECLARED} | dict(declared or {})
    _, client, version = _client(ctx)
    return MadeBy(client=client, client_version=version, skills=served.to(ctx), **said)


def caller(ctx: Context[Any], workspace: str | None) -> str:
    """What tells a call's client from the others of this server: its name and session.

    Over HTTP a client of 2026-07-28 has no session, and agents with one program have one name: such
    are told apart by their address and by the workspace that they work in.
    """
    session, name, _ = _client(ctx)
    request = ctx.request_context.request
    if request is not None and not session:
        peer = getattr(request, "client", None)
        session = f"{peer.host if peer else ''} {workspace or ''}"
    return f"{name} {session}".strip()


def _client(ctx: Context[Any]) -> _Client:
    """The HTTP session, name and version of a call's client; empty where there is none."""
    headers = getattr(ctx.request_context.request, "headers", None)
    session = headers.get("mcp-session-id") if headers else None
    params = ctx.session.client_params
    info = params.client_info if params else None
    return session or "", info.name if info else "", info.version if info else ""
