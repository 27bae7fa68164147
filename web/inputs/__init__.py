"""What may be asked, whichever door it comes through: one schema per question, named like the noun it is about."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, post_load
from marshmallow.fields import List
from werkzeug.datastructures import MultiDict

from web.inputs.fields import Bound, Flag, Integer, QueryInteger, Text

SAID = {"unknown": "There is no such field: take it out, or correct its name.", "type": "Send a JSON object."}


class Input(Schema):
    """A body: every field it may have is known, so that a misspelt one is refused and not dropped."""

    class Meta:
        unknown = RAISE

    error_messages = SAID


class Query(Schema):
    """The part of a URL behind the question mark; what is not known is named in the answer's meta."""

    class Meta:
        unknown = EXCLUDE

    error_messages = SAID


@dataclass(frozen=True)
class Since:
    """What `from_date` and `to_date` come to: from included, to excluded."""

    from_: datetime | None
    to: datetime | None


class ListQuery(Query):
    """A page of a list. `filters` is the frozen class of the domain that takes what was asked."""

    filters: ClassVar[type | None] = None

    page = QueryInteger(load_default=1, min=1, max=1_000_000, metadata={"description": "Counts from 1; past the end the list is empty."})
    page_size = QueryInteger(load_default=25, min=1, max=100)
    cursor = Text(max=200, metadata={"description": "`meta.next_cursor` of the page before: reads on from there, under the same filters."})
    from_date = Bound(metadata={"description": "A date (its whole day in UTC) or an RFC 3339 time, included."})
    to_date = Bound(metadata={"description": "A date (its whole day in UTC) or an RFC 3339 time, included."})

    @post_load
    def build(self, data: dict[str, Any], **_: object) -> Any:
        between = read_period(data.pop("from_date", None), data.pop("to_date", None))
        data |= {"from_": between.from_, "to": between.to}
        return self.filters(**data) if self.filters else data


def read_period(first: tuple[datetime, bool] | None, last: tuple[datetime, bool] | None) -> Since:
    if first and last and first[0] > last[0]:
        raise ValidationError({"from_date": ["It is after to_date: swap the two."]})
    return Since(from_=first[0] if first else None, to=end_of(*last) if last else None)


def end_of(moment: datetime, whole_day: bool) -> datetime:
    """The first moment that is no longer included."""
    try:
        return moment + (timedelta(days=1) if whole_day else timedelta(microseconds=1))
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def from_form(schema: Schema, form: MultiDict[str, str]) -> dict[str, Any]:
    """A submitted form as the JSON a program would have sent: numbers, lists and yes-or-no as such, empty fields left out."""
    found: dict[str, Any] = {}
    for name, field in schema.load_fields.items():
        key = field.data_key or name
        value = form.get(key)
        if isinstance(field, Flag):
            found[key] = value is not None and value not in ("", "false", "0", "off")
        elif isinstance(field, List):
            found |= {key: form.getlist(key)} if key in form else {}
        elif value is not None and value != "":
            found[key] = int(value) if isinstance(field, Integer) and value.isascii() and value.isdigit() and len(value) < 20 else value
    return found
