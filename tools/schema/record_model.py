"""The base of every part of a record: frozen, strict about its fields, without NaN or Infinity."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from ..text import printable


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class RecordModel(BaseModel):
    """Base of every record: frozen, and strict about names it does not know.

    Records quote candidates, compilers and other people's archives: every text is made printable
    when a record is made or read, so that whatever shows it need not ask where it comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    LATER_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Fields that the first version of records lacks, each with a default."""

    @field_validator("*")
    @classmethod
    def _shown_safely(cls, value: Any) -> Any:
        return _printable(value)

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves later fields out where they are the default: old records are written as read."""
        said = serialize(self)
        for name, default in _later_defaults(type(self)).items():
            if getattr(self, name) == default:
                said.pop(name, None)
        return said


@cache
def _later_defaults(kind: type[RecordModel]) -> dict[str, Any]:
    """The defaults of a record's later fields, made once: a record has hundreds of parts."""
    return {
        name: kind.model_fields[name].get_default(call_default_factory=True)
        for name in kind.LATER_FIELDS
    }


def _printable(value: Any) -> Any:
    """The value with its texts made printable; sequences of anything else stay as they are."""
    kind = type(value)
    if kind is str:
        return printable(value)
    if kind is dict:
        return {_printable(name): _printable(part) for name, part in value.items()}
    if kind in (list, tuple) and value and isinstance(value[0], str | list | tuple | dict):
        return kind(map(_printable, value))
    return value


FiniteFloat = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A float that JSON can carry: NaN and the infinities become null, never invalid JSON."""
