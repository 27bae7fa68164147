from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.audit.recording import moment
from domain.db import dump_json
from domain.exports.cells import Row
from domain.exports.request import ExportRequest


class Entries:
    """The audit log, newest first, narrowed as its list is. The hashes are in it, so that the file can be held against the log later."""

    header = tuple(
        """number entry_id created_at action actor_id actor_name object_type object_id before after details
        ip user_agent request_id previous_hash hash""".split()
    )

    def keys(self, request: ExportRequest) -> Select[UUID]:
        wanted = select(AuditEntry.id).where(*request.entries.conditions())
        if request.entries.action:
            wanted = wanted.where(AuditEntry.action.in_(request.entries.action))
        return wanted.order_by(AuditEntry.sequence.desc())

    def rows(self, session: Session, request: ExportRequest, ids: Sequence[UUID], emails: bool) -> dict[UUID, Row]:
        return {entry.id: line(entry) for entry in session.scalars(select(AuditEntry).where(AuditEntry.id.in_(ids)))}


def line(entry: AuditEntry) -> Row:
    return (
        *(entry.sequence, str(entry.id), moment(entry.created_at), entry.action),
        *(None if entry.actor_id is None else str(entry.actor_id), entry.actor_name, entry.object_type, entry.object_id),
        *(None if told is None else dump_json(told) for told in (entry.before, entry.after, entry.details)),
        *(entry.ip, entry.user_agent, entry.request_id, entry.previous_hash, entry.hash),
    )
