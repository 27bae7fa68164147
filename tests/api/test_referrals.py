"""GET /api/v1/admin/referrals: the frontend's fields, the filters, and a summary that all processes share."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

import config
from domain.access import Permission
from domain.cache import CacheEntry
from domain.db import now
from domain.marketplace.models import PayoutStatus, ReferralStatus, User
from tests.factories import make_booking, make_payment, make_referral, make_refund, make_user
from web.db import db
from wsgi import create_app

PATH = "/api/v1/admin/referrals"
DONE = dict.fromkeys(("signup", "email_verified", "first_booking", "minimum_spend"), True)


@pytest.fixture
def ask(client, bearer):
    finance = bearer(Permission.REFERRALS_LIST)

    def get(query="", status=200):
        answer = client.get(PATH + query, headers=finance)
        assert answer.status_code == status, answer.text[:600]
        return answer.json

    return get


def completed(session, payout=PayoutStatus.PAID, **fields):
    credited = {"status": ReferralStatus.COMPLETED, "payout_status": payout, "credited_at": now() - timedelta(days=1)}
    return make_referral(session, **{**credited, **DONE, **fields})


def stamp(moment):
    return moment.isoformat().replace("+00:00", "Z")


def test_a_row_has_the_fields_of_the_contract(ask, engine):
    with Session(engine, expire_on_commit=False) as session:
        asha, jane = make_user(session, name="Asha"), make_user(session, name="Jane")
        first = make_booking(session, jane, created_at=now() - timedelta(days=2))
        make_booking(session, jane, created_at=now() - timedelta(hours=2))
        row = completed(session, referrer_id=asha.id, referred_user_id=jane.id, referral_code="ASHA25")
        completed(session, payout=PayoutStatus.SCHEDULED, referrer_id=asha.id, reward_amount_cents=1_500, currency="USD")
        make_referral(session, referrer_id=asha.id, created_at=now() - timedelta(days=9))
        session.commit()

    found = ask("?status=paid")["data"]

    assert found == [
        {
            "id": str(row.id),
            "referrer": {
                "id": str(asha.id),
                "name": "Asha",
                "email": asha.email,
                "total_referrals": 3,
                "total_earned_cents": 50_000,
                "total_paid_cents": 50_000,
                "earned_by_currency": {"INR": 50_000, "USD": 1_500},
            },
            "referred_user": {
                "id": str(jane.id),
                "name": "Jane",
                "email": jane.email,
                "signup_date": stamp(jane.created_at),
                "first_booking_date": stamp(first.created_at),
            },
            "referral_code": "ASHA25",
            "status": "completed",
            "reward_amount_cents": 50_000,
            "currency": "INR",
            "credited_at": stamp(row.credited_at),
            "payout_status": "paid",
            "created_at": stamp(row.created_at),
            "expires_at": stamp(row.expires_at),
            "conditions_met": DONE,
            "missing_conditions": [],
            "days_left": None,
            "risks": [],
        }
    ]


def test_the_summary_and_the_filters_are_those_of_the_contract(ask, engine):
    with Session(engine) as session:
        for payout in (PayoutStatus.PAID, PayoutStatus.PAID, PayoutStatus.SCHEDULED):
            completed(session, payout)
        completed(session, currency="USD", reward_amount_cents=1_500)
        make_referral(session)
        make_referral(session, expires_at=now() - timedelta(hours=1))
        session.commit()

    meta = ask("?status=paid&page_size=2&colour=red")["meta"]

    assert {name: meta[name] for name in ("page", "page_size", "total_items", "total_pages")} == {
        "page": 1,
        "page_size": 2,
        "total_items": 3,
        "total_pages": 2,
    }
    assert meta["summary"] == {
        "pending": 1,
        "completed": 4,
        "paid": 3,
        "expired": 1,
        "total_rewards_cents": 150_000,
        "total_paid_cents": 100_000,
        "by_currency": {
            "INR": {"total_rewards_cents": 150_000, "total_paid_cents": 100_000},
            "USD": {"total_rewards_cents": 1_500, "total_paid_cents": 1_500},
        },
        "payouts": {"not_due": 0, "scheduled": 1, "paid": 3, "failed": 0, "reversed": 0},
    }
    assert meta["ignored_parameters"] == ["colour"]
    rest = ask(f"?status=paid&page_size=2&cursor={meta['next_cursor']}")
    assert (len(rest["data"]), rest["meta"]["next_cursor"]) == (1, None)
    assert ask("?status=expired,paid&min_amount=2000")["meta"]["total_items"] == 3
    assert ask("?status=pending")["data"][0]["missing_conditions"] == ["email_verified", "first_booking", "minimum_spend"]
    assert ask("?page=99")["data"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=reversed", "status"),
        ("status=paid,", "status"),
        ("risk=odd", "risk"),
        ("payout_status=gone", "payout_status"),
        ("referrer_id=me", "referrer_id"),
        ("referred_id=1", "referred_id"),
        ("min_amount=-1", "min_amount"),
        ("min_amount=1.5", "min_amount"),
        ("from_date=2025-02-01&to_date=2025-01-01", "from_date"),
        ("page_size=101", "page_size"),
        ("page=0", "page"),
        ("cursor=none", "cursor"),
        ("currency=rupees", "currency"),
        ("q=%00", "q"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(ask, query, field):
    assert ask(f"?{query}", 422)["error"]["details"][0]["field"] == field


def test_one_comes_with_the_bookings_behind_it(ask, client, bearer, engine):
    with Session(engine, expire_on_commit=False) as session:
        friend = make_user(session)
        booking = make_booking(session, friend, created_at=now() - timedelta(days=3))
        refund = make_refund(session, make_payment(session, booking), status="processed")
        row = completed(session, referred_user_id=friend.id)
        session.commit()

    found = ask(f"/{row.id}")["data"]

    assert [(one["booking_number"], one["counts"]) for one in found["bookings"]] == [(booking.booking_number, True)]
    assert found["bookings"][0]["refunds"][0]["refund_number"] == refund.refund_number
    assert found["spent_by_currency"] == {"INR": {"paid_cents": 100_000, "refunded_cents": 100_000}}
    assert [risk["code"] for risk in found["risks"]] == ["refunded"]
    told = client.get(f"/api/v1/admin/refunds/{refund.id}", headers=bearer(Permission.REFUNDS_LIST, Permission.REFERRALS_LIST))
    assert [reward["referral_id"] for reward in told.json["data"]["referral_rewards"]] == [str(row.id)]
    assert told.json["data"]["referral_rewards"][0]["referrer"]["id"] == str(row.referrer_id)
    assert ask(f"/{refund.id}", 404)["error"]["code"] == "NOT_FOUND"


class TestWhatIsKept:
    """The summary is the same in every process, whatever shares it."""

    @pytest.fixture
    def settings(self, settings, keeper, redis):
        urls = {"database": {}, "redis": {"REDIS_URL": redis.url}, "no redis": {"REDIS_URL": "unix:///nowhere/redis.sock"}}
        return {**settings, **urls[keeper]}

    @pytest.fixture
    def apps(self, settings):
        """As two worker processes would have it: nothing in common but the database, and Redis where there is one."""
        first, second = (create_app(config.load(settings)) for _ in range(2))
        yield first, second
        for app in (first, second):
            with app.app_context():
                db.engine.dispose()

    def summaries(self, apps, headers):
        answers = [app.test_client().get(PATH, headers=headers).json["meta"] for app in apps]
        return [(answer["summary"]["completed"], answer["total_items"]) for answer in answers]

    def add(self, engine):
        with Session(engine) as session:
            completed(session)
            session.commit()

    @pytest.mark.parametrize("keeper", ["database", "redis"])
    def test_it_is_shared_for_five_minutes_and_then_counted_anew(self, apps, bearer, engine, redis, keeper):
        headers = bearer(Permission.REFERRALS_LIST)
        self.add(engine)
        assert self.summaries(apps, headers) == [(1, 1), (1, 1)]
        self.add(engine)
        assert self.summaries(apps, headers) == [(1, 2), (1, 2)]
        assert self.kept_in_the_database(engine) == (0 if keeper == "redis" else 1)

        self.five_minutes_pass(engine, redis)

        assert self.summaries(apps, headers) == [(2, 2), (2, 2)]

    def five_minutes_pass(self, engine, redis):
        with Session(engine) as session:
            session.execute(update(CacheEntry).values(expires_at=now()))
            session.commit()
        redis.flush()

    @pytest.mark.parametrize("keeper", ["no redis"])
    def test_while_redis_is_away_the_database_stands_in(self, apps, bearer, engine):
        headers = bearer(Permission.REFERRALS_LIST)
        assert self.summaries(apps, headers) == [(0, 0), (0, 0)]
        self.add(engine)
        assert self.summaries(apps, headers) == [(0, 1), (0, 1)]
        assert self.kept_in_the_database(engine) == 1

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.parametrize("keeper", ["database"])
    def test_while_somebody_writes_for_long_it_is_counted_and_not_kept(self, apps, bearer, engine):
        headers = bearer(Permission.REFERRALS_LIST)
        with Session(engine) as writer:
            writer.add(User(name="Asha", email="asha@example.com", created_at=now()))
            writer.flush()
            assert self.summaries(apps, headers) == [(0, 0), (0, 0)]
        assert self.kept_in_the_database(engine) == 0

    def kept_in_the_database(self, engine):
        with Session(engine) as session:
            return session.scalar(select(func.count()).select_from(CacheEntry))
