"""Restores as programs see them."""

from typing import Any

from marshmallow import Schema, fields

from api.outputs.fields import Moment
from domain.restores.commands import Asked
from domain.restores.models import Restore
from domain.restores.queries import Detail


class RestoreAskedSchema(Schema):
    job_id = fields.UUID(required=True)
    status = fields.String(required=True, metadata={"enum": ["pending"]})
    warning = fields.String(required=True)


class CheckAskedSchema(Schema):
    job_id = fields.UUID(required=True)
    status = fields.String(required=True, metadata={"enum": ["pending"]})


class RestoreSchema(Schema):
    id = fields.UUID(required=True, metadata={"description": "Also the id of the job that did it, unless it was done on the command line."})
    kind = fields.String(required=True, metadata={"enum": ["restore", "rollback"]})
    backup_id = fields.UUID(required=True, allow_none=True)
    undone_id = fields.UUID(required=True, allow_none=True, metadata={"description": "The restore that a rollback took back."})
    target_timestamp = Moment(required=True, allow_none=True)
    recovered_to = Moment(required=True, metadata={"description": "The moment that was reached, never later than asked for."})
    requested_by = fields.String(required=True)
    started_at = Moment(required=True)
    swapped_at = Moment(required=True, metadata={"description": "When the restored data became the live ones."})
    frozen_ms = fields.Integer(required=True, allow_none=True, metadata={"description": "For how long nobody could write."})
    safety_backup_id = fields.UUID(required=True, allow_none=True)
    refunds_carried = fields.Integer(
        required=True,
        metadata={"description": "Refunds decided for since: they are as they were, not as the backup has them."},
    )
    rows_left_out = fields.Integer(required=True)
    kept_until = Moment(required=True, allow_none=True, metadata={"description": "Until then the replaced data can be put back."})
    rolled_back_at = Moment(required=True, allow_none=True)
    checked_at = Moment(required=True, allow_none=True, metadata={"description": "When the refunds were compared with the gateways."})
    acknowledged_at = Moment(required=True, allow_none=True, metadata={"description": "Until then no refund is approved or paid."})
    acknowledged_by = fields.String(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)


class ComparedRefundSchema(Schema):
    refund_id = fields.UUID(required=True)
    refund_number = fields.String(required=True)
    ruling = fields.String(required=True, metadata={"enum": ["agrees", "taken_over", "differs", "uncertain"]})
    amount_cents = fields.Integer(required=True)
    currency = fields.String(required=True)
    gateway = fields.String(required=True)
    transaction_id = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)


class NotedRefundSchema(Schema):
    gateway = fields.String(required=True)
    transaction_id = fields.String(required=True)
    payment_id = fields.String(required=True, allow_none=True, metadata={"description": "The gateway's."})
    amount_cents = fields.Integer(required=True)
    currency = fields.String(required=True)


class ReportSchema(Schema):
    looked_at = fields.Integer(required=True)
    agrees = fields.Integer(required=True, metadata={"description": "Paid by our books and by the gateway's."})
    taken_over = fields.Integer(required=True, metadata={"description": "Paid, and the restored data did not know it: shown as paid now."})
    nothing_found = fields.Integer(required=True, metadata={"description": "Not paid by our books, and the gateway has no order of ours."})
    differs = fields.Integer(required=True, metadata={"description": "The gateway says otherwise than our books."})
    uncertain = fields.Integer(required=True, metadata={"description": "The gateway could not tell: acknowledging takes a note."})
    refunds = fields.List(fields.Nested(ComparedRefundSchema), required=True, metadata={"description": "At most 500 of them."})
    noted = fields.Integer(metadata={"description": "Paid since, and of no refund that is there: noted, so that it is not paid again."})
    noted_refunds = fields.List(fields.Nested(NotedRefundSchema), metadata={"description": "At most 500 of them."})
    unread = fields.List(fields.String(), metadata={"description": "Why a gateway could not list them: acknowledging takes a note."})


class UploadsReportSchema(Schema):
    added = fields.Integer(required=True, metadata={"description": "Stored files that were not there and are again."})
    added_bytes = fields.Integer(required=True)
    same = fields.Integer(required=True)
    changed = fields.Integer(required=True, metadata={"description": "There with another content, and left so."})
    missing = fields.Integer(required=True, metadata={"description": "Not there, and could not be brought back."})
    changed_names = fields.List(fields.String(), required=True, metadata={"description": "The first twenty."})
    missing_names = fields.List(fields.String(), required=True, metadata={"description": "The first twenty."})
    problem = fields.String(required=True, allow_none=True, metadata={"description": "What stopped it."})


class LeftOutSchema(Schema):
    table = fields.String(required=True, attribute="table_name")
    row = fields.Dict(required=True, attribute="contents")
    reason = fields.String(required=True)


class RestoreDetailSchema(RestoreSchema):
    carried = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "Live rows by table."})
    left_out = fields.List(fields.Nested(LeftOutSchema), required=True, metadata={"description": "Live rows that did not fit."})
    uploads = fields.Nested(UploadsReportSchema, required=True, allow_none=True, metadata={"description": "Null: the backup has no files."})
    report = fields.Nested(ReportSchema, required=True, allow_none=True)
    can_roll_back = fields.Boolean(required=True)
    checking_job_id = fields.UUID(required=True, allow_none=True)


def asked(found: Asked) -> dict[str, Any]:
    return {"job_id": found.job.id, "status": "pending", "warning": found.warning}


def listed(restore: Restore) -> dict[str, Any]:
    renamed = {
        "target_timestamp": restore.target_at,
        "recovered_to": restore.reached_at,
        "refunds_carried": restore.carried["refunds"],
        "rows_left_out": restore.left_out,
    }
    return {name: renamed[name] if name in renamed else getattr(restore, name) for name in RestoreSchema._declared_fields}


def detailed(detail: Detail) -> dict[str, Any]:
    return listed(detail.restore) | {
        "carried": detail.restore.carried["rows"],
        "left_out": detail.left_out,
        "uploads": detail.restore.uploads,
        "report": detail.restore.report,
        "can_roll_back": detail.can_roll_back,
        "checking_job_id": detail.checking and detail.checking.id,
    }
