"""Argument types that several tools share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ..answers.text import Detail

DefinitionName = Annotated[str, Field(description="Name or short form.")]


WorkspacePath = Annotated[str | None, Field(description="From open_workspace.")]


SolutionJson = Annotated[
    dict[str, Any] | None,
    Field(description="Or a FlashInfer Solution."),
]


MadeByWords = Annotated[
    dict[str, str] | None,
    Field(description="Your 'model', 'effort', 'session', unless settings say."),
]


DeviceModel = Annotated[str | None, Field(description="GPU model to run on: 'H200'.")]


DetailLevel = Annotated[Detail, Field(description="'detailed': more.")]


WaitSeconds = Annotated[
    float | None,
    Field(
        ge=0,
        le=3600,
        description="Most seconds to wait; else 240.",
    ),
]


Scope = Literal["static", "smoke", "sample", "full", "official"]
RankedTimes = Annotated[
    Literal["cold", "clean", "sustained", "warm"] | None,
    Field(
        description="Times that rank, else the definition's: a cold L2, with nothing to write back "
        "(clean), calls back to back (sustained), warm."
    ),
]


InputFamily = Annotated[str | None, Field(description="Family of inputs, of list_workloads.")]


ComparedWith = Annotated[
    str | None,
    Field(
        description="A peer, solution or candidate id; the baseline if absent; 'reference': "
        "the PyTorch code; 'ladder': it eager and compiled, and every peer, too; 'nothing': "
        "latencies alone, in half the time."
    ),
]
