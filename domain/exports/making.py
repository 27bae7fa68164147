"""Making an export: who it is made for, which rows are in it, and the rows themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, joinedload

from domain import audit
from domain.access import SYSTEM, Actor, Permission
from domain.errors import Forbidden
from domain.exports.cells import Row
from domain.exports.reports import REPORTS
from domain.exports.request import ExportRequest, Format, read_audit_request, read_request
from domain.identity.models import Admin
from domain.jobs.models import Job
from domain.jobs.types import ANALYTICS_EXPORT, AUDIT_EXPORT, type_of

READ_AT_ONCE = 1000
EXPORTS = (ANALYTICS_EXPORT.name, AUDIT_EXPORT.name)


@dataclass(frozen=True)
class Export:
    """One that may be made. `emails`: whether its reader may see customers' addresses."""

    request: ExportRequest
    creator: Actor
    emails: bool

    @property
    def header(self) -> tuple[str, ...]:
        return REPORTS[self.request.report_type].header

    def keys(self, session: Session) -> Iterator[Sequence[UUID]]:
        """The ids of all rows in their order, some thousand at a time."""
        found = session.scalars(REPORTS[self.request.report_type].keys(self.request), execution_options={"yield_per": 10 * READ_AT_ONCE})
        return iter(found.partitions())

    def rows(self, session: Session, ids: Sequence[UUID]) -> list[Row]:
        """These rows as they are now, in this order, without those that no longer fit what was asked for."""
        found = REPORTS[self.request.report_type].rows(session, self.request, ids, self.emails)
        return [found[id] for id in ids if id in found]


def prepare(session: Session, job: Job) -> Export:
    """What the job asks for, if its creator may still have it: the role counts as it is now. Raises Invalid, Forbidden."""
    request = read_audit_request(job.payload) if job.type == AUDIT_EXPORT.name else read_request(job.payload)
    creator = creator_now(session, job)
    for permission in type_of(job.type).permissions(job.payload):
        creator.require(permission)
    return Export(request, creator, creator.can(Permission.USERS_VIEW_PII))


def creator_now(session: Session, job: Job) -> Actor:
    admin = session.get(Admin, job.creator_id, options=[joinedload(Admin.role, innerjoin=True)]) if job.creator_id else None
    if admin is None or not admin.active:
        raise Forbidden("Whoever started this export is no longer an active admin.")
    return Actor(admin_id=admin.id, name=admin.name, permissions=frozenset(admin.role.permissions))


def record_finished(session: Session, job: Job, export: Export, result: dict[str, Any]) -> None:
    """Note what left the database: the portal made the file, for the admin named with it."""
    asked = {name: value for name, value in job.payload.items() if value not in (None, "", [])}
    audit.record(
        session,
        SYSTEM,
        "export.finished",
        job,
        creator_id=job.creator_id,
        creator=export.creator.name,
        filters=asked,
        emails=export.emails,
        **result,
    )


def stored_name(job: Job) -> str | None:
    """Where in storage the export's file is or would be; None for a job that is no export."""
    format = job.payload.get("format") or "csv"
    return f"exports/{job.id}.{format}" if job.type in EXPORTS and format in set(Format) else None
