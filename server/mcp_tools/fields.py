"""Argument types that several tools share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ..answers.text import Detail

DefinitionName = Annotated[
    str, Field(description="A definition's name or short form, e.g. 'gdn_decode'.")
]


WorkspacePath = Annotated[str | None, Field(description="From open_workspace. This or `solution`.")]


SolutionJson = Annotated[
    dict[str, Any] | None,
    Field(description="A FlashInfer-Trace Solution instead."),
]


MadeByWords = Annotated[
    dict[str, str] | None,
    Field(
        description="Your model, effort and session label, unless settings say them: "
        "{'model': …, 'effort': …}."
    ),
]


DetailLevel = Annotated[
    Detail, Field(description="'detailed' shows more rows and longer excerpts.")
]


WaitSeconds = Annotated[
    float | None,
    Field(
        ge=0,
        le=3600,
        description="Longest wait before RUNNING is answered; 240 unless set otherwise.",
    ),
]


Scope = Literal["static", "smoke", "sample", "full", "official"]
RankedTimes = Annotated[
    Literal["cold", "clean", "sustained", "warm"] | None,
    Field(
        description="The times that rank: with a cold L2 (cold), with one that holds nothing to "
        "be written back (clean), of calls back to back over more data than the L2 holds "
        "(sustained), or with inputs in the L2 (warm). The definition's choice if absent."
    ),
]
