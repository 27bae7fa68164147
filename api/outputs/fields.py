"""How values look to programs."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import fields


class Moment(fields.DateTime):
    """RFC 3339 in UTC with Z; the fraction only where there is one."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
