"""Skills: read from disk, checked against the Agent Skills format, served over MCP (SEP-2640).

A skill is a folder with SKILL.md and, at most one level below, references. Every file is the
resource `skill://<name>/<path>`; the extension `io.modelcontextprotocol/skills` lists them with
digests. Files are read at every request, so that an edited skill is served at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, PaginatedRequestParams, RequestParams

from ...tools.documents import ReportSlice
from ...tools.errors import RequestError, unknown_name

EXTENSION = "io.modelcontextprotocol/skills"
SCHEME = "skill://"
MANIFEST = "SKILL.md"
NAME = re.compile(r"^(?!.*--)[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")
FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
MOST_LINES = 500
MOST_CHARACTERS = 20_000
"""Length limit of a body: about 5,000 tokens."""
CACHE_MS = 2_000
LINK = re.compile(r"\]\((?!https?://|#|mailto:|skill://)([^)\s#]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_FRONTMATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Skill:
    """One skill on disk."""

    folder: Path

    @cached_property
    def text(self) -> str:
        """The text of SKILL.md."""
        return self.read(MANIFEST)

    def read(self, path: str) -> str:
        """The text of a file; what is no UTF-8 in it is replaced, for people write their own."""
        return (self.folder / path).read_text(encoding="utf-8", errors="replace")

    @cached_property
    def frontmatter(self) -> dict[str, Any]:
        """The YAML at the head of SKILL.md; empty when it is missing or malformed."""
        import yaml  # not at start: most sessions read no skill

        found = _FRONTMATTER.match(self.text)
        try:
            loaded = yaml.safe_load(found.group(1)) if found else None
        except yaml.YAMLError:
            loaded = None
        return loaded if isinstance(loaded, dict) else {}

    @property
    def body(self) -> str:
        """SKILL.md without its YAML head."""
        return _FRONTMATTER.sub("", self.text, count=1)

    @property
    def name(self) -> str:
        """The skill's name, which is its folder's."""
        return self.folder.name

    @property
    def description(self) -> str:
        """What the skill is for and when to use it."""
        return str(self.frontmatter.get("description", ""))

    @property
    def uri(self) -> str:
        """The address of SKILL.md."""
        return f"{SCHEME}{self.name}/{MANIFEST}"

    def paths(self) -> list[str]:
        """Lists every file, relative to the folder; SKILL.md first."""
        found = sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file() and not any(p.startswith((".", "__")) for p in path.parts[-2:])
        )
        return [MANIFEST, *(path for path in found if path != MANIFEST)]

    def entry(self) -> dict[str, Any]:
        """Returns the entry of `skills/list`: address, YAML head, and a digest of every file."""
        resources = []
        for path in self.paths():
            content = (self.folder / path).read_bytes()
            resources.append(
                {
                    "uri": f"{SCHEME}{self.name}/{path}",
                    "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
                    "size": len(content),
                }
            )
        return {"uri": self.uri, "frontmatter": self.frontmatter, "resources": resources}


class SkillRegistry:
    """All skills of some folders; one of a later folder replaces one of the same name."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def skills(self) -> list[Skill]:
        """Lists every skill, ordered by name."""
        found: dict[str, Skill] = {}
        for folder in self._folders:
            found |= {path.parent.name: Skill(path.parent) for path in folder.glob(f"*/{MANIFEST}")}
        return [found[name] for name in sorted(found)]

    def skill(self, name: str) -> Skill | None:
        """Returns a skill by its name; None when there is none."""
        return next((skill for skill in self.skills() if skill.name == name), None)

    def files(self) -> Iterator[tuple[Skill, str]]:
        """Yields every file of every skill, as (skill, path within it)."""
        for skill in self.skills():
            for path in skill.paths():
                yield skill, path

    def read(self, uri: str) -> str | None:
        """Returns the text at a `skill://` address; None when there is none.

        Only paths that `Skill.paths` lists are read, so that no address leads out of the folder.
        """
        name, _, path = uri.removeprefix(SCHEME).partition("/")
        skill = self.skill(name)
        if skill is None or path not in skill.paths():
            return None
        return skill.read(path)

    def slice(self, uri: str, section: str | None, offset: int) -> ReportSlice:
        """Returns a part of a skill's file; of its SKILL.md where the address has no path.

        Raises:
            RequestError: when nothing is there, and for a section, since skills have none.
        """
        name, _, path = uri.strip().removeprefix(SCHEME).strip("/").partition("/")
        address = f"{SCHEME}{name}/{path or MANIFEST}"
        text = self.read(address)
        if text is None:
            known = [f"{SCHEME}{skill.name}/{path}" for skill, path in self.files()]
            raise unknown_name("skill file", address, known)
        if section is not None:
            raise RequestError(f"{address} has no sections", remedy="Leave section out.")
        return ReportSlice.of(text, address, offset)

    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Returns a value that differs after a file is added, removed or edited."""
        found = []
        for folder in self._folders:
            for path in sorted(folder.rglob("*.md")):
                try:
                    status = path.stat()
                except OSError:  # an editor's lock is a link to nowhere; a file may just be gone
                    continue
                name = path.relative_to(folder).as_posix()
                found.append((name, status.st_mtime_ns, status.st_size))
        return tuple(found)


def problems(skill: Skill) -> list[str]:
    """Lists violations of the Agent Skills format and of our limits; empty when it is valid."""
    head = skill.frontmatter
    if not head:
        return [f"{skill.name}: SKILL.md has no YAML head"]
    found = [f"field {name!r} is not of the format" for name in head if name not in FIELDS]
    name, description = head.get("name"), head.get("description")
    if not isinstance(name, str) or not NAME.match(name):
        found.append("name must be 1-64 of a-z, 0-9 and single hyphens")
    if name != skill.folder.name:
        found.append(f"name {name!r} differs from its folder's")
    if not isinstance(description, str) or not 1 <= len(description) <= 1024:
        found.append("description must have 1 to 1024 characters")
    if len(str(head.get("compatibility", ""))) > 500:
        found.append("compatibility is longer than 500 characters")
    metadata = head.get("metadata", {})
    if not isinstance(metadata, dict) or any(
        not isinstance(part, str) for pair in metadata.items() for part in pair
    ):
        found.append("metadata must map strings to strings")
    if len(skill.text.splitlines()) > MOST_LINES or len(skill.body) > MOST_CHARACTERS:
        found.append(f"SKILL.md is longer than {MOST_LINES} lines or {MOST_CHARACTERS} characters")
    found += [f"file {path!r} lies too deep" for path in skill.paths() if path.count("/") > 1]
    found += [
        f"{path} links to {target!r}, which is not there"
        for path, target in _links(skill)
        if not (skill.folder / path).parent.joinpath(target).exists()
    ]
    return [f"{skill.name}: {violation}" for violation in found]


def _links(skill: Skill) -> Iterator[tuple[str, str]]:
    for path in skill.paths():
        if path.endswith(".md"):
            text = skill.read(path)
            for target in LINK.findall(CODE.sub("", text)):
                yield path, target


class UriParams(RequestParams):
    """Parameters of `skills/get` and `resources/directory/read`."""

    uri: str
    cursor: str | None = None


class SkillsExtension(Extension):
    """MCP extension for skills (SEP-2640): list, get and directory listing."""

    identifier = EXTENSION

    def __init__(self, skills: SkillRegistry) -> None:
        self._skills = skills

    def settings(self) -> dict[str, Any]:
        """Declares that directories can be listed."""
        return {"directoryRead": True}

    def methods(self) -> tuple[MethodBinding, ...]:
        """Returns the three methods of the extension."""
        return (
            MethodBinding("skills/list", PaginatedRequestParams, self._list),
            MethodBinding("skills/get", UriParams, self._get),
            MethodBinding("resources/directory/read", UriParams, self._directory),
        )

    async def _list(self, ctx: ServerRequestContext[Any, Any], params: Any) -> HandlerResult:
        return _cacheable({"skills": [skill.entry() for skill in self._skills.skills()]})

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: UriParams) -> HandlerResult:
        for skill in self._skills.skills():
            if skill.uri == params.uri:
                return _cacheable({"skill": skill.entry()})
        raise MCPError(INVALID_PARAMS, f"No skill at {params.uri}; skills/list names them all.")

    async def _directory(
        self, ctx: ServerRequestContext[Any, Any], params: UriParams
    ) -> HandlerResult:
        name, _, inner = params.uri.removeprefix(SCHEME).strip("/").partition("/")
        skill = self._skills.skill(name)
        children = _children(skill, inner) if skill else []
        if not children:
            raise MCPError(INVALID_PARAMS, f"{params.uri} is no directory of a skill.")
        return _cacheable({"resources": children})


def _cacheable(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "ttlMs": CACHE_MS, "cacheScope": "private"}


def _children(skill: Skill, inner: str) -> list[dict[str, Any]]:
    """Returns the direct children of a folder in a skill."""
    prefix = f"{inner}/" if inner else ""
    base = f"{SCHEME}{skill.name}/{prefix}"
    found: dict[str, dict[str, Any]] = {}
    for path in skill.paths():
        if not path.startswith(prefix):
            continue
        first, _, rest = path.removeprefix(prefix).partition("/")
        mime = "inode/directory" if rest else "text/markdown"
        found[first] = {"uri": base + first, "name": first, "mimeType": mime}
    return list(found.values())
