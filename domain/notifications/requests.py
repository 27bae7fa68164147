"""Asking for messages, in the transaction of the change they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.access import EVERYTHING, Permission
from domain.db import now
from domain.identity.models import Admin, Invitation
from domain.jobs.commands import enqueue
from domain.jobs.models import Job
from domain.jobs.types import NOTIFICATION
from domain.marketplace.models import User, Vendor
from domain.refunds.models import Refund, RefundApproval, RefundStatus
from domain.roles.models import Role

# The gateway is being asked at this very moment: a little later the customer can be told what it answered.
UNTIL_THE_GATEWAY_ANSWERED = timedelta(seconds=10)


class Notice(StrEnum):
    REFUND_APPROVED = "refund_approved"
    REFUND_REJECTED = "refund_rejected"
    REFUND_FAILED = "refund_failed"
    SECOND_APPROVAL_WANTED = "second_approval_wanted"
    ADMIN_INVITED = "admin_invited"
    BACKUPS_FAILING = "backups_failing"
    BACKUPS_WELL = "backups_well"


class Audience(StrEnum):
    USER = "user"
    VENDOR = "vendor"
    ADMIN = "admin"
    INVITED = "invited"


def request_decision(session: Session, refund: Refund, *, user: bool, vendor: bool) -> list[Job]:
    """Tell the customer, the vendor or both what was decided."""
    notice = Notice.REFUND_REJECTED if refund.status == RefundStatus.REJECTED else Notice.REFUND_APPROVED
    wanted = [(Audience.USER, refund.user_id)] if user else []
    if vendor:
        wanted.append((Audience.VENDOR, refund.vendor_id))
    return written(request(session, notice, refund, audience, recipient_id) for audience, recipient_id in wanted)


def request_second_approval(session: Session, refund: Refund) -> list[Job]:
    """Ask every admin who may give the second approval, now that the first is there."""
    return written(
        request(session, Notice.SECOND_APPROVAL_WANTED, refund, Audience.ADMIN, admin_id)
        for admin_id in others_who_may_approve(session, refund)
    )


def request_failure(session: Session, refund: Refund) -> Job | None:
    """Tell the admin whose approval made it final that the gateway declined; nobody where the portal does not know who that was."""
    if refund.approved_by is None:
        return None
    return request(session, Notice.REFUND_FAILED, refund, Audience.ADMIN, refund.approved_by)


def request_invitation(session: Session, invitation: Invitation) -> Job:
    """Send somebody who is to become an admin the link that lets them in."""
    about = {"notice": str(Notice.ADMIN_INVITED), "audience": str(Audience.INVITED), "recipient_id": str(invitation.id)}
    return enqueue(session, NOTIFICATION.name, metadata=about)


def request_alarm(session: Session, notice: Notice, about: Mapping[str, str | None]) -> list[Job]:
    """Tell every super admin how the portal's backups stand."""
    return [
        enqueue(
            session,
            NOTIFICATION.name,
            metadata={"notice": str(notice), "audience": str(Audience.ADMIN), "recipient_id": str(admin_id), **about},
        )
        for admin_id in super_admins(session)
        if address_of(session, Audience.ADMIN, admin_id)
    ]


def super_admins(session: Session) -> list[UUID]:
    """Those who are active."""
    admins = session.execute(
        select(Admin.id, Role).join(Admin.role).where(Admin.disabled_at.is_(None)).order_by(Admin.created_at, Admin.id)
    )
    return [admin_id for admin_id, role in admins if role.allows_everything]


def request(session: Session, notice: Notice, refund: Refund, audience: Audience, recipient_id: UUID) -> Job | None:
    """Write down that somebody is to be told; None, and nothing written, where there is no address on file."""
    if not address_of(session, audience, recipient_id):
        return None
    waits = UNTIL_THE_GATEWAY_ANSWERED if (notice, audience) == (Notice.REFUND_APPROVED, Audience.USER) else timedelta()
    return enqueue(
        session,
        NOTIFICATION.name,
        metadata={
            "notice": str(notice),
            "audience": str(audience),
            "recipient_id": str(recipient_id),
            "refund_id": str(refund.id),
            "refund_number": refund.refund_number,
        },
        run_after=now() + waits,
    )


def written(jobs: Iterable[Job | None]) -> list[Job]:
    return [job for job in jobs if job is not None]


def address_of(session: Session, audience: Audience, recipient_id: UUID) -> str | None:
    column, key = {
        Audience.USER: (User.email, User.id),
        Audience.VENDOR: (Vendor.email, Vendor.id),
        Audience.ADMIN: (Admin.email, Admin.id),
        Audience.INVITED: (Invitation.email, Invitation.id),
    }[audience]
    return (session.scalar(select(column).where(key == recipient_id)) or "").strip() or None


def others_who_may_approve(session: Session, refund: Refund) -> list[UUID]:
    """Active admins with the permission, but for the one who approved last."""
    latest = (
        select(RefundApproval.admin_id).where(RefundApproval.refund_id == refund.id).order_by(RefundApproval.created_at.desc()).limit(1)
    )
    approver = session.scalar(latest)
    admins = session.execute(
        select(Admin.id, Role.permissions).join(Admin.role).where(Admin.disabled_at.is_(None)).order_by(Admin.created_at, Admin.id)
    )
    return [admin_id for admin_id, permissions in admins if admin_id != approver and may_approve(permissions)]


def may_approve(permissions: list[str]) -> bool:
    return EVERYTHING in permissions or Permission.REFUNDS_APPROVE.value in permissions
