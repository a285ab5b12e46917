"""Argument types that several tools share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ..answers.text import Detail

DefinitionName = Annotated[
    str, Field(description="A definition's name or a unique short form, e.g. 'gdn_decode'.")
]


WorkspacePath = Annotated[
    str | None, Field(description="Path or name that open_workspace gave. This or `solution`.")
]


SolutionJson = Annotated[
    dict[str, Any] | None,
    Field(description="A FlashInfer-Trace Solution object, instead of `workspace`."),
]


MadeByWords = Annotated[
    dict[str, str] | None,
    Field(
        description="Your model, effort and session label, unless the server's settings say them: "
        "{'model': …, 'effort': …}."
    ),
]


DetailLevel = Annotated[
    Detail, Field(description="'detailed' shows more rows and longer excerpts, at more tokens.")
]


WaitSeconds = Annotated[
    float | None,
    Field(
        ge=0,
        le=3600,
        description="Longest to wait before RUNNING is answered; 240 unless the server is set "
        "otherwise. Clients cut calls at 300 s unless configured.",
    ),
]


Scope = Literal["static", "smoke", "sample", "full", "official"]
RankedTimes = Annotated[
    Literal["cold", "clean", "sustained", "warm"] | None,
    Field(
        description="The times that rank: a call's span with a cold L2 (cold), with one that "
        "holds nothing to be written back (clean), its share of many calls back to back over "
        "more data than the L2 holds (sustained), or with inputs in the L2 (warm). The "
        "definition's choice if absent: cold unless its policy says otherwise."
    ),
]
