"""What may be asked of the audit log."""

from collections.abc import Mapping
from typing import Any

from domain.audit.queries import AuditFilters
from web.inputs import ListQuery
from web.inputs.fields import Text

MOST_WORDS = 20


class Words(Text):
    """One word or several with commas between; answers a tuple."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        return tuple(dict.fromkeys(word.strip() for word in text.split(",", MOST_WORDS)[:MOST_WORDS] if word.strip()))


class AuditQuery(ListQuery):
    filters = AuditFilters

    actor = Text(max=320, metadata={"description": "An admin's id or e-mail address, or a name such as System."})
    action = Words(metadata={"description": "One or several with commas, as in refund.approved,refund.rejected."})
    object_type = Text(max=50, metadata={"example": "refund_requests"})
    object_id = Text(max=100)
