"""Reading refunds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session, contains_eager, joinedload

from domain.access import Actor, Permission
from domain.audit.models import AuditEntry
from domain.audit.queries import list_for_object
from domain.db import now
from domain.errors import NotFound
from domain.identity.models import Admin
from domain.marketplace.models import Booking, Payment, User
from domain.pagination import Page, PageRequest, Position, cut, window
from domain.referrals.rewards import Reward, rewards_of_booking
from domain.refunds.models import (
    ExternalRefund,
    ProcessingState,
    Refund,
    RefundApproval,
    RefundAttempt,
    RefundStatus,
)
from domain.refunds.policy import APPROVAL_LASTS, RefundPolicy

SECOND_APPROVAL = "second_approval"


class Dated(StrEnum):
    """Which of its moments a refund is found by."""

    REQUESTED = "requested"
    DECIDED = "decided"
    PAID = "paid"


MOMENTS = {
    Dated.REQUESTED: (Refund.requested_at,),
    Dated.DECIDED: (Refund.approved_at, Refund.rejected_at),
    Dated.PAID: (Refund.processed_at,),
}


@dataclass(frozen=True)
class RefundFilters(PageRequest):
    """What a list of refunds is narrowed to. `from_` and `to` bound the moment that `dated` names: from included, to excluded."""

    status: tuple[str, ...] = ()
    user_id: UUID | None = None
    vendor_id: UUID | None = None
    from_: datetime | None = None
    to: datetime | None = None
    dated: str | None = None  # None: by when it was requested
    min_amount: int | None = None
    max_amount: int | None = None
    awaiting: str | None = None
    approver_id: UUID | None = None  # only those whose second approval this admin may give
    processing_state: tuple[str, ...] = ()
    currency: str | None = None
    reason: str | None = None
    priority: tuple[str, ...] = ()
    q: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Every filter but `status`: what the summary counts over."""
        found: list[ColumnElement[bool]] = []
        if self.user_id is not None:
            found.append(Refund.user_id == self.user_id)
        if self.vendor_id is not None:
            found.append(Refund.vendor_id == self.vendor_id)
        if self.from_ is not None or self.to is not None:
            found.append(or_(*(within(moment, self.from_, self.to) for moment in MOMENTS[Dated(self.dated or Dated.REQUESTED)])))
        if self.min_amount is not None:
            found.append(Refund.requested_amount_cents >= self.min_amount)
        if self.max_amount is not None:
            found.append(Refund.requested_amount_cents <= self.max_amount)
        if self.awaiting == SECOND_APPROVAL:
            found.append(Refund.status == RefundStatus.PENDING)
            found.append(live_approvals() > 0)
        if self.approver_id is not None:
            found += awaiting_approval_of(self.approver_id)
        if self.processing_state:
            found.append(Refund.processing_state.in_(self.processing_state))
        if self.currency is not None:
            found.append(Refund.currency == self.currency)
        if self.reason is not None:
            found.append(Refund.reason == self.reason)
        if self.priority:
            found.append(Refund.priority.in_(self.priority))
        if self.q:
            found.append(
                or_(
                    Refund.refund_number.icontains(self.q, autoescape=True),
                    Booking.booking_number.icontains(self.q, autoescape=True),
                    User.name.icontains(self.q, autoescape=True),
                    User.email.icontains(self.q, autoescape=True),
                )
            )
        return found


def within(moment: Any, first: datetime | None, end: datetime | None) -> ColumnElement[bool]:
    return and_(*([moment >= first] if first is not None else []), *([moment < end] if end is not None else []))


def awaiting_approval_of(admin_id: UUID | None) -> list[ColumnElement[bool]]:
    """Pending, approved by somebody, and not by this admin: nobody gives both approvals."""
    own = exists().where(
        RefundApproval.refund_id == Refund.id, RefundApproval.admin_id == admin_id, RefundApproval.created_at > now() - APPROVAL_LASTS
    )
    return [Refund.status == RefundStatus.PENDING, live_approvals() > 0, ~own]


@dataclass
class RefundRow:
    """One line of the queue: a refund with its payment, booking, user and vendor loaded."""

    refund: Refund
    approvals_received: int


