"""What the objects of entries are called. An object that is gone has no name any more; its entries stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.identity.models import Admin, AdminSession, Invitation
from domain.jobs.models import Job
from domain.jobs.types import type_of
from domain.marketplace.models import Payment
from domain.refunds.models import Refund
from domain.restores.models import Kind, Restore
from domain.roles.models import Role

Object = tuple[str, str]
Names = dict[Object, str]


def name_objects(session: Session, entries: Iterable[AuditEntry]) -> Names:
    """The names of what these entries are about, one query for each kind of object."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.object_type in NAMED and entry.object_id is not None:
            wanted[entry.object_type].add(entry.object_id)
    return {(kind, id): name for kind, ids in wanted.items() for id, name in NAMED[kind](session, ids).items()}


def uuids(ids: Collection[str]) -> list[UUID]:
    found = []
    for id in ids:
        try:
            found.append(UUID(id))
        except ValueError:
            continue
    return found


def refunds(session: Session, ids: Collection[str]) -> dict[str, str]:
    return {str(id): number for id, number in session.execute(select(Refund.id, Refund.refund_number).where(Refund.id.in_(uuids(ids))))}


def payments(session: Session, ids: Collection[str]) -> dict[str, str]:
    found = session.execute(select(Payment.id, Payment.provider_payment_id).where(Payment.id.in_(uuids(ids))))
    return {str(id): reference for id, reference in found if reference}


def jobs(session: Session, ids: Collection[str]) -> dict[str, str]:
    found = session.execute(select(Job.id, Job.type).where(Job.id.in_(uuids(ids)), Job.deleted_at.is_(None)))
    return {str(id): f"{type_of(type).title} {str(id)[:8]}" for id, type in found}


def admins(session: Session, ids: Collection[str]) -> dict[str, str]:
    return {str(id): name for id, name in session.execute(select(Admin.id, Admin.name).where(Admin.id.in_(uuids(ids))))}


def sessions(session: Session, ids: Collection[str]) -> dict[str, str]:
    found = session.execute(
        select(AdminSession.id, Admin.name).join(Admin, Admin.id == AdminSession.admin_id).where(AdminSession.id.in_(uuids(ids)))
    )
    return {str(id): f"of {name}" for id, name in found}


def roles(session: Session, ids: Collection[str]) -> dict[str, str]:
    return dict(session.execute(select(Role.id, Role.name).where(Role.id.in_(ids))).all())


def invitations(session: Session, ids: Collection[str]) -> dict[str, str]:
    found = session.execute(select(Invitation.id, Invitation.name).where(Invitation.id.in_(uuids(ids))))
    return {str(id): f"of {name}" for id, name in found}


def backups(_session: Session, ids: Collection[str]) -> dict[str, str]:
    """They are no rows: one that was removed is said not to be there by its page."""
    return {id: id[:8] for id in ids}


def restores(session: Session, ids: Collection[str]) -> dict[str, str]:
    found = session.execute(select(Restore.id, Restore.kind).where(Restore.id.in_(uuids(ids))))
    return {str(id): f"{str(id)[:8]}, a {kind}" if kind != Kind.RESTORE else str(id)[:8] for id, kind in found}


NAMED: dict[str, Callable[[Session, Collection[str]], dict[str, str]]] = {
    Refund.__tablename__: refunds,
    Payment.__tablename__: payments,
    Job.__tablename__: jobs,
    Admin.__tablename__: admins,
    AdminSession.__tablename__: sessions,
    Role.__tablename__: roles,
    Invitation.__tablename__: invitations,
    "backups": backups,
    Restore.__tablename__: restores,
}
