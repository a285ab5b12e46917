"""The client, model and session that made a plan or a candidate; told by them, proved by nobody."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from ...text import one_line
from ..record_model import RecordModel

MOST_CHARACTERS = 80
MOST_SKILLS = 40


class MadeBy(RecordModel):
    """Who made something, as far as it was said; what was not said is empty."""

    LATER_FIELDS: ClassVar[tuple[str, ...]] = (
        *("client", "client_version", "model", "effort", "session", "skills"),
    )

    client: str = Field(default="", description="Name of the MCP client.")
    client_version: str = ""
    model: str = Field(default="", description="As its user or itself declares it.")
    effort: str = Field(default="", description="How hard the model was told to think.")
    session: str = Field(default="", description="Label of the session, by whoever began it.")
    skills: dict[str, str] = Field(
        default_factory=dict,
        description="Files of skills that were served in the session, to the beginning of their "
        "sha256.",
    )

    @field_validator("client", "client_version", "model", "effort", "session")
    @classmethod
    def _in_a_line(cls, said: str) -> str:
        return one_line(said, MOST_CHARACTERS)

    @field_validator("skills")
    @classmethod
    def _bounded(cls, skills: dict[str, str]) -> dict[str, str]:
        kept = sorted(skills.items())[:MOST_SKILLS]
        return {one_line(name, MOST_CHARACTERS): one_line(digest, 64) for name, digest in kept}

    @property
    def agent(self) -> str:
        """The client, model and effort in a line; empty when none was said."""
        client = f"{self.client} {self.client_version}".strip()
        return " / ".join(filter(None, [client, f"{self.model} {self.effort}".strip()]))


NOBODY = MadeBy()
"""Stands for what nobody said who made."""