def list_refunds(session: Session, actor: Actor, filters: RefundFilters, policy: RefundPolicy) -> Page[RefundRow]:
    """A page of refunds, newest first, in two queries: the rows, and the counts behind every tab."""
    actor.require(Permission.REFUNDS_LIST)
    rows = (
        select(Refund, live_approvals())
        .join(Refund.booking)
        .join(Refund.user)
        .where(*filters.conditions())
        .options(
            contains_eager(Refund.user),
            contains_eager(Refund.booking),
            joinedload(Refund.payment, innerjoin=True),
            joinedload(Refund.vendor, innerjoin=True),
        )
    )
    if filters.status:
        rows = rows.where(Refund.status.in_(filters.status))
    found = session.execute(window(rows, filters, Refund.requested_at.expression, Refund.id.expression)).all()
    items, more = cut([RefundRow(refund, approvals) for refund, approvals in found], filters)
    summary = summarise_refunds(session, actor, filters, policy)
    return Page(
        items=items,
        total_items=sum(summary[status] for status in filters.status or tuple(RefundStatus)),
        request=filters,
        next_cursor=Position(items[-1].refund.requested_at, items[-1].refund.id).encode() if more else None,
        summary=summary,
    )


def summarise_refunds(session: Session, actor: Actor, filters: RefundFilters, policy: RefundPolicy) -> dict[str, Any]:
    """Counts per status under every filter but `status`, and what is pending per currency in its minor units."""
    actor.require(Permission.REFUNDS_LIST)
    counted = select(
        Refund.status, Refund.currency, Refund.processing_state, func.count(), func.sum(Refund.requested_amount_cents)
    ).group_by(Refund.status, Refund.currency, Refund.processing_state)
    if filters.q:
        counted = counted.join(Refund.booking).join(Refund.user)
    summary: dict[str, Any] = {str(status): 0 for status in RefundStatus}
    pending: dict[str, int] = {}
    processing = dict.fromkeys((str(ProcessingState.FAILED), str(ProcessingState.UNKNOWN)), 0)
    for status, currency, state, count, total in session.execute(counted.where(*filters.conditions())):
        summary[status] += count
        if status == RefundStatus.PENDING:
            pending[currency] = pending.get(currency, 0) + int(total)
        if state in processing:
            processing[state] += count
    return summary | {
        "total_amount_pending_cents": pending.get(policy.default_currency, 0),
        "by_currency": dict(sorted(pending.items())),
        "processing": processing,
    }


def live_approvals() -> Any:
    """How many approvals of a refund still count: not lapsed, by admins who are still active."""
    return (
        select(func.count())
        .select_from(RefundApproval)
        .join(Admin, Admin.id == RefundApproval.admin_id)
        .where(
            RefundApproval.refund_id == Refund.id,
            RefundApproval.created_at > now() - APPROVAL_LASTS,
            Admin.disabled_at.is_(None),
        )
        .correlate(Refund)
        .scalar_subquery()
    )


@dataclass(frozen=True)
class MoneyBox:
    """What is left of a payment, in minor units of its currency."""

    currency: str
    paid_cents: int
    refunded_cents: int
    refundable_cents: int
    approved_cents: int  # approved over all its refunds, failed ones too: what the dual-approval limit is held against
    dual_limit_cents: int | None


@dataclass(frozen=True)
class RefundDetail:
    refund: Refund
    approvals: Sequence[RefundApproval]
    live_approvals: Sequence[RefundApproval]
    attempts: Sequence[RefundAttempt]
    timeline: Sequence[AuditEntry]
    siblings: Sequence[Refund]
    money: MoneyBox
    admins: dict[UUID, Admin] = field(default_factory=dict)
    policy: RefundPolicy | None = None
    rewards: Sequence[Reward] = ()  # that the booking helped to earn

    @property
    def approvals_received(self) -> int:
        return len(self.live_approvals)

    def approvals_required(self, amount_cents: int | None = None) -> int:
        """How many approvals this amount (by default what was requested) needs on top of the payment's other refunds."""
        assert self.policy is not None
        own = self.refund.approved_amount_cents if self.refund.decided_for else None
        amount = own or amount_cents or self.refund.requested_amount_cents
        others = self.money.approved_cents - (own or 0)
        return 2 if self.policy.needs_two(self.refund.currency, others + amount) else 1


