"""Referrals in a browser: from what looks wrong to the refund behind it, in every look a page has."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from domain.db import now
from domain.marketplace.models import PayoutStatus, ReferralStatus
from tests.browser.looks import breaches
from tests.factories import make_booking, make_payment, make_referral, make_refund, make_user

pytestmark = pytest.mark.browser

DAY = timedelta(days=1)
MET = dict.fromkeys(("signup", "email_verified", "first_booking", "minimum_spend"), True)


@pytest.fixture
def referrals(house):
    """One of each kind that looks different, and the refund of a booking that had earned a reward."""

    def fill(session):
        asha = make_user(session, name="Asha Bringer-of-Very-Many-Friends", email="asha@example.com")
        twin = make_user(session, name="Asha Bringer-of-Very-Many-Friends", email="asha+2@example.com")
        jane = make_user(session, name="佐藤 美咲")
        booking = make_booking(session, jane, created_at=now() - 5 * DAY)
        refund = make_refund(session, make_payment(session, booking), status="processed")
        done = {"status": ReferralStatus.COMPLETED, "credited_at": now() - 4 * DAY, "referrer_id": asha.id, **MET}
        rows = {
            "refunded": make_referral(session, **done, payout_status=PayoutStatus.PAID, referred_user_id=jane.id, referral_code="GAVEBACK"),
            "twin": make_referral(session, **done, payout_status=PayoutStatus.SCHEDULED, referred_user_id=twin.id),
            "failed": make_referral(session, **done, payout_status=PayoutStatus.FAILED, currency="KWD", reward_amount_cents=2_500),
            "reversed": make_referral(session, **done, payout_status=PayoutStatus.REVERSED),
            "pending": make_referral(session, email_verified=True, expires_at=now() + 2 * DAY),
            "expired": make_referral(session, expires_at=now() - DAY, referral_code=None),
        }
        return rows, refund

    return house.make(fill)


def test_from_a_mark_to_the_refund_and_back_to_the_referrers_rows(visit, nisha, referrals):
    rows, refund = referrals
    page = visit(nisha)
    views = {
        "list": lambda: page.goto("/referrals"),
        "list, filtered": lambda: page.goto(f"/referrals?risk=any&referrer={rows['twin'].referrer_id}&min=1&cur=INR"),
        "list, empty": lambda: page.goto("/referrals?q=zzz"),
        "list, not understood": lambda: page.goto("/referrals?from=yesterday"),
        "rewarded refund": lambda: page.goto(f"/refunds/{refund.id}"),
        **{name: lambda name=name: page.goto(f"/referrals/{rows[name].id}") for name in ("refunded", "failed", "pending")},
    }
    assert breaches(page, views) == {}

    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/referrals")
    page.get_by_role("link", name="1 refunded after the reward").click()
    expect(page.locator("#referral-rows tr")).to_have_count(1)
    page.get_by_role("link", name="GAVEBACK").click()
    expect(page.get_by_role("heading", name="GAVEBACK")).to_be_visible()
    page.get_by_role("link", name=refund.refund_number).first.click()
    expect(page.get_by_text("A referral reward rests on this booking")).to_be_visible()
    page.get_by_role("link", name="Asha Bringer").click()
    expect(page.get_by_role("heading", name="GAVEBACK")).to_be_visible()
    page.get_by_role("link", name="Asha Bringer").first.click()
    expect(page.locator("#referral-rows tr")).to_have_count(4)
    page.get_by_role("link", name="Paid").click()
    expect(page.locator("#referral-rows tr")).to_have_count(1)
    expect(page).to_have_url(f"{page.url.partition('/referrals')[0]}/referrals?status=paid&referrer={rows['twin'].referrer_id}")
    page.get_by_role("link", name="Export").click()
    expect(page.get_by_role("dialog")).to_contain_text("Export referrals")
    expect(page.get_by_role("dialog")).to_contain_text("Paid")
