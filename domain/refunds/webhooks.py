"""What gateways tell on their own: each event once, in any order, also before the answer it is about."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.marketplace.models import Payment
from domain.refunds.gateway import Facts, GatewayNotice, Pending, Processed, Rejected
from domain.refunds.models import ExternalRefund, GatewayEvent, RefundAttempt
from domain.refunds.queries import lock_payment, lock_refund
from domain.refunds.verdicts import adopt

log = logging.getLogger(__name__)


def receive(session: Session, gateway: str, notice: GatewayNotice) -> bool:
    """Act on one verified event; False if it had been taken before (then nothing happens)."""
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    values = {"gateway": gateway, "event_id": notice.event_id, "type": notice.type[:100], "payload": notice.payload}
    made = session.execute(insert(GatewayEvent).values(**values).on_conflict_do_nothing().returning(GatewayEvent.id)).first()
    if made is None:
        return False
    verdict = notice.verdict
    if verdict is None or verdict.facts is None:
        return True
    attempt = find_attempt(session, gateway, verdict.facts)
    if attempt is None:
        note_external(session, gateway, verdict)
        return True
    refund = lock_refund(session, attempt.refund_id)
    session.refresh(attempt, with_for_update=True)
    adopt(session, refund, attempt, verdict)
    return True


def find_attempt(session: Session, gateway: str, facts: Facts) -> RefundAttempt | None:
    """The attempt that ordered this refund: by the gateway's id where we know it, else by our mark in its metadata."""
    known = session.scalar(
        select(RefundAttempt).where(RefundAttempt.gateway == gateway, RefundAttempt.gateway_refund_id == facts.gateway_refund_id)
    )
    if known is not None or facts.refund_id is None:
        return known
    marked = select(RefundAttempt).where(RefundAttempt.gateway == gateway, RefundAttempt.refund_id == facts.refund_id)
    if facts.attempt is not None:
        marked = marked.where(RefundAttempt.number == facts.attempt)
    return session.scalars(marked.order_by(RefundAttempt.number.desc()).limit(1)).first()


def note_external(session: Session, gateway: str, verdict: Processed | Pending | Rejected) -> None:
    """A refund that somebody made at the gateway itself: it lowers what is left of the payment."""
    facts = verdict.facts
    assert facts is not None
    payment_id = session.scalar(select(Payment.id).where(Payment.provider == gateway, Payment.provider_payment_id.in_(facts.payment_ids)))
    if payment_id is None:
        log.warning("%s told of refund %s of a payment that is not ours", gateway, facts.gateway_refund_id)
        return
    payment = lock_payment(session, payment_id)
    known = session.scalar(
        select(ExternalRefund).where(ExternalRefund.gateway == gateway, ExternalRefund.gateway_refund_id == facts.gateway_refund_id)
    )
    failed = isinstance(verdict, Rejected)
    if known is None:
        known = ExternalRefund(
            payment_id=payment_id,
            gateway=gateway,
            gateway_refund_id=facts.gateway_refund_id,
            amount_cents=facts.amount_cents,
            currency=facts.currency.upper()[:3],
            failed=failed,
        )
        session.add(known)
        audit.record(
            session,
            SYSTEM,
            "refund.made_elsewhere",
            payment,
            amount_cents=facts.amount_cents,
            currency=facts.currency.upper()[:3],
            gateway=gateway,
            transaction_id=facts.gateway_refund_id,
        )
    elif failed and not known.failed:
        known.failed = True
        audit.record(
            session,
            SYSTEM,
            "refund.failed_elsewhere",
            payment,
            before={"failed": False},
            after={"failed": True},
            gateway=gateway,
            transaction_id=facts.gateway_refund_id,
        )