def get_refund(session: Session, actor: Actor, refund_id: UUID, policy: RefundPolicy) -> RefundDetail:
    """One refund with all that is known of it. Raises NotFound."""
    actor.require(Permission.REFUNDS_LIST)
    refund = session.scalar(
        select(Refund)
        .where(Refund.id == refund_id)
        .options(
            joinedload(Refund.payment, innerjoin=True),
            joinedload(Refund.booking, innerjoin=True),
            joinedload(Refund.user, innerjoin=True),
            joinedload(Refund.vendor, innerjoin=True),
        )
    )
    if refund is None:
        raise NotFound("There is no refund with this id.")
    approvals = session.scalars(
        select(RefundApproval)
        .where(RefundApproval.refund_id == refund_id)
        .options(joinedload(RefundApproval.admin, innerjoin=True).joinedload(Admin.role, innerjoin=True))
        .order_by(RefundApproval.created_at)
    ).all()
    attempts = session.scalars(select(RefundAttempt).where(RefundAttempt.refund_id == refund_id).order_by(RefundAttempt.number)).all()
    siblings = session.scalars(
        select(Refund).where(Refund.payment_id == refund.payment_id, Refund.id != refund_id).order_by(Refund.requested_at.desc()).limit(50)
    ).all()
    people = {refund.approved_by, refund.rejected_by, refund.requested_by_admin_id} - {None}
    admins = {admin.id: admin for admin in session.scalars(select(Admin).where(Admin.id.in_(people)))} if people else {}
    return RefundDetail(
        refund=refund,
        approvals=approvals,
        live_approvals=[approval for approval in approvals if counts(approval)],
        attempts=attempts,
        timeline=list_for_object(session, Refund, refund_id)[::-1],
        siblings=siblings,
        money=money_box(session, refund.payment, policy),
        admins={key: value for key, value in admins.items() if key is not None},
        policy=policy,
        rewards=rewards_of_booking(session, actor, refund.booking_id),
    )


def counts(approval: RefundApproval) -> bool:
    """Whether a first approval still stands: fresh enough, by someone who may still approve."""
    return (
        approval.created_at > now() - APPROVAL_LASTS
        and approval.admin.active
        and Actor(admin_id=approval.admin_id, name=approval.admin.name, permissions=frozenset(approval.admin.role.permissions)).can(
            Permission.REFUNDS_APPROVE
        )
    )


def money_box(session: Session, payment: Payment, policy: RefundPolicy, *, without: UUID | None = None) -> MoneyBox:
    """What was given back of a payment and what is left, leaving one refund out of the count."""
    decided = session.execute(
        select(Refund.id, Refund.approved_amount_cents, Refund.processing_state).where(
            Refund.payment_id == payment.id, Refund.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSED))
        )
    ).all()
    elsewhere = session.scalar(
        select(func.coalesce(func.sum(ExternalRefund.amount_cents), 0)).where(ExternalRefund.payment_id == payment.id, made_elsewhere())
    )
    others = [row for row in decided if row.id != without]
    taken = sum(row.approved_amount_cents for row in others if row.processing_state != ProcessingState.FAILED) + int(elsewhere or 0)
    return MoneyBox(
        currency=payment.currency,
        paid_cents=payment.amount_cents,
        refunded_cents=taken,
        refundable_cents=max(payment.amount_cents - taken, 0) if payment.captured else 0,
        approved_cents=sum(row.approved_amount_cents for row in others),
        dual_limit_cents=policy.limit(payment.currency),
    )


def made_elsewhere() -> ColumnElement[bool]:
    """External refunds that took money. One that was told of while a restore had made us forget that we ordered it counts as ours."""
    ours = exists().where(
        RefundAttempt.gateway == ExternalRefund.gateway, RefundAttempt.gateway_refund_id == ExternalRefund.gateway_refund_id
    )
    return ExternalRefund.failed.is_(False) & ~ours


def lock_refund(session: Session, refund_id: UUID) -> Refund:
    """Fetch a refund to change it; whoever else wants to waits here rather than deciding twice. Raises NotFound."""
    refund = session.get(Refund, refund_id, with_for_update=True, populate_existing=True)
    if refund is None:
        raise NotFound("There is no refund with this id.")
    return refund


def lock_payment(session: Session, payment_id: UUID) -> Payment:
    """Fetch a payment whose refunds are about to change. Always before `lock_refund`, or two acts could wait for each other."""
    payment = session.get(Payment, payment_id, with_for_update=True, populate_existing=True)
    if payment is None:
        raise NotFound("There is no payment with this id.")
    return payment


def lock_for_decision(session: Session, refund_id: UUID) -> tuple[Payment, Refund]:
    """Both rows a decision rests on, locked in their order."""
    payment_id = session.scalar(select(Refund.payment_id).where(Refund.id == refund_id))
    if payment_id is None:
        raise NotFound("There is no refund with this id.")
    return lock_payment(session, payment_id), lock_refund(session, refund_id)
