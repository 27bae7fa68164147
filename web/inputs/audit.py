"""What may be asked of the audit log."""

from domain.audit.queries import AuditFilters
from web.inputs import ListQuery
from web.inputs.fields import Text, Words


class AuditQuery(ListQuery):
    filters = AuditFilters

    actor = Text(max=320, metadata={"description": "An admin's id or e-mail address, or a name such as System."})
    action = Words(metadata={"description": "One or several with commas, as in refund.approved,refund.rejected."})
    object_type = Text(max=50, metadata={"example": "refund_requests"})
    object_id = Text(max=100)
    request_id = Text(max=100, metadata={"description": "All that one request did: the `X-Request-Id` of its answer."})
    ip = Text(max=64, metadata={"description": "The address that the request came from.", "example": "203.0.113.7"})
    q = Text(max=200, metadata={"description": "Part of whatever an entry tells. It reads every entry that fits the rest: give days too."})
