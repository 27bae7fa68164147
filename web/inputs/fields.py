"""Fields that take exactly what they say: no number in quotes, no 5.7 for 5, no text that a database cannot keep."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate

LARGEST = 2**63 - 1
MOST_WORDS = 20
UUID_FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A plus sign that was not escaped arrives as a space.
TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+ -][0-9]{2}:[0-9]{2})")


class Said(fields.Field[Any]):
    """What every field says when it is not there."""

    default_error_messages = {"required": "It is missing.", "null": "It cannot be null: give a value, or leave it out."}


class Text(Said, fields.String):
    """Text without NUL and without halves of surrogate pairs, trimmed; `min` and `max` count what is left."""

    default_error_messages = {
        "invalid": "Send text.",
        "unstorable": "It holds a character that cannot be kept (NUL, or half of a surrogate pair): take it out.",
    }

    def __init__(self, *, min: int | None = None, max: int | None = None, **options: Any):
        self.trimmed = options.pop("trimmed", True)
        limits = [validate.Length(min=min, max=max, error=length_error(min, max))] if min is not None or max is not None else []
        super().__init__(validate=[*limits, *listed(options.pop("validate", None))], **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise self.make_error("unstorable")
        return value.strip() if self.trimmed else value


class Words(Text):
    """One word or several with commas between; answers a tuple."""

    default_error_messages = {"too_many": f"Write at most {MOST_WORDS} words."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
        if len(words) > MOST_WORDS:
            raise self.make_error("too_many")
        return words


def length_error(min: int | None, max: int | None) -> str:
    if min is None:
        return "Write at most {max} characters."
    return "Write at least {min} characters." if max is None else "Write {min} to {max} characters."


def listed(validators: Any) -> list[Any]:
    if validators is None:
        return []
    return list(validators) if isinstance(validators, Iterable) else [validators]


class Integer(Said, fields.Integer):
    """A whole number as JSON writes one: no text, no fraction, no true or false; within 64 bits."""

    default_error_messages = {"invalid": "Send a whole number, without quotes.", "too_large": "It is too large."}

    def __init__(self, *, min: int | None = None, max: int = LARGEST, **options: Any):
        super().__init__(strict=True, validate=[range_of(min, max), *listed(options.pop("validate", None))], **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid")
        if abs(value) > LARGEST:
            raise self.make_error("too_large")
        return value


def range_of(min: int | None, max: int) -> validate.Range:
    low = -LARGEST - 1 if min is None else min
    error = "It must be {max} at most." if min is None else "It must be at least {min}." if max == LARGEST else "It must be {min} to {max}."
    return validate.Range(min=low, max=max, error=error)


class Cents(Integer):
    """Money in the currency's minor units."""

    def __init__(self, *, min: int = 1, **options: Any):
        super().__init__(min=min, **options)


class Flag(Said, fields.Boolean):
    """true or false, and nothing that only looks like it."""

    default_error_messages = {"invalid": "Send true or false, without quotes."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Id(Said, fields.UUID):
    """A UUID in its usual form."""

    default_error_messages = {"invalid_uuid": "Send a UUID, as in 550e8400-e29b-41d4-a716-446655440000."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not UUID_FORM.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)


class Choice(Said, fields.String):
    """One of a few words; answers the enum's member."""

    def __init__(self, choices: type[StrEnum], **options: Any):
        self.choices = choices
        options["metadata"] = {"enum": [str(choice) for choice in choices], **options.get("metadata", {})}
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> StrEnum:
        return chosen(self.choices, value)


class Choices(Said, fields.String):
    """One word or several with commas between, as in status=pending,approved; answers a tuple of the enum's members."""

    def __init__(self, choices: type[StrEnum], **options: Any):
        self.choices = choices
        words = [str(choice) for choice in choices]
        options["metadata"] = {
            "pattern": f"^({'|'.join(words)})(,({'|'.join(words)}))*$",
            "description": f"One or several with commas: {', '.join(words)}.",
            **options.get("metadata", {}),
        }
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        words = value.split(",") if isinstance(value, str) else [value]
        return tuple(dict.fromkeys(chosen(self.choices, word.strip() if isinstance(word, str) else word) for word in words[:50]))


def chosen(choices: type[StrEnum], word: Any) -> StrEnum:
    try:
        return choices(word)
    except ValueError:
        raise ValidationError(f"It must be one of: {', '.join(choices)}.") from None


class QueryInteger(Said, fields.Integer):
    """A whole number in a URL: ASCII digits and nothing else."""

    def __init__(self, *, min: int = 0, max: int = LARGEST, **options: Any):
        super().__init__(validate=[range_of(min, max)], **options)
        self.asked = f"Send a whole number from {min} to {max}."

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
            return int(value)
        raise ValidationError(self.asked)


class Day(Said, fields.Date):
    """A date as in 2025-11-12, and nothing else that a date may be written as."""

    default_error_messages = {"invalid": "Send a date, as in 2025-11-12, of the years 1970 to 9999."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        try:
            moment, whole_day = read_bound(value)
        except ValueError:
            raise self.make_error("invalid") from None
        if not whole_day:
            raise self.make_error("invalid")
        return moment.date()


class Moment(Said, fields.AwareDateTime):
    """A time with its zone; answers it in UTC."""

    default_error_messages = {"invalid": "Send a time with its zone, as in 2025-11-12T10:00:00Z, of the years 1970 to 9999."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            moment, whole_day = read_bound(value)
        except (ValueError, OverflowError):
            raise self.make_error("invalid") from None
        if whole_day:
            raise self.make_error("invalid")
        return moment


class Bound(Said):
    """One end of a period: (its first moment in UTC, whether a whole day is meant)."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> tuple[datetime, bool]:
        try:
            return read_bound(value)
        except (ValueError, OverflowError):
            raise ValidationError(
                "Send a date, as in 2025-11-12, or a time with its zone, as in 2025-11-12T10:00:00Z, of the years 1970 to 9999."
            ) from None


def read_bound(value: Any) -> tuple[datetime, bool]:
    if not isinstance(value, str):
        raise ValueError
    if DATE.fullmatch(value):
        moment, whole_day = datetime.fromisoformat(value).replace(tzinfo=UTC), True
    else:
        parts = TIME.fullmatch(value)
        if not parts:
            raise ValueError
        day, clock, fraction, zone = parts.groups()
        zone = "+00:00" if zone in "Zz" else zone.replace(" ", "+")
        moment, whole_day = datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0')[:7].ljust(7, '0')}{zone}").astimezone(UTC), False
    if moment.year < 1970:
        raise ValueError
    return moment, whole_day
