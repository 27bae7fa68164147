"""Backups as programs see them."""

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, fields

from api.envelope import ListMeta
from api.outputs.fields import Moment
from domain.backups.commands import Asked
from domain.backups.manifest import Manifest
from domain.backups.standing import Standing, State, reachable_until
from domain.backups.vault import Span
from domain.pagination import Page


class BackupAskedSchema(Schema):
    job_id = fields.UUID(required=True)
    status = fields.String(required=True, metadata={"enum": ["pending"]})
    estimated_duration_seconds = fields.Integer(required=True, metadata={"description": "From earlier backups and the database's size."})


class VerificationSchema(Schema):
    at = Moment(required=True)
    ok = fields.Boolean(required=True)
    what = fields.String(required=True, metadata={"description": "What was compared, or what is wrong."})


class UploadsSchema(Schema):
    kind = fields.String(
        required=True,
        metadata={"enum": ["copied", "versions"], "description": "Copied into the backups, or noted as versions that the bucket keeps."},
    )
    count = fields.Integer(required=True)
    bytes = fields.Integer(required=True)
    new_count = fields.Integer(required=True, metadata={"description": "That the backup before did not have, or not so."})
    new_bytes = fields.Integer(required=True)
    stored_bytes = fields.Integer(required=True, metadata={"description": "What was added on disk: each content is stored once."})
    vanished = fields.Integer(required=True, metadata={"description": "Removed before they could be read."})
    torn = fields.Integer(required=True, metadata={"description": "Changed whenever they were read."})
    skipped = fields.Integer(required=True, metadata={"description": "Links and the like, which are not kept."})


class BackupSchema(Schema):
    id = fields.UUID(required=True)
    backup_type = fields.String(required=True, metadata={"enum": ["full", "incremental"]})
    effective_type = fields.String(
        required=True, metadata={"description": "What it came to be: an incremental one with nothing to stand on is full; `note` says why."}
    )
    engine = fields.String(required=True, metadata={"enum": ["sqlite", "postgresql"]})
    description = fields.String(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)
    created_by = fields.String(required=True)
    job_id = fields.UUID(required=True, allow_none=True)
    parent_id = fields.UUID(required=True, allow_none=True, metadata={"description": "The backup that this one stands on."})
    snapshot_at = Moment(required=True, metadata={"description": "The moment whose state it holds."})
    started_at = Moment(required=True)
    finished_at = Moment(required=True)
    size_bytes = fields.Integer(required=True, metadata={"description": "What it takes up as stored."})
    database_bytes = fields.Integer(required=True)
    uploads = fields.Nested(
        UploadsSchema, required=True, allow_none=True, metadata={"description": "What of the storage is in it; null: nothing."}
    )
    encrypted = fields.Boolean(required=True)
    verified = fields.Nested(VerificationSchema, required=True, allow_none=True)
    reachable_until = Moment(
        required=True,
        allow_none=True,
        metadata={
            "description": "A restore of it may name any `target_timestamp` from `snapshot_at` to this; `snapshot_at` itself where it "
            "holds that moment alone, null where it, or what it stands on, is damaged or was never verified."
        },
    )
    schema_revision = fields.String(required=True)
    app_version = fields.String(required=True)
    engine_version = fields.String(required=True)


class BackupDetailSchema(BackupSchema):
    row_counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    audit_head = fields.String(required=True, metadata={"description": "The end of the audit chain in it: `flask audit verify --noted`."})


class SpanSchema(Schema):
    start = Moment(required=True)
    end = Moment(required=True, metadata={"description": "The same as `start` where that moment alone can be reached."})


class BackupSummarySchema(Schema):
    verified = fields.Integer(required=True, metadata={"description": "Those that can be restored, with all that they stand on."})
    unreadable = fields.Integer(required=True, metadata={"description": "Those whose manifest was damaged, or signed with another key."})
    stored_bytes = fields.Integer(required=True)
    newest_verified_at = Moment(required=True, allow_none=True)
    coverage = fields.List(
        fields.Nested(SpanSchema),
        required=True,
        allow_none=True,
        metadata={"description": "The moments that can be reached, oldest first; null while the backups' programs do not tell."},
    )
    reasons = fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, metadata={"description": "Why a figure is null, by its name."}
    )


class BackupListMeta(ListMeta):
    summary = fields.Nested(BackupSummarySchema, required=True)  # type: ignore[assignment]


def asked(found: Asked) -> dict[str, Any]:
    return {"job_id": found.job.id, "status": "pending", "estimated_duration_seconds": found.estimated_duration_seconds}


def whole(page: Page[Manifest], standing: Standing) -> dict[str, Any]:
    spans = page.summary["coverage"]
    return {"data": [listed(manifest, standing, spans) for manifest in page], "meta": page.meta}


def listed(manifest: Manifest, standing: Standing, spans: Sequence[Span] | None) -> dict[str, Any]:
    verified = standing.states.get(manifest.id) is State.VERIFIED
    renamed = {
        "backup_type": str(manifest.type),
        "size_bytes": manifest.stored_bytes,
        "verified": manifest.verified,
        "reachable_until": reachable_until(spans or (), manifest) if verified else None,
    }
    return {name: renamed.get(name, getattr(manifest, name, None)) for name in BackupSchema._declared_fields}


def detailed(manifest: Manifest, standing: Standing, spans: Sequence[Span] | None) -> dict[str, Any]:
    return listed(manifest, standing, spans) | {
        "row_counts": manifest.row_counts,
        "audit_head": f"{manifest.audit_sequence}:{manifest.audit_hash}",
    }
