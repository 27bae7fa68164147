"""Referrals with 100 000 of them behind the list: a page costs hardly more than with 1 000, and no filter more than its share."""

import statistics
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from domain.cache import CacheEntry
from domain.db import now
from domain.marketplace.models import Booking, PayoutStatus, Referral, ReferralStatus, User
from tests.factories import make_admin, make_payment, make_refund, make_vendor
from tests.proofs.sites import measure, sites_of, vacuum
from web.db import db

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FEW, MANY = 1_000, 100_000
SPREAD = timedelta(days=360)
DEARER = 2.5
"""The number of rows is counted live, which takes some milliseconds at this size; the rest must not grow."""
PAGES = ("/api/v1/admin/referrals", "/api/v1/admin/referrals?status=pending", "/referrals", "/referrals?status=paid")
RARE = (
    "risk=same_email",
    "risk=same_name",
    "risk=many_at_once",
    "risk=refunded",
    "q=friend+77",
    "payout_status=failed",
    "min_amount=60000",
)
STATUSES = [ReferralStatus.COMPLETED] * 12 + [ReferralStatus.PENDING] * 3 + [ReferralStatus.EXPIRED]


def fill(engine, size):
    """One in eight customers has brought the others; half of those have booked, one in a hundred was refunded."""
    with Session(engine, expire_on_commit=False) as session:
        admin, vendor = make_admin(session, role="super_admin"), make_vendor(session)
        moment, step = now(), SPREAD / size
        users = [person(number, moment - SPREAD) for number in range(size // 8)]
        friends = [person(number, moment - number * step, "friend") for number in range(size)]
        session.execute(insert(User), users + friends)
        session.execute(insert(Referral), [referral(number, users, friends, moment - number * step) for number in range(size)])
        bookings = [booking(number, friends[number], vendor) for number in range(0, size, 2)]
        session.execute(insert(Booking), bookings)
        for one in bookings[:: len(bookings) // (size // 100)]:
            payment = make_payment(session, session.get_one(Booking, one["id"]), amount_cents=500)
            make_refund(session, payment, status="processed", approved_at=moment, requested_amount_cents=500)
        session.commit()
    vacuum(engine)
    return {"all": admin}


def person(number, joined, name="customer"):
    times = {"created_at": joined, "email_verified_at": joined}
    return {"id": uuid4(), "name": f"{name} {number}", "email": f"{name}.{number}@example.com", **times}


def referral(number, users, friends, at):
    status = STATUSES[number * 7 % len(STATUSES)]
    done = status == ReferralStatus.COMPLETED
    conditions = dict.fromkeys(("signup", "email_verified", "first_booking", "minimum_spend"), done)
    return {
        "id": uuid4(),
        "referrer_id": users[number * 31 % len(users)]["id"],
        "referred_user_id": friends[number]["id"],
        "referral_code": f"CODE{number}",
        "status": status,
        "payout_status": (PayoutStatus.FAILED if number % 97 == 0 else PayoutStatus.PAID) if done else PayoutStatus.NOT_DUE,
        "reward_amount_cents": 50_000,
        "currency": "INR",
        "created_at": at,
        "expires_at": at + timedelta(days=30),
        "credited_at": at + timedelta(days=2) if done else None,
        **conditions,
    }


def booking(number, friend, vendor):
    made = {"created_at": friend["created_at"] + timedelta(days=1), "scheduled_at": None, "status": "completed"}
    return {"id": uuid4(), "booking_number": f"BK-{number}", "user_id": friend["id"], "vendor_id": vendor.id, **made}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sites(request, tmp_path_factory):
    """The same portal twice: with few referrals and with many."""
    with sites_of(request, tmp_path_factory, "referrals", (FEW, MANY), fill) as made:
        yield made


def test_page_one_costs_hardly_more_with_a_hundred_times_as_many(sites):
    few, many = sites
    dearer = []
    for path in PAGES:
        costs = measure(few, many, "all", path)
        cheap, dear = (statistics.median(costs[site]) for site in sites)
        said = f"{path:40} {cheap * 1000:6.2f} ms -> {dear * 1000:6.2f} ms of CPU: {dear / cheap:.2f} x; {len(many.statements)} statements"
        print(said + (f"; {few.blocks()} -> {many.blocks()} blocks" if many.backends else ""))
        if dear > DEARER * cheap:
            dearer.append(said)
    assert dearer == []


def test_no_filter_and_no_summary_costs_more_than_in_proportion(sites):
    dearer = []
    for query in ("", *RARE):
        cheap, dear = (cold(site, f"/api/v1/admin/referrals?{query}") for site in sites)
        print(f"{query or 'everything':24} {cheap * 1000:6.1f} ms -> {dear * 1000:7.1f} ms of CPU with nothing kept")
        if dear > cheap * MANY / FEW:
            dearer.append(query)
    assert dearer == []


def cold(site, path):
    """The CPU of a request that finds no summary kept."""
    site.open("all", path)  # so that the statements are compiled
    with site.app.app_context():
        db.session.execute(delete(CacheEntry))
        db.session.commit()
    return site.open("all", path)
