"""GET /api/v1/admin/referrals: the frontend's fields, the filters, and a summary that all processes share."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from domain.access import Permission
from domain.db import now
from domain.marketplace.models import PayoutStatus, ReferralStatus
from tests.factories import make_booking, make_referral, make_user

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
