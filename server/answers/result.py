"""Base of all answers: one model per tool, whose first field is a screen of text.

Clients were seen to drop text beside structured content, and links and images too; so everything a
model needs is a field, links are `…_uri` strings for `read_report`, and nothing else is sent. Empty
fields are left out of the answer, and measured numbers have four digits; the record has them all. A
number that is not finite is null: the domain's own types see to that before anything arrives here.

Fields are declared one by one, so that nothing internal is shown; `Result.of` fills them from a
domain record. Limits of texts and lists stand with their fields.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from ...tools.text import shorten


def short(most: int) -> AfterValidator:
    """Cuts a text to `most` characters."""
    return AfterValidator(lambda text: shorten(text, most) if text else text)


def first(most: int) -> BeforeValidator:
    """Keeps the first `most` items of a sequence."""
    return BeforeValidator(lambda items: list(items)[:most])


def _rounded(value: Any, held: Any, digits: int) -> Any:
    """A written value with its numbers rounded; parts that are results have rounded theirs."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, list) and len(value) == len(held):
        return [_rounded(part, own, digits) for part, own in zip(value, held, strict=True)]
    if isinstance(value, dict) and isinstance(held, dict):
        return {name: _rounded(part, held.get(name), digits) for name, part in value.items()}
    return value


class Result(BaseModel):
    """Base of every result and part of one: frozen, exact, without empty optional fields."""

    digits: ClassVar[int] = 4
    """Significant ones of numbers that are no integers."""
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def of(cls, record: object, **changes: Any) -> Self:
        """Copies the declared fields from the record's attributes of the same names.

        Parts are copied from the record's parts in the same way. What is not declared here is
        not shown. `changes` come before attributes, and give the fields that the record lacks.
        """
        names = [name for name in cls.model_fields if name not in changes and hasattr(record, name)]
        values = {name: getattr(record, name) for name in names}
        return cls.model_validate(values | changes, from_attributes=True)

    @model_serializer(mode="wrap")
    def _without_empty_fields(self, serialise: SerializerFunctionWrapHandler) -> Any:
        fields = type(self).model_fields
        return {
            name: _rounded(value, getattr(self, name), self.digits)
            for name, value in serialise(self).items()
            if fields[name].is_required() or (value is not None and value not in ([], {}, ""))
        }


class Answer(Result):
    """Base of every tool's result."""

    summary: str = Field(description="What happened and what to do next, as a screen of text.")
