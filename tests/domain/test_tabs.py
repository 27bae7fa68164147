"""The number on a tab is the number of rows behind it, whatever else the list is narrowed to."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy.orm import Session

import migrations
from domain.access import Permission
from domain.cache import NoCache
from domain.db import make_engine, now
from domain.jobs.models import JobStatus
from domain.jobs.queries import JobFilters, list_jobs
from domain.marketplace.models import PayoutStatus, ReferralStatus
from domain.referrals.filters import ReferralFilters
from domain.referrals.queries import list_referrals
from domain.referrals.risks import RiskCode
from domain.referrals.states import ReferralState
from domain.refunds.models import Priority, ProcessingState, RefundApproval, RefundStatus
from domain.refunds.policy import RefundPolicy
from domain.refunds.queries import SECOND_APPROVAL, RefundFilters, list_refunds
from tests.factories import (
    actor_for,
    make_admin,
    make_booking,
    make_job,
    make_payment,
    make_referral,
    make_refund,
    make_user,
    make_vendor,
)

SEED, COMBINATIONS = 20_261_123, 200
ROWS = 90  # fewer than a page holds at most, so that the rows themselves are counted
DAY = timedelta(days=1)
CURRENCIES = ("INR", "USD", "JPY")
POLICY = RefundPolicy({"INR": 8_500_000}, default_currency="INR")


class Shop:
    """A database with some rows of each noun, made once for all combinations."""

    def __init__(self, session, random):
        self.session, self.random, self.moment = session, random, now()
        self.admin = make_admin(session, role="super_admin")
        self.clerk = make_admin(session, Permission.JOBS_LIST)
        self.users = [make_user(session, name=f"User {letter}", email=f"{letter}@example.com") for letter in "abcdefgh"]
        self.twins = [make_user(session, name="Twin", email=email) for email in ("t.win@gmail.com", "twin+1@gmail.com")]
        self.vendors = [make_vendor(session) for _ in range(3)]
        for _ in range(ROWS):
            self.refund()
            self.job()
            self.referral()
        session.commit()

    def days_ago(self, most=30):
        return self.moment - self.random.random() * most * DAY

    def refund(self):
        pick, at = self.random.choice, self.days_ago()
        booking = make_booking(self.session, pick(self.users), pick(self.vendors), created_at=at - DAY)
        payment = make_payment(self.session, booking, currency=pick(CURRENCIES), amount_cents=pick((500, 5_000, 90_000)))
        fields = {
            "requested_at": at,
            "status": pick(list(RefundStatus)),
            "priority": pick(list(Priority)),
            "reason": pick(("late", "other")),
        }
        if fields["status"] == RefundStatus.APPROVED:
            fields["processing_state"] = pick(list(ProcessingState))
        row = make_refund(self.session, payment, **fields)
        if row.status == RefundStatus.PENDING and self.random.random() < 0.5:
            given = {"admin_id": self.admin.id, "amount_cents": row.requested_amount_cents, "reason": "Yes"}
            self.session.add(RefundApproval(refund_id=row.id, created_at=self.moment - pick((0.5, 5)) * DAY, **given))

    def job(self):
        status = self.random.choice(list(JobStatus))
        deleted = self.moment if status not in (JobStatus.PENDING, JobStatus.PROCESSING) and self.random.random() < 0.2 else None
        creator = self.random.choice((None, self.admin.id, self.clerk.id))
        kind = self.random.choice(("cleanup", "notification", "analytics_export"))
        told = {"report_type": "refunds"} if kind == "analytics_export" else {}
        make_job(self.session, status=status, type=kind, payload=told, creator_id=creator, created_at=self.days_ago(), deleted_at=deleted)

    def referral(self):
        pick, at = self.random.choice, self.days_ago(40)
        status = pick(list(ReferralStatus))
        people = self.random.sample([*self.users, *self.twins], 2)
        make_referral(
            self.session,
            referrer_id=people[0].id,
            referred_user_id=people[1].id,
            created_at=at,
            expires_at=pick((None, at + 20 * DAY)),
            status=status,
            payout_status=pick(list(PayoutStatus)[1:]) if status == ReferralStatus.COMPLETED else PayoutStatus.NOT_DUE,
            credited_at=at + DAY if status == ReferralStatus.COMPLETED else None,
            currency=pick(CURRENCIES),
            reward_amount_cents=pick((0, 100, 50_000)),
        )

    def filters(self, kind, choices):
        """Each filter with one chance in three, its value one that some rows have."""
        days = sorted((self.days_ago(45), self.days_ago(45)))
        ends = {"from_": lambda: days[0], "to": lambda: days[1]}
        chosen = {name: value() for name, value in {**choices, **ends}.items() if self.random.random() < 0.3}
        return kind(**chosen, page_size=100)


def some(random, values):
    values = list(values)
    return tuple(map(str, random.sample(values, random.randint(1, len(values)))))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('tabs') / 'portal.db'}"
        migrations.upgrade(url)
        drop = None
    else:
        server = request.getfixturevalue("postgres")
        url = server.new_database(request.getfixturevalue("postgres_template"))
        drop = server.drop_database
    engine = make_engine(url)
    with Session(engine, expire_on_commit=False) as session:
        yield Shop(session, Random(SEED))
    engine.dispose()
    if drop:
        drop(url)


def refunds(shop):
    pick, random = shop.random.choice, shop.random
    filters = shop.filters(
        RefundFilters,
        {
            "user_id": lambda: pick(shop.users).id,
            "vendor_id": lambda: pick(shop.vendors).id,
            "min_amount": lambda: pick((501, 5_000)),
            "max_amount": lambda: pick((5_000, 90_000)),
            "currency": lambda: pick(CURRENCIES),
            "awaiting": lambda: SECOND_APPROVAL,
            "processing_state": lambda: some(random, ProcessingState),
            "reason": lambda: pick(("late", "other", "none")),
            "priority": lambda: some(random, Priority),
            "q": lambda: pick(("user a", "EXAMPLE.COM", "RF-2024", "nobody", "%")),
        },
    )
    actor = actor_for(shop.admin)
    return filters, RefundStatus, lambda narrowed: list_refunds(shop.session, actor, narrowed, POLICY), lambda row: {row.refund.status}


def jobs(shop):
    pick, random = shop.random.choice, shop.random
    filters = shop.filters(
        JobFilters,
        {
            "type": lambda: some(random, ("cleanup", "notification", "analytics_export")),
            "creator_id": lambda: pick((shop.admin.id, shop.clerk.id)),
            "by_system": lambda: True,
            "q": lambda: pick(("refunds", "clean", "nothing")),
        },
    )
    actor = actor_for(pick((shop.admin, shop.clerk)))
    return filters, JobStatus, lambda narrowed: list_jobs(shop.session, actor, narrowed), lambda row: {row.job.status}


def referrals(shop):
    pick, random = shop.random.choice, shop.random
    filters = shop.filters(
        ReferralFilters,
        {
            "referrer_id": lambda: pick(shop.users).id,
            "referred_id": lambda: pick(shop.users).id,
            "min_amount": lambda: pick((1, 101)),
            "currency": lambda: pick(CURRENCIES),
            "payout_status": lambda: some(random, PayoutStatus),
            "risk": lambda: some(random, RiskCode),
            "q": lambda: pick(("user a", "TWIN", "CODE1", "nobody", "_")),
        },
    )
    actor = actor_for(shop.admin)

    def states(row):
        paid = row.status == ReferralStatus.COMPLETED and row.referral.payout_status == PayoutStatus.PAID
        return {str(row.status)} | ({"paid"} if paid else set())

    return filters, ReferralState, lambda narrowed: list_referrals(shop.session, actor, narrowed, NoCache(), "INR"), states


@pytest.mark.parametrize("noun", [refunds, jobs, referrals])
def test_it_holds_for_any_combination_of_filters(shop, noun):
    found = Counter()
    for number in range(COMBINATIONS):
        filters, tabs, read, tabs_of = noun(shop)
        page = read(filters)
        counted = Counter(tab for row in page for tab in tabs_of(row))
        assert {tab: page.summary[tab] for tab in tabs} == {tab: counted[tab] for tab in tabs}, filters
        assert page.total_items == len(page.items) <= ROWS, filters

        found[len(page.items)] += 1
        if number % 2:
            continue
        asked = some(shop.random, tabs)
        behind = read(replace(filters, status=asked))
        wanted = [row for row in page if tabs_of(row) & set(asked)]
        assert (len(behind.items), behind.total_items) == (len(wanted), len(wanted)), (filters, asked)
        assert {tab: behind.summary[tab] for tab in tabs} == {tab: counted[tab] for tab in tabs}, filters
    shop.session.rollback()
    assert len(found) > 20, "nearly all combinations found nothing: the test looks at nothing"
