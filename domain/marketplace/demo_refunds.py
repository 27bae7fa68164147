"""Making up the demo's refunds and what has become of each. Decisions rest on the same policy as real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import cycle
from random import Random
from uuid import uuid4

from domain.identity.models import Admin
from domain.jobs.models import Job
from domain.jobs.types import NEVER_GIVEN_UP, REFUND_PROCESSING
from domain.marketplace import demo_texts as texts
from domain.marketplace.demo_markets import AMERICA, INDIA, JAPAN, KUWAIT, Market
from domain.marketplace.demo_trade import Purchase, Traders, kept
from domain.marketplace.models import Payment
from domain.refunds.gateway import Gateway
from domain.refunds.models import (
    Alternative,
    AttemptState,
    Priority,
    ProcessingState,
    Refund,
    RefundApproval,
    RefundAttempt,
    RefundStatus,
    Requester,
)
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import order_of

SPECIAL = range(99_001, 99_007)
"""Amounts that the sandbox gateway treats in a way of its own (docs/gateways.md): one pending request each. Prices come in steps
that no other amount can meet them."""
ROUND = ((INDIA, False), (JAPAN, False), (INDIA, True), (AMERICA, False), (KUWAIT, False), (INDIA, False), (AMERICA, True))
LARGE = ("moving", "photography")
LOCAL_SHARE = {"INR": 0.25, "USD": 0.0, "JPY": 0.65, "KWD": 0.4}
EVIDENCE = (("image", "photo-{}.jpg"), ("image", "chat-{}.png"), ("document", "receipt-{}.pdf"), ("video", "visit-{}.mp4"))
CALLED_OFF = ("booking_cancelled", "vendor_unavailable")
FIRST_NUMBER = 1200
AGAIN_WITHIN = 200
"""How many of the payments with a refund may get another one."""


class Fate(Enum):
    """What has become of a refund by now."""

    PENDING = "pending"
    REJECTED = "rejected"
    PROCESSED = "processed"
    QUEUED = "queued"  # approved a moment ago: the worker orders it
    UNKNOWN = "unknown"  # ordered, and the answer was lost: the worker looks it up
    ACCEPTED = "accepted"  # taken by the gateway: final at the next look
    FAILED = "failed"  # declined: a person decides what next


@dataclass
class Requests:
    """What was made up, ready to be added; `orders` are to be placed with the gateway before that."""

    refunds: list[Refund] = field(default_factory=list)
    approvals: list[RefundApproval] = field(default_factory=list)
    attempts: list[RefundAttempt] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    orders: list[tuple[Refund, RefundAttempt]] = field(default_factory=list)
    last_numbers: dict[int, int] = field(default_factory=dict)


class Requesters:
    def __init__(
        self, moment: datetime, random: Random, traders: Traders, approvers: Sequence[Admin], policy: RefundPolicy, gateway: Gateway
    ):
        self.moment, self.random, self.traders = moment, random, traders
        self.approvers, self.policy, self.gateway = approvers, policy, gateway
        self.rows = Requests()
        self.refunded: list[Purchase] = []
        self.waiting = 0
        self.specials, self.hostile, self.round = list(SPECIAL), list(texts.HOSTILE), cycle(ROUND)

    def everything(self, count: int) -> Requests:
        for fate, requested_at in self.plan(count):
            self.refund(fate, requested_at)
        return self.rows

    def plan(self, refunds: int) -> list[tuple[Fate, datetime]]:
        """The fates and when each refund was asked for, oldest first, so that numbers rise with time."""
        waiting, rejected = max(18, refunds * 9 // 100), refunds * 14 // 100
        moving = max(2, refunds * 3 // 100)
        fates: list[tuple[Fate, float]] = [(Fate.PENDING, 4 * 2100 ** (i / (waiting - 1))) for i in range(waiting)]
        for fate, count in ((Fate.QUEUED, 3), (Fate.UNKNOWN, 2), (Fate.ACCEPTED, moving), (Fate.FAILED, moving // 2 + 1)):
            fates += [(fate, 60 * self.random.uniform(8, 90)) for _ in range(count)]
        fates += [(Fate.REJECTED, 60 * self.random.uniform(60, 24 * 170)) for _ in range(rejected)]
        fates += [(Fate.PROCESSED, 60 * self.random.uniform(60, 24 * 180)) for _ in range(max(0, refunds - len(fates)))]
        plan = [(fate, self.moment - timedelta(minutes=minutes)) for fate, minutes in fates[:refunds]]
        return sorted(plan, key=lambda planned: planned[1])

    def refund(self, fate: Fate, requested_at: datetime) -> None:
        self.waiting += fate is Fate.PENDING
        special = self.specials.pop(0) if fate is Fate.PENDING and self.waiting >= 6 and self.waiting % 2 == 0 and self.specials else None
        hostile = self.hostile.pop(0) if fate is Fate.PENDING and self.waiting % 4 == 1 and self.hostile else None
        if special is not None:
            purchase, requested = self.traders.purchase(INDIA, requested_at, special // 100 * 200), special
        elif hostile is not None:
            purchase, requested = self.first_request(requested_at, INDIA, service=hostile[0])
        elif fate is Fate.PENDING:
            purchase, requested = self.next_in_round(requested_at)
        else:
            purchase, requested = self.any_request(requested_at)
        number = self.number(requested_at)
        asked_by = Requester.USER if special or hostile else self.requester(fate)
        reason, description = hostile[1:] if hostile else self.words(asked_by, purchase)
        if reason in CALLED_OFF:
            purchase.booking.status = "cancelled"
        refund = Refund(
            id=uuid4(),
            refund_number=number,
            payment_id=purchase.payment.id,
            booking_id=purchase.booking.id,
            user_id=purchase.booking.user_id,
            vendor_id=purchase.booking.vendor_id,
            currency=purchase.payment.currency,
            status=RefundStatus.PENDING,
            requested_amount_cents=requested,
            reason=reason,
            description=self.filled(description, purchase.market) if description else None,
            evidence=self.evidence(number) if asked_by == Requester.USER else [],
            requested_at=requested_at,
            requested_by=asked_by,
            requested_by_admin_id=self.approvers[0].id if asked_by == Requester.ADMIN else None,
            priority=self.random.choices(list(Priority), (8, 70, 18, 4))[0],
            updated_at=requested_at,
        )
        self.rows.refunds.append(refund)
        if fate is Fate.PENDING:
            self.wait(refund, purchase)
        elif fate is Fate.REJECTED:
            self.reject(refund)
        else:
            self.approve(refund, purchase, fate)

    def next_in_round(self, requested_at: datetime) -> tuple[Purchase, int]:
        """Pending requests come in every currency, and some are too much for one admin to approve."""
        market, large = next(self.round)
        if not large:
            return self.any_request(requested_at, market)
        amount = round(market.most * self.random.uniform(0.7, 1.0) / market.step) * market.step
        return self.traders.purchase(market, requested_at, amount, self.random.choice(LARGE)), amount

    def any_request(self, requested_at: datetime, market: Market | None = None) -> tuple[Purchase, int]:
        """Of a payment that nothing was asked back of yet or, now and then, of one that had a refund."""
        market = market or self.traders.market()
        again = [purchase for purchase in self.refunded if purchase.market is market and purchase.left >= market.step]
        if again and self.random.random() < 0.12:
            purchase = self.random.choice(again)
            return purchase, self.traders.part(purchase.left, market)
        return self.first_request(requested_at, market)

    def first_request(self, requested_at: datetime, market: Market, service: str | None = None) -> tuple[Purchase, int]:
        purchase = self.traders.purchase(market, requested_at, service=service)
        whole = purchase.payment.amount_cents
        return purchase, whole if self.random.random() < 0.55 else self.traders.part(whole, market)

    def number(self, requested_at: datetime) -> str:
        year, numbers = requested_at.year, self.rows.last_numbers
        numbers[year] = numbers.get(year, 0 if numbers else FIRST_NUMBER) + 1
        return f"RF-{year}-{numbers[year]:06d}"

    def requester(self, fate: Fate) -> Requester:
        """An admin's own request is approved as it is made, so none of them waits or was rejected."""
        admins = 3 if fate is Fate.PROCESSED else 0
        return self.random.choices((Requester.USER, Requester.SYSTEM, Requester.VENDOR, Requester.ADMIN), (84, 9, 5, admins))[0]

    def words(self, asked_by: Requester, purchase: Purchase) -> tuple[str, str | None]:
        others = {
            Requester.SYSTEM: texts.FROM_SYSTEM,
            Requester.VENDOR: texts.FROM_VENDOR,
            Requester.ADMIN: texts.FROM_ADMIN,
        }
        if asked_by in others:
            return self.random.choice(others[asked_by])
        local = [(reason, text) for service, reason, text in texts.LOCAL[purchase.payment.currency] if service == purchase.service]
        if local and self.random.random() < LOCAL_SHARE[purchase.payment.currency]:
            return self.random.choice(local)
        return self.random.choice(texts.COMPLAINTS[purchase.service])

    def filled(self, text: str, market: Market) -> str:
        return text.format(
            day=self.random.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")),
            time=f"{self.random.randint(8, 18)}:{self.random.choice(('00', '15', '30', '45'))}",
            minutes=self.random.randrange(35, 185, 5),
            worker=self.random.choice(market.workers),
        )

    def evidence(self, number: str) -> list[dict[str, str]]:
        pieces = self.random.choices(EVIDENCE, (5, 2, 2, 1), k=self.random.choices((0, 1, 2, 3), (40, 34, 18, 8))[0])
        folder = f"https://evidence.example.com/{number.lower()}"
        return [{"type": kind, "url": f"{folder}/{name.format(place)}"} for place, (kind, name) in enumerate(pieces, 1)]

    def wait(self, refund: Refund, purchase: Purchase) -> None:
        """Pending; of those that need two approvals half have the first."""
        requested = refund.requested_amount_cents
        if self.needs_two(purchase, requested) and self.random.random() < 0.5:
            refund.updated_at = refund.requested_at + (self.moment - refund.requested_at) * 0.6
            self.approval(refund, self.random.choice(self.approvers[:2]), requested, refund.updated_at)

    def reject(self, refund: Refund) -> None:
        reason, alternative = self.random.choice(texts.REJECTED_BECAUSE)
        refund.status = RefundStatus.REJECTED
        refund.rejected_at = refund.updated_at = refund.requested_at + self.traders.hours(0.3, 50)
        refund.rejected_by = self.random.choice(self.approvers).id
        refund.decision_reason, refund.offer_alternative = reason, Alternative(alternative)
        refund.admin_notes = self.note()

    def approve(self, refund: Refund, purchase: Purchase, fate: Fate) -> None:
        amount = refund.requested_amount_cents
        if refund.requested_by != Requester.ADMIN and self.random.random() < 0.1:
            amount = self.traders.part(amount, purchase.market)
        decided = self.decided_at(refund, fate)
        *first, last = self.who(refund, 2 if self.needs_two(purchase, amount) else 1)
        for admin in first:
            self.approval(refund, admin, amount, refund.requested_at + (decided - refund.requested_at) * 0.7)
        approval = self.approval(refund, last, amount, decided)
        refund.status, refund.approved_amount_cents = RefundStatus.APPROVED, amount
        refund.approved_at, refund.approved_by, refund.decision_reason = decided, last.id, approval.reason
        refund.admin_notes, refund.updated_at = self.note(), decided
        others = [other for other in self.refunded if other.payment is not purchase.payment]
        self.refunded = [*others, purchase.less(amount)][-AGAIN_WITHIN:]
        self.settle(refund, purchase.payment, fate, decided)

    def decided_at(self, refund: Refund, fate: Fate) -> datetime:
        if fate is Fate.PROCESSED:
            return refund.requested_at + self.traders.hours(0.2, 50)
        return self.moment - timedelta(minutes=2 if fate in (Fate.QUEUED, Fate.UNKNOWN) else self.random.randint(5, 300))

    def who(self, refund: Refund, count: int) -> list[Admin]:
        """Different admins; one who asked for the refund is the first."""
        if refund.requested_by == Requester.ADMIN:
            return list(self.approvers[:count])
        return self.random.sample(list(self.approvers), count)

    def needs_two(self, purchase: Purchase, amount: int) -> bool:
        return self.policy.needs_two(purchase.payment.currency, purchase.approved_cents + amount)

    def settle(self, refund: Refund, payment: Payment, fate: Fate, decided: datetime) -> None:
        refund.processing_state = ProcessingState.DONE if fate is Fate.PROCESSED else ProcessingState(fate.value)
        if fate is Fate.QUEUED:
            self.rows.jobs.append(payout(refund, run_after=self.moment))
        elif fate is Fate.UNKNOWN:
            lost = self.attempt(refund, payment, 1, AttemptState.UNKNOWN, decided)
            refund.processing_message = lost.message = "The gateway did not answer in time. The refund is being looked up."
            self.rows.jobs.append(payout(refund, run_after=self.moment + timedelta(minutes=4)))
        elif fate is Fate.ACCEPTED:
            taken = self.attempt(refund, payment, 1, AttemptState.ACCEPTED, decided)
            taken.next_check_at = self.moment + self.traders.hours(0.1, 20)
            self.rows.orders.append((refund, taken))
        elif fate is Fate.FAILED:
            refund.processing_message = self.declined(refund, payment, decided).message
        else:
            self.finish(refund, payment, decided)

    def finish(self, refund: Refund, payment: Payment, decided: datetime) -> None:
        """Paid; one in twenty at the second attempt."""
        number = 1
        if self.random.random() < 0.05:
            self.declined(refund, payment, decided)
            number, decided = 2, decided + self.traders.hours(0.2, 4)
        paid = self.attempt(refund, payment, number, AttemptState.DONE, decided + timedelta(seconds=self.random.randint(0, 40)))
        refund.status, refund.processed_at, refund.transaction_id = RefundStatus.PROCESSED, paid.finished_at, paid.gateway_refund_id
        refund.updated_at = paid.finished_at or decided

    def declined(self, refund: Refund, payment: Payment, sent: datetime) -> RefundAttempt:
        attempt = self.attempt(refund, payment, 1, AttemptState.FAILED, sent)
        attempt.error_code, attempt.message = self.random.choice(texts.DECLINED)
        return attempt

    def attempt(self, refund: Refund, payment: Payment, number: int, state: AttemptState, sent: datetime) -> RefundAttempt:
        assert refund.approved_amount_cents is not None
        attempt = RefundAttempt(
            id=uuid4(),
            refund_id=refund.id,
            number=number,
            gateway=payment.provider,
            gateway_key=f"rr-{refund.id}-a{number}",
            provider_payment_id=payment.provider_payment_id,
            amount_cents=refund.approved_amount_cents,
            currency=refund.currency,
            body=b"",
            state=state,
            created_at=sent,
            last_sent_at=sent,
            checks=1,
        )
        attempt.body = self.gateway.prepare(order_of(refund, attempt))
        if state in (AttemptState.DONE, AttemptState.FAILED):
            attempt.finished_at = sent + timedelta(seconds=self.random.randint(1, 90))
        if state is AttemptState.DONE:
            known = uuid4().hex[:24]
            attempt.gateway_refund_id, attempt.reference = f"sbx_{known}", known.upper()
        return kept(self.rows.attempts, attempt)

    def approval(self, refund: Refund, admin: Admin, amount: int, given_at: datetime) -> RefundApproval:
        because = self.random.choice(texts.APPROVED_BECAUSE)
        return kept(
            self.rows.approvals,
            RefundApproval(id=uuid4(), refund_id=refund.id, admin_id=admin.id, amount_cents=amount, reason=because, created_at=given_at),
        )

    def note(self) -> str | None:
        return self.random.choice(texts.NOTES) if self.random.random() < 0.2 else None


def payout(refund: Refund, run_after: datetime) -> Job:
    assert refund.approved_at is not None
    return Job(
        id=uuid4(),
        type=REFUND_PROCESSING.name,
        creator_id=refund.approved_by,
        subject_id=refund.id,
        payload={"refund_id": str(refund.id), "refund_number": refund.refund_number},
        created_at=refund.approved_at,
        updated_at=refund.approved_at,
        run_after=run_after,
        max_attempts=NEVER_GIVEN_UP,
    )
