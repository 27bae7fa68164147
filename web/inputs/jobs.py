"""What may be asked about jobs, whichever door it comes through, and what each job that people start is told."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, post_load, validate

from domain.jobs.models import JobStatus
from domain.jobs.queries import JobFilters
from domain.jobs.types import ANALYTICS_EXPORT, AUDIT_EXPORT, BULK_OPERATION, JOB_TYPES
from domain.refunds.models import Alternative
from web.inputs import SAID, Input, ListQuery
from web.inputs.fields import Choice, Choices, Day, Flag, Id, Text, Words

MOST_REFUNDS = 500


def one_of(name: str, words: Iterable[str]) -> type[StrEnum]:
    return StrEnum(name, {word.upper(): word for word in words})  # type: ignore[return-value]


JobTypeName = one_of("JobTypeName", JOB_TYPES)


class JobQuery(ListQuery):
    filters = JobFilters

    status = Choices(JobStatus)
    type = Choices(JobTypeName)
    creator_id = Id(metadata={"description": "The admin who started it."})
    q = Text(max=200, metadata={"description": "Part of a type's name or of the metadata."})


class JobCancellation(Input):
    reason = Text(max=2000, allow_none=True, metadata={"description": "Kept with the job and in the audit log."})


class ReportType(StrEnum):
    BOOKINGS = "bookings"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    REFERRALS = "referrals"


class Format(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"


class Action(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


class ExportStart(Input):
    type = Choice(one_of("ExportType", [ANALYTICS_EXPORT.name]), required=True)
    report_type = Choice(ReportType, required=True)
    from_ = Day(
        data_key="from", allow_none=True, load_default=None, metadata={"description": "The first day (UTC); from the beginning if null."}
    )
    to = Day(allow_none=True, load_default=None, metadata={"description": "The last day (UTC), included; to this moment if null."})
    format = Choice(Format, load_default=Format.CSV)

    @post_load
    def parameters(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        first, last = data["from_"], data["to"]
        if first and last and first > last:
            raise ValidationError({"from": ["It is after to: swap the two."]})
        return {"report_type": str(data["report_type"]), "from": written(first), "to": written(last), "format": str(data["format"])}


def written(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


class AuditExportStart(Input):
    type = Choice(one_of("AuditExportType", [AUDIT_EXPORT.name]), required=True)
    from_ = Day(
        data_key="from", allow_none=True, load_default=None, metadata={"description": "The first day (UTC); from the beginning if null."}
    )
    to = Day(allow_none=True, load_default=None, metadata={"description": "The last day (UTC), included; to this moment if null."})
    format = Choice(Format, load_default=Format.CSV)
    actor = Text(max=320, metadata={"description": "An admin's id or e-mail address, or a name such as System."})
    action = Words(metadata={"description": "One or several with commas, as in refund.approved,refund.rejected."})
    object_type = Text(max=50)
    object_id = Text(max=100)
    request_id = Text(max=100)
    ip = Text(max=64)
    q = Text(max=200, metadata={"description": "Part of whatever an entry tells."})

    @post_load
    def parameters(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        first, last = data.pop("from_"), data.pop("to")
        del data["type"]
        if first and last and first > last:
            raise ValidationError({"from": ["It is after to: swap the two."]})
        narrowed = {name: list(value) if isinstance(value, tuple) else value for name, value in data.items() if value}
        return {"from": written(first), "to": written(last), **narrowed, "format": str(data["format"])}


class BulkStart(Input):
    type = Choice(one_of("BulkType", [BULK_OPERATION.name]), required=True)
    action = Choice(Action, required=True)
    refund_ids = fields.List(
        Id(),
        required=True,
        validate=validate.Length(min=1, max=MOST_REFUNDS, error="Send {min} to {max} ids."),
        error_messages={"required": "It is missing.", "null": "It cannot be null.", "invalid": "Send a list of ids."},
        metadata={"description": "Each once; decided in this order.", "uniqueItems": True},
    )
    reason = Text(required=True, min=3, max=2000, metadata={"description": "Told to each customer and kept in the audit log."})
    admin_notes = Text(max=5000, allow_none=True, load_default=None, metadata={"description": "For admins only."})
    notify_user = Flag(load_default=True)
    notify_vendor = Flag(load_default=True, metadata={"description": "With approve."})
    offer_alternative = Choice(Alternative, load_default=Alternative.NONE, metadata={"description": "With reject."})

    @post_load
    def parameters(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        ids = [str(refund_id) for refund_id in data["refund_ids"]]
        if len(set(ids)) != len(ids):
            raise ValidationError({"refund_ids": ["An id stands in it twice: send each once."]})
        words = {name: str(data[name]) for name in ("action", "reason", "offer_alternative")}
        return {"refund_ids": ids, **words, **{name: data[name] for name in ("admin_notes", "notify_user", "notify_vendor")}}


STARTS: dict[str, type[Input]] = {
    ANALYTICS_EXPORT.name: ExportStart,
    AUDIT_EXPORT.name: AuditExportStart,
    BULK_OPERATION.name: BulkStart,
}


class JobStart(Schema):
    """Any job that people start: `type` says which schema of STARTS the rest must fit. Loads to {"type", "parameters"}."""

    class Meta:
        unknown = INCLUDE

    error_messages = SAID

    type = Choice(one_of("StartableType", STARTS), required=True)

    @post_load(pass_original=True)
    def parameters(self, data: dict[str, Any], original: dict[str, Any], **_: object) -> dict[str, Any]:
        return {"type": str(data["type"]), "parameters": STARTS[data["type"]]().load(original)}
