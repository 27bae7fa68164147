"""A gateway for tests of the domain: it keeps a ledger, honours keys and does what its script says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import uuid4

from domain.refunds.gateway import (
    Absent,
    Facts,
    Finding,
    GatewayNotice,
    Order,
    Pending,
    Processed,
    Rejected,
    RetryLater,
    Unknown,
    Verdict,
)


class ScriptedGateway:
    """`script` holds what the next calls of create() do: "ok", "pending", "lost" (taken, the answer lost), "vanished" (nothing taken,
    no answer), "busy", "declined", "other_amount". When it is empty, "ok"."""

    name = "sandbox"

    def __init__(self, *script: str):
        self.script = list(script)
        self.ledger: dict[str, Facts] = {}
        self.status: dict[str, str] = {}
        self.calls: list[str] = []
        self.lookups_fail = self.lists_fail = False
        self.before_answer = lambda order: None

    def prepare(self, order: Order) -> bytes:
        return f"{order.refund_id}:{order.amount_cents}".encode()

    def create(self, order: Order, *, deadline: float | None = None) -> Verdict:
        self.calls.append("create")
        act = self.script.pop(0) if self.script else "ok"
        if act == "busy":
            return RetryLater(2, "Too many requests")
        if act == "vanished":
            return Unknown("The connection was reset")
        if act == "declined":
            return Rejected("card_closed", "The card was closed")
        facts = self.ledger.setdefault(
            order.key,
            Facts(
                gateway_refund_id=f"re_{uuid4().hex[:12]}",
                amount_cents=order.amount_cents - (1 if act == "other_amount" else 0),
                currency=order.currency.lower(),
                provider_payment_id=order.provider_payment_id,
                refund_id=order.refund_id,
                attempt=order.attempt,
            ),
        )
        self.status.setdefault(facts.gateway_refund_id, "pending" if act == "pending" else "processed")
        self.before_answer(order)
        return Unknown("No answer in time") if act == "lost" else self.verdict(facts)

    def find(self, order: Order, *, deadline: float | None = None) -> Finding:
        self.calls.append("find")
        if self.lookups_fail:
            return Unknown("The look-up failed")
        if order.lost:
            made = [facts for facts in self.ledger.values() if facts.refund_id == order.refund_id]
            return self.verdict(made[-1]) if made else Absent()
        return self.verdict(self.ledger[order.key]) if order.key in self.ledger else Absent()

    def get(self, gateway_refund_id: str, order: Order, *, deadline: float | None = None) -> Finding:
        self.calls.append("get")
        return self.verdict(self.ledger[order.key])

    def made_since(self, moment: datetime) -> Iterator[Processed | Pending | Rejected | Unknown | RetryLater]:
        self.calls.append("made_since")
        yield from [self.verdict(facts) for facts in self.ledger.values()]
        if self.lists_fail:
            yield Unknown("The list broke off")

    def verdict(self, facts: Facts) -> Processed | Pending | Rejected:
        status = self.status[facts.gateway_refund_id]
        if status == "failed":
            return Rejected("bank_refused", "The bank sent it back", facts)
        return Pending(facts) if status == "pending" else Processed(facts)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str]) -> GatewayNotice:
        raise AssertionError("the domain never reads a webhook's bytes")
