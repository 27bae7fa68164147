"""After a restore: what the gateways have paid since, of which the restored data have no refund at all.

Where the live data are lost with the machine, so is every refund that was asked for and paid after the backup. What is left of its payment
would be paid out once more: each is noted as one that was made elsewhere, which lowers what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from domain.db import read_only
from domain.marketplace.models import Payment
from domain.refunds.gateway import Facts, Gateways, Pending, Processed, RetryLater, Unknown
from domain.refunds.models import ExternalRefund, Refund
from domain.refunds.settlement import Transactions
from domain.refunds.webhooks import find_attempt, note_external

NAMED = 500
MARGIN = timedelta(hours=1)
"""The gateway's clock is another; what is known already is noted once however often it is listed."""


@dataclass(frozen=True)
class Noted:
    """A refund that the gateway has made, and that no row of ours ordered."""

    gateway: str
    transaction_id: str
    payment_id: str | None
    amount_cents: int
    currency: str


@dataclass
class Listing:
    """`unread`: why a gateway could not list all of them."""

    count: int = 0
    lines: list[Noted] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def add(self, gateway: str, facts: Facts) -> None:
        self.count += 1
        if len(self.lines) < NAMED:
            payment_id = next(iter(facts.payment_ids), None)
            self.lines.append(Noted(gateway, facts.gateway_refund_id, payment_id, facts.amount_cents, facts.currency.upper()[:3]))

    def plain(self) -> dict[str, Any]:
        return {"noted": self.count, "noted_refunds": [asdict(line) for line in self.lines], "unread": self.unread}


def note_unknown(
    transactions: Transactions, gateways: Gateways, since: datetime, swapped_at: datetime, told: Callable[[], None]
) -> Listing:
    """Note them. Done again it finds the same. `told` is called for each that is listed, and may raise to stop."""
    listing = Listing()
    with read_only(), transactions() as session:
        used = sorted(session.scalars(select(Payment.provider).distinct()))
    for name in used:
        gateway, seen = gateways.get(name), set[str]()
        for outcome in gateway.made_since(since - MARGIN) if gateway else ():
            told()
            if isinstance(outcome, Unknown | RetryLater):
                listing.unread.append(outcome.message)
            elif isinstance(outcome, Processed | Pending) and outcome.facts.gateway_refund_id not in seen:
                seen.add(outcome.facts.gateway_refund_id)
                if is_unknown(transactions, name, outcome.facts, swapped_at):
                    with transactions() as session:
                        note_external(session, name, outcome)
                    listing.add(name, outcome.facts)
    return listing


def is_unknown(transactions: Transactions, gateway: str, facts: Facts, swapped_at: datetime) -> bool:
    """Whether it lowers what is left of a payment of ours, and no row that was restored says so. A refund that is there was asked about by
    itself."""
    with read_only(), transactions() as session:
        ours = select(Payment.id).where(Payment.provider == gateway, Payment.provider_payment_id.in_(facts.payment_ids))
        if session.scalar(ours) is None or find_attempt(session, gateway, facts) is not None:
            return False
        if facts.refund_id is not None and session.get(Refund, facts.refund_id) is not None:
            return False
        this = ExternalRefund.gateway == gateway, ExternalRefund.gateway_refund_id == facts.gateway_refund_id
        return session.scalar(select(ExternalRefund.id).where(*this, ExternalRefund.seen_at < swapped_at)) is None
