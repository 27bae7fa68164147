"""Making up the demo's referrals: every state and payout, and a few of each thing that looks wrong about a reward."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random
from uuid import UUID, uuid4

from domain.marketplace.demo_markets import INDIA, MARKETS, Market
from domain.marketplace.demo_trade import Traders
from domain.marketplace.models import Booking, PayoutStatus, Referral, ReferralStatus, User
from domain.refunds.models import Refund

REWARD = {"INR": 50_000, "USD": 1_500, "JPY": 1_000, "KWD": 2_500}
LASTS = timedelta(days=30)
BURST = 7


class Referrals:
    """Friends are customers of their own: they sign up when they are referred, and book after that."""

    def __init__(self, moment: datetime, random: Random, traders: Traders, refunds: Sequence[Refund]):
        self.moment, self.random, self.traders, self.refunds = moment, random, traders, refunds
        self.rows: list[Referral] = []

    def everything(self, count: int) -> list[Referral]:
        self.same_person()
        self.many_at_once()
        self.refunded()
        for days in (3, 11):
            self.overdue(days)
        while len(self.rows) < count:
            market = self.traders.market()
            self.random.choices((self.pending, self.completed, self.expired), (30, 56, 14))[0](market)
        return self.rows

    def pending(self, market: Market, at: datetime | None = None, referrer: User | None = None) -> Referral:
        at = at or self.moment - self.traders.hours(3, 24 * 28)
        return self.referral(market, at, self.random.randint(1, 3), ReferralStatus.PENDING, referrer)

    def expired(self, market: Market) -> Referral:
        return self.referral(market, self.moment - self.traders.hours(24 * 32, 24 * 170), self.random.randint(1, 3), ReferralStatus.EXPIRED)

    def overdue(self, days: int) -> Referral:
        """Past its time, and its row does not say so yet."""
        return self.referral(INDIA, self.moment - LASTS - timedelta(days=days), 2, ReferralStatus.PENDING)

    def completed(
        self, market: Market, at: datetime | None = None, referrer: User | None = None, payout: PayoutStatus | None = None
    ) -> Referral:
        payouts = (PayoutStatus.PAID, PayoutStatus.SCHEDULED, PayoutStatus.FAILED, PayoutStatus.REVERSED)
        at = at or self.moment - self.traders.hours(24 * 12, 24 * 150)
        row = self.referral(market, at, 4, ReferralStatus.COMPLETED, referrer)
        row.payout_status = payout or self.random.choices(payouts, (78, 14, 5, 3))[0]
        return row

    def referral(self, market: Market, at: datetime, steps: int, status: ReferralStatus, referrer: User | None = None) -> Referral:
        """`steps`: how many of the four conditions are met, in their order."""
        friend = self.traders.user(market, joined=at)
        friend.email_verified_at = min(at + self.traders.hours(0.02, 20), self.moment) if steps > 1 else None
        credited = None
        if steps > 2:
            amount = market.least if steps == 3 else None
            booked = at + (min(at + timedelta(days=9), self.moment) - at) * self.random.uniform(0.1, 0.9)
            self.traders.purchase(market, self.moment, amount, by=(friend, booked))
            credited = booked + self.traders.hours(4, 30) if steps == 4 else None
        return self.row(referrer or self.somebody(market), friend, market, at, steps, status, credited)

    def row(
        self, referrer: User, friend: User, market: Market, at: datetime, steps: int, status: ReferralStatus, credited: datetime | None
    ) -> Referral:
        row = Referral(
            id=uuid4(),
            referrer_id=referrer.id,
            referred_user_id=friend.id,
            referral_code=f"{referrer.email.split('.')[0].upper()[:12]}{self.random.randint(10, 99)}",
            status=status,
            payout_status=PayoutStatus.NOT_DUE,
            reward_amount_cents=REWARD[market.currency],
            currency=market.currency,
            created_at=at,
            expires_at=at + LASTS,
            credited_at=credited,
            signup=steps > 0,
            email_verified=steps > 1,
            first_booking=steps > 2,
            minimum_spend=steps > 3,
        )
        self.rows.append(row)
        return row

    def somebody(self, market: Market) -> User:
        """Some refer one friend, a few refer many."""
        people = self.traders.people[market.currency]
        return self.random.choice(people if self.random.random() < 0.5 else people[: max(2, len(people) // 12)])

    def same_person(self) -> None:
        """Somebody who brought themselves under another address, and two who only bear one name."""
        himself = self.completed(INDIA, self.moment - timedelta(days=16), payout=PayoutStatus.SCHEDULED)
        namesakes = [self.completed(INDIA, payout=PayoutStatus.PAID), self.pending(MARKETS[1])]
        users = {user.id: user for user in self.traders.trade.users}
        for row in (himself, *namesakes):
            users[row.referred_user_id].name = users[row.referrer_id].name
        local, _, host = users[himself.referrer_id].email.partition("@")
        users[himself.referred_user_id].email = f"{local}+new@{host}"

    def many_at_once(self) -> None:
        """One customer, seven friends, one evening."""
        referrer = self.traders.people[INDIA.currency][-1]
        evening = self.moment - timedelta(days=13, hours=6)
        for place in range(BURST):
            make = self.completed if place < 3 else self.pending
            row = make(INDIA, evening + timedelta(minutes=47 * place), referrer)
            if row.status == ReferralStatus.COMPLETED:
                row.payout_status = PayoutStatus.SCHEDULED

    def refunded(self) -> None:
        """Rewards for bookings that were refunded after it, and some for which a refund is asked right now."""
        bookings = {booking.id: booking for booking in self.traders.trade.bookings}
        firsts = first_bookings(bookings.values())
        users = {user.id: user for user in self.traders.trade.users}
        currency = {user.id: market for market in MARKETS for user in self.traders.people[market.currency]}
        left = {"processed": 5, "pending": 4}
        for refund in reversed(self.refunds):
            booking = bookings[refund.booking_id]
            credited = booking.created_at + timedelta(hours=5)
            fits = booking is firsts.get(refund.user_id) and left.get(refund.status) and credited < (refund.approved_at or self.moment)
            if not fits:
                continue
            left[refund.status] -= 1
            firsts.pop(refund.user_id)
            friend, market = users[refund.user_id], currency[refund.user_id]
            at = booking.created_at - self.traders.hours(20, 120)
            friend.created_at, friend.email_verified_at = at, at + timedelta(hours=2)
            referrer = next(user for user in self.traders.people[market.currency] if user is not friend)
            row = self.row(referrer, friend, market, at, 4, ReferralStatus.COMPLETED, credited)
            row.payout_status = PayoutStatus.PAID if refund.status == "processed" else PayoutStatus.SCHEDULED


def first_bookings(bookings: Iterable[Booking]) -> dict[UUID, Booking]:
    firsts: dict[UUID, Booking] = {}
    for booking in sorted(bookings, key=lambda booking: booking.created_at):
        firsts.setdefault(booking.user_id, booking)
    return firsts
