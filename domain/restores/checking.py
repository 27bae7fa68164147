"""After a restore: what the gateways say of each refund that may be paid, or may have been, against what the rows say.

    paid by our books      -> the gateway is asked for that refund; it should have it
    decided, not yet paid  -> the gateway is searched for an order of ours; what it has is taken over
    waiting for a decision -> the same: money that moved, and that the restored data know nothing of, is shown as paid and never paid again
    not there at all       -> the gateway lists what it paid since: what no refund of ours ordered lowers what is left of its payment

Done again it finds the same: what was taken over is paid by our books then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.db import now, read_only
from domain.marketplace.models import Payment
from domain.refunds import verdicts
from domain.refunds.gateway import Absent, Facts, Finding, Gateways, Order, Pending, Processed, Rejected, RetryLater, Unknown
from domain.refunds.models import AttemptState, ProcessingState, Refund, RefundAttempt, RefundStatus
from domain.refunds.queries import lock_for_decision
from domain.refunds.settlement import Transactions, order_of
from domain.restores.listing import note_unknown
from domain.restores.models import Restore

NAMED = 500
"""So many refunds at most are named in a report; all are counted."""
AT_ONCE = 4
"""So many refunds are asked about at the same time: a gateway takes its time for each."""
SILENT_AFTER = 20
"""A gateway that could not tell so many times in a row is asked no more: to wait in vain for each answer would freeze payouts for hours."""


class Ruling(StrEnum):
    AGREES = "agrees"  # paid by our books and by the gateway's
    TAKEN_OVER = "taken_over"  # paid, and the restored data did not know it
    NOTHING_FOUND = "nothing_found"  # waiting, and the gateway has no order of ours
    DIFFERS = "differs"  # the gateway says otherwise than our books
    UNCERTAIN = "uncertain"  # the gateway could not tell


@dataclass(frozen=True)
class Line:
    """What came of one refund."""

    refund_id: str
    refund_number: str
    ruling: Ruling
    amount_cents: int
    currency: str
    gateway: str
    transaction_id: str | None = None
    message: str | None = None


@dataclass
class Report:
    counts: dict[str, int] = field(default_factory=lambda: {str(ruling): 0 for ruling in Ruling})
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        self.counts[line.ruling] += 1
        if line.ruling is not Ruling.NOTHING_FOUND and len(self.lines) < NAMED:
            self.lines.append(line)

    def plain(self) -> dict[str, Any]:
        named = [asdict(line) | {"ruling": str(line.ruling)} for line in self.lines]
        return {**self.counts, "looked_at": sum(self.counts.values()), "refunds": named}


def compare(transactions: Transactions, gateways: Gateways, restore_id: UUID, told: Callable[[int, int], None]) -> dict[str, Any]:
    """Compare and write the report; answers it. `told` hears how many of how many refunds were looked at, and may raise to stop."""
    with read_only(), transactions() as session:
        since, swapped_at = begin_of_doubt(session, restore_id)
        ids = list(session.scalars(doubtful(since)))
    report, silences = Report(), Counter[str]()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="comparing") as pool:
        try:
            for done, line in enumerate(pool.map(partial(compare_one, transactions, gateways, silences), ids)):
                told(done, len(ids))
                report.add(line)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    listing = note_unknown(transactions, gateways, since, swapped_at, lambda: told(len(ids), len(ids)))
    whole = report.plain() | listing.plain()
    with transactions() as session:
        restore = session.get_one(Restore, restore_id, with_for_update=True)
        restore.report, restore.checked_at = whole, now()
        audit.record(session, SYSTEM, "restore.checked", restore, after=report.counts | {"noted": listing.count})
    return whole


def begin_of_doubt(session: Session, restore_id: UUID) -> tuple[datetime, datetime]:
    """The earliest moment that this restore, or one before it that nobody has acknowledged, went back to; and when it became live."""
    restore = session.get_one(Restore, restore_id)
    unread = select(Restore).where(Restore.acknowledged_at.is_(None), Restore.swapped_at <= restore.swapped_at)
    doubtful = [restore, *session.scalars(unread)]
    return min(each.reached_at for each in doubtful), min(each.swapped_at for each in doubtful)


def doubtful(since: datetime) -> Any:
    """Refunds that are not paid by our books, those whose money was asked for since, and those that somebody has rejected since."""
    asked_since = select(RefundAttempt.refund_id).where(
        or_(RefundAttempt.created_at >= since, RefundAttempt.last_sent_at >= since, RefundAttempt.finished_at >= since)
    )
    open_ones = Refund.status.in_((RefundStatus.PENDING, RefundStatus.APPROVED))
    rejected_since = (Refund.status == RefundStatus.REJECTED) & (Refund.rejected_at >= since)
    return select(Refund.id).where(or_(open_ones, rejected_since, Refund.id.in_(asked_since))).order_by(Refund.requested_at, Refund.id)


def compare_one(transactions: Transactions, gateways: Gateways, silences: Counter[str], refund_id: UUID) -> Line:
    with read_only(), transactions() as session:
        refund = session.get_one(Refund, refund_id)
        payment = session.get_one(Payment, refund.payment_id)
        attempts = attempts_of(session, refund_id)
    known = next((attempt for attempt in attempts if attempt.gateway_refund_id and attempt.state != AttemptState.FAILED), None)
    gateway = gateways.get(payment.provider)
    if gateway is None:
        message = f"This version of the portal does not know the gateway {payment.provider!r}."
        return line_of(refund, payment, Ruling.UNCERTAIN, message=message)
    if silences[payment.provider] >= SILENT_AFTER:
        message = f"{payment.provider} was not asked about it, since it could not tell {SILENT_AFTER} times in a row: compare again."
        return line_of(refund, payment, Ruling.UNCERTAIN, message=message)
    if known is not None and known.gateway_refund_id is not None:
        finding = gateway.get(known.gateway_refund_id, order_of(refund, known))
    else:
        finding = gateway.find(lost_order(refund, payment))
    silences[payment.provider] = silences[payment.provider] + 1 if isinstance(finding, Unknown | RetryLater) else 0
    if known is not None:
        return agreement(refund, payment, known, finding)
    if isinstance(finding, Processed | Pending):
        with transactions() as session:
            return take_over(session, refund_id, finding)
    if isinstance(finding, Absent | Rejected):
        return line_of(refund, payment, Ruling.NOTHING_FOUND)
    return line_of(refund, payment, Ruling.UNCERTAIN, message=finding.message)


def attempts_of(session: Session, refund_id: UUID) -> list[RefundAttempt]:
    return list(session.scalars(select(RefundAttempt).where(RefundAttempt.refund_id == refund_id).order_by(RefundAttempt.number)))


def agreement(refund: Refund, payment: Payment, attempt: RefundAttempt, finding: Finding) -> Line:
    facts = {"transaction_id": attempt.gateway_refund_id}
    if isinstance(finding, Processed | Pending):
        return line_of(refund, payment, Ruling.AGREES, **facts)
    if isinstance(finding, Absent):
        return line_of(refund, payment, Ruling.DIFFERS, message="The gateway knows no such refund.", **facts)
    if isinstance(finding, Rejected):
        return line_of(refund, payment, Ruling.DIFFERS, message=f"The gateway failed this refund: {finding.message}", **facts)
    return line_of(refund, payment, Ruling.UNCERTAIN, message=finding.message, **facts)


def lost_order(refund: Refund, payment: Payment) -> Order:
    """Whatever was sent for it: the restored data may have lost the last attempts, and how much was approved."""
    return Order(
        refund_id=refund.id,
        refund_number=refund.refund_number,
        attempt=1,
        key=f"rr-{refund.id}-a1",
        provider_payment_id=payment.provider_payment_id,
        amount_cents=refund.approved_amount_cents or refund.requested_amount_cents,
        currency=refund.currency,
        lost=True,
    )


def take_over(session: Session, refund_id: UUID, finding: Processed | Pending) -> Line:
    """The gateway has paid it: what our books do not know of that is written down, as it was when it was paid."""
    payment, refund = lock_for_decision(session, refund_id)
    facts, attempts = finding.facts, attempts_of(session, refund_id)
    named = {"transaction_id": facts.gateway_refund_id}
    attempt = next((one for one in attempts if one.number == facts.attempt), None)
    if attempt is not None and attempt.state == AttemptState.FAILED and attempt.gateway_refund_id == facts.gateway_refund_id:
        return line_of(refund, payment, Ruling.DIFFERS, message="The gateway has made this refund; by our books it failed.", **named)
    if attempt is None and (facts.attempt is None or facts.amount_cents > refund.requested_amount_cents):
        message = f"The gateway has made a refund of {facts.amount_cents} for it, which was not ours to order."
        return line_of(refund, payment, Ruling.UNCERTAIN, message=message, **named)
    if refund.status != RefundStatus.PROCESSED:
        before = str(refund.status)
        if attempt is None or not refund.decided_for:
            refund.approved_amount_cents = facts.amount_cents
        refund.status, refund.approved_at = RefundStatus.APPROVED, refund.approved_at or now()
        refund.processing_state = ProcessingState.UNKNOWN
        found = {**named, "gateway": payment.provider}
        audit.record(session, SYSTEM, "refund.found_paid", refund, before={"status": before}, after={"status": "approved"}, **found)
    if attempt is None:
        attempt = lost_attempt(session, refund, payment, attempts, facts)
    session.flush()
    verdicts.adopt(session, refund, attempt, finding)
    if not refund.refund_processed:
        return line_of(refund, payment, Ruling.UNCERTAIN, message=refund.processing_message, **named)
    return line_of(refund, payment, Ruling.TAKEN_OVER, **named)


def lost_attempt(session: Session, refund: Refund, payment: Payment, attempts: list[RefundAttempt], facts: Facts) -> RefundAttempt:
    """The attempt that made it, as it was. There was one more only because those before it had failed."""
    assert facts.attempt is not None
    for earlier in attempts:
        if earlier.state != AttemptState.FAILED:
            earlier.state, earlier.finished_at, earlier.next_check_at = AttemptState.FAILED, now(), None
            earlier.message = f"The gateway has made the refund by attempt {facts.attempt}."
    session.flush()  # at most one may be open
    attempt = RefundAttempt(
        refund_id=refund.id,
        number=facts.attempt,
        gateway=payment.provider,
        gateway_key=f"rr-{refund.id}-a{facts.attempt}",
        provider_payment_id=payment.provider_payment_id,
        amount_cents=facts.amount_cents,
        currency=refund.currency,
        body=b"",
        state=AttemptState.UNKNOWN,
        checks=0,
    )
    session.add(attempt)
    return attempt


def line_of(refund: Refund, payment: Payment, ruling: Ruling, *, transaction_id: str | None = None, message: str | None = None) -> Line:
    amount = refund.approved_amount_cents or refund.requested_amount_cents
    return Line(str(refund.id), refund.refund_number, ruling, amount, refund.currency, payment.provider, transaction_id, message)
