"""Argument types that several tools share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ..answers.text import Detail

DefinitionName = Annotated[str, Field(description="Name or short form, e.g. 'gdn_decode'.")]


WorkspacePath = Annotated[str | None, Field(description="From open_workspace.")]


SolutionJson = Annotated[
    dict[str, Any] | None,
    Field(description="A Solution instead."),
]


MadeByWords = Annotated[
    dict[str, str] | None,
    Field(description="Your {'model': …, 'effort': …, 'session': …}, unless settings say."),
]


DetailLevel = Annotated[Detail, Field(description="'detailed': more rows, longer excerpts.")]


WaitSeconds = Annotated[
    float | None,
    Field(
        ge=0,
        le=3600,
        description="Seconds until RUNNING is answered; 240 unless set.",
    ),
]


Scope = Literal["static", "smoke", "sample", "full", "official"]
RankedTimes = Annotated[
    Literal["cold", "clean", "sustained", "warm"] | None,
    Field(
        description="Times that rank: with a cold L2, with one that holds nothing to write back "
        "(clean), of calls back to back (sustained), or warm. The definition's choice if absent."
    ),
]
