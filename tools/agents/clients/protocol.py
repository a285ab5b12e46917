"""An agent as a command line with its configuration files; knows no client by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..round_facts import RoundFacts, write_private
from .usage import ReadUsage, plain_usage

SERVER = "kernel-harness"
TOKEN_VARIABLE = "KERNEL_HARNESS_TOKEN"
"""Holds the server's token, for clients that read it from the environment."""
CALL_SECONDS = 3600
AGENT_ENVIRONMENT = (
    *("PATH", "LANG", "LC_ALL", "TZ", "TERM", "NO_PROXY", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
)
"""All of this process's environment that an agent may see, beside its client's own variables."""


class PromptBy(StrEnum):
    """How an agent is given its prompt."""

    STDIN = "stdin"
    ARGUMENT = "argument"


Files = Callable[[RoundFacts], Mapping[str, str]]
"""The configuration that a client needs, by path in its home folder or below `work/`."""


def no_files(facts: RoundFacts) -> Mapping[str, str]:
    """No file: such a client needs no configuration."""
    del facts
    return {}


@dataclass(frozen=True)
class AgentClient:
    """A client that is known.

    Attributes:
        flags: what makes it run once, without anybody, and report its usage.
        prompt_by: where it reads the prompt.
        home_files: configuration in its home, which is made for each start.
        work_files: configuration in its working folder.
        credentials: files of the user's home by which it is logged in, copied into that home.
        variables: of the environment that it is given, where they are set.
        model: it asks a model, which costs something.
        tells_cost: it reports what it cost, so that a limit on that can end a search.
    """

    name: str
    flags: Callable[[RoundFacts], Sequence[str]]
    prompt_by: PromptBy = PromptBy.STDIN
    home_files: Files = no_files
    work_files: Files = no_files
    credentials: Sequence[str] = ()
    variables: Sequence[str] = ()
    read_usage: ReadUsage = plain_usage
    model: bool = True
    tells_cost: bool = True


@dataclass(frozen=True)
class AgentCommand:
    """An agent of a search: the words of its user, and the client that they name, if one is known.

    Attributes:
        words: the command and the user's own arguments.
        environment: further variables, for scripted agents.
    """

    client: AgentClient
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The client's name."""
        return self.client.name

    def arguments(self, facts: RoundFacts, prompt: str) -> list[str]:
        """The whole command line of one start; flags that its user gave are not given again."""
        given = list(self.words)
        for flag in _groups(self.client.flags(facts)):
            if flag[0] not in self.words:
                given += flag
        return [*given, prompt] if self.client.prompt_by is PromptBy.ARGUMENT else given

    def write_files(self, facts: RoundFacts, work: Path, home: Path, user_home: Path) -> None:
        """Writes what the client reads at its start: configuration, and copies of its log-in."""
        for folder, files in (
            (home, self.client.home_files(facts)),
            (work, self.client.work_files(facts)),
        ):
            for name, text in files.items():
                write_private(folder, name, text.encode())
        for name in self.client.credentials:
            source = user_home / name
            if source.is_file():
                write_private(home, name, source.read_bytes())


def _groups(flags: Sequence[str]) -> list[list[str]]:
    """Flags with the values that follow them."""
    groups: list[list[str]] = []
    for word in flags:
        if word.startswith("-") or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups
