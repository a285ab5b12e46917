"""Messages between a server and the judges of nodes, beside those that any judge understands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from ..messages.frames import Message
from ..messages.judge import (
    CheckOperator,
    CompileCode,
    EvaluatePlan,
    FromJudge,
    InspectCall,
    JudgeAnswer,
)


class HoldJudge(Message):
    """Hold the node's device with its judge, and pass on what it is sent until it is released."""

    kind: Literal["hold_judge"] = "hold_judge"
    request_id: str
    what: str


class ProfileOnNode(Message):
    """Profile a solution on the node, or measure its device.

    What is written there is asked for afterwards, and lies under `folder` on the server, as the
    answer says.
    """

    kind: Literal["profile_on_node"] = "profile_on_node"
    request_id: str
    tool: Literal["ncu", "timeline", "sanitizer", "calibration"]
    folder: str = Field(description="The server's folder of profiles and calibrations.")
    definition: dict[str, Any] = Field(default_factory=dict)
    operator_dir: str | None = None
    dataset_root: str | None = None
    solution: dict[str, Any] | None = None
    compare_to: dict[str, Any] | None = None
    workloads: list[str] = Field(default_factory=list)
    profile_set: str = ""
    benchmarks: list[str] = Field(default_factory=list)
    build_timeout_s: float = 180.0
    sealed_clock: str = "auto"


class ProfiledOnNode(Message):
    """What a profile found, as its record dumps itself."""

    kind: Literal["profiled_on_node"] = "profiled_on_node"
    request_id: str
    record: dict[str, Any]
    samples: list[dict[str, Any]] = Field(
        default_factory=list, description="Where warps waited, by workload."
    )


class JudgeNotStarted(Message):
    """The node's judge does not start, so that nothing of a candidate has run there."""

    kind: Literal["judge_not_started"] = "judge_not_started"
    request_id: str
    what: str


NodeRequest = EvaluatePlan | CheckOperator | InspectCall | CompileCode | HoldJudge | ProfileOnNode
Asked = CheckOperator | InspectCall | CompileCode | ProfileOnNode
"""What is asked of any judge, and answered once."""

ANSWERED = ("profiles", "calibration")
"""Where the files of a `ProfileOnNode` lie in its folder."""

_LATER = ConfigDict(defer_build=True)
to_node: TypeAdapter[NodeRequest] = TypeAdapter(
    Annotated[NodeRequest, Field(discriminator="kind")], config=_LATER
)
from_node: TypeAdapter[JudgeAnswer | ProfiledOnNode | JudgeNotStarted] = TypeAdapter(
    FromJudge | ProfiledOnNode | JudgeNotStarted, config=_LATER
)


def identity_of(request: NodeRequest) -> str:
    """What a request and all that is said of it are called by."""
    return request.evaluation_id if isinstance(request, EvaluatePlan) else request.request_id
