"""The base of every part of a record: frozen, strict about its fields, without NaN or Infinity."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
)


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class RecordModel(BaseModel):
    """Base of every record: frozen, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


FiniteFloat = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A float that JSON can carry: NaN and the infinities become null, never invalid JSON."""
