"""Orders as the settlement would give them to a gateway."""

from dataclasses import replace
from uuid import UUID, uuid4

from domain.refunds.gateway import Gateway, Order


def make_order(
    gateway: Gateway,
    *,
    payment: str = "pay_29QQoUBi66xm2f",
    amount: int = 50000,
    currency: str = "INR",
    refund_id: UUID | None = None,
    attempt: int = 1,
) -> Order:
    refund_id = refund_id or uuid4()
    order = Order(
        refund_id=refund_id,
        refund_number="RF-2026-000042",
        attempt=attempt,
        key=f"rr-{refund_id}-a{attempt}",
        provider_payment_id=payment,
        amount_cents=amount,
        currency=currency,
    )
    return replace(order, body=gateway.prepare(order))
