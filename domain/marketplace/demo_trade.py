"""Making up the demo's customers, vendors, bookings and payments.

The same for every load but for ids, and for times, which count back from the moment of loading.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar
from uuid import uuid4

from domain.marketplace.demo_markets import MARKETS, Market
from domain.marketplace.models import Booking, Payment, Provider, User, Vendor

PRICED = {
    "cleaning": (0.0, 0.6),
    "plumbing": (0.0, 0.55),
    "electrical": (0.0, 0.6),
    "air_conditioning": (0.1, 0.65),
    "salon": (0.0, 0.55),
    "moving": (0.4, 1.0),
    "photography": (0.45, 1.0),
    "tutoring": (0.2, 0.75),
    "pest_control": (0.05, 0.5),
    "appliance_repair": (0.1, 0.65),
    "massage": (0.0, 0.5),
    "gardening": (0.1, 0.75),
}

Row = TypeVar("Row")


@dataclass(frozen=True)
class Purchase:
    """A booking and its payment, with what was approved for refund so far."""

    payment: Payment
    booking: Booking
    service: str
    market: Market
    approved_cents: int = 0

    @property
    def left(self) -> int:
        return self.payment.amount_cents - self.approved_cents

    def less(self, amount_cents: int) -> Purchase:
        return replace(self, approved_cents=self.approved_cents + amount_cents)


@dataclass
class Trade:
    """What was made up, ready to be added."""

    users: list[User] = field(default_factory=list)
    vendors: list[Vendor] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)


class Traders:
    """The people and shops of all markets, and what they buy from each other."""

    def __init__(self, moment: datetime, random: Random, size: int):
        self.moment, self.random = moment, random
        self.trade = Trade()
        self.shops = {market.currency: [(self.vendor(name), service) for name, service in market.vendors] for market in MARKETS}
        self.people = {market.currency: [self.user(market) for _ in range(max(4, size * market.share * 3 // 400))] for market in MARKETS}

    def everything_else(self, size: int) -> Trade:
        """What was bought and never asked back for."""
        for _ in range(size // 3):
            self.purchase(self.market(), self.moment - self.hours(2, 24 * 180))
        return self.trade

    def vendor(self, name: str) -> Vendor:
        number = len(self.trade.vendors) + 1
        address = None if number % 9 == 0 else f"vendor{number}@example.com"
        return kept(self.trade.vendors, Vendor(id=uuid4(), name=name, email=address, created_at=self.moment - self.hours(9000, 26000)))

    def user(self, market: Market, joined: datetime | None = None) -> User:
        first, last = self.random.choice(market.first_names), self.random.choice(market.last_names)
        native = "|" in first and "|" in last
        written = [name.split("|")[0 if native else -1] for name in (first, last)]
        plain = [re.sub("[^a-z]", "", unicodedata.normalize("NFKD", name.split("|")[-1].lower())) for name in (first, last)]
        joined = joined or self.moment - self.hours(24 * 190, 24 * 900)
        return kept(
            self.trade.users,
            User(
                id=uuid4(),
                name=" ".join(reversed(written) if market.family_first and native else written),
                email=f"{plain[0]}.{plain[1]}{len(self.trade.users) + 1}@example.com",
                created_at=joined,
                email_verified_at=joined + self.hours(0.02, 30) if self.random.random() < 0.93 else None,
            ),
        )

    def market(self) -> Market:
        return self.random.choices(MARKETS, [market.share for market in MARKETS])[0]

    def purchase(
        self,
        market: Market,
        before: datetime,
        amount_cents: int | None = None,
        service: str | None = None,
        by: tuple[User, datetime] | None = None,
    ) -> Purchase:
        """A booking and its payment, some days before, of anybody; or `by` this customer at that time."""
        shops = [shop for shop in self.shops[market.currency] if service in (None, shop[1])]
        vendor, offered = self.random.choice(shops)
        user, created = by or (self.random.choice(self.people[market.currency]), before - self.hours(20, 24 * 12))
        number = len(self.trade.bookings) + 1
        booking = kept(
            self.trade.bookings,
            Booking(
                id=uuid4(),
                booking_number=f"BK-{created.year}-{number:06d}",
                user_id=user.id,
                vendor_id=vendor.id,
                status=self.random.choices(("completed", "cancelled", "in_progress"), (82, 13, 5))[0],
                created_at=created,
                scheduled_at=created + (before - created) * self.random.uniform(0.4, 0.95),
            ),
        )
        payment = kept(
            self.trade.payments,
            Payment(
                id=uuid4(),
                booking_id=booking.id,
                amount_cents=amount_cents or self.price(market, offered),
                currency=market.currency,
                status="captured",
                paid_at=created + timedelta(minutes=self.random.randint(1, 25)),
                provider=Provider.SANDBOX,
                provider_payment_id=f"pay_{uuid4().hex[:20]}",
                method=self.random.choice(market.methods),
            ),
        )
        return Purchase(payment, booking, offered, market)

    def price(self, market: Market, service: str) -> int:
        """Many small amounts and a few large ones, as prices are: up and down the part of the market's range that the service has."""
        low, high = PRICED[service]
        amount = market.least * math.pow(market.most / market.least, self.random.uniform(low, high))
        return max(market.step, round(amount / market.step) * market.step)

    def part(self, whole: int, market: Market) -> int:
        amount = round(whole * self.random.uniform(0.2, 0.9) / market.step) * market.step
        return min(whole, max(market.step, amount))

    def hours(self, least: float, most: float) -> timedelta:
        return timedelta(seconds=round(self.random.uniform(least, most) * 3600))


def kept(rows: list[Row], row: Row) -> Row:
    rows.append(row)
    return row
