"""Referrals as people see them: the list, one of them, what stands out, and the way to an export."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from domain.cache import CacheEntry
from domain.db import now
from domain.jobs.models import Job
from domain.marketplace.models import PayoutStatus, ReferralStatus
from tests.factories import make_admin, make_booking, make_payment, make_referral, make_refund, make_user

DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e٣ 😀"


def completed(session, payout=PayoutStatus.PAID, **fields):
    conditions = dict.fromkeys(("signup", "email_verified", "first_booking", "minimum_spend"), True)
    facts = {"status": ReferralStatus.COMPLETED, "payout_status": payout, "credited_at": now() - DAY}
    return make_referral(session, **{**conditions, **facts, **fields})


def rewarded(session, **refund):
    """A referral whose reward rests on one booking, and a refund of that booking."""
    friend = make_user(session, name="Jane Friend")
    booking = make_booking(session, friend, created_at=now() - 5 * DAY)
    referrer = make_user(session, name="Asha Bringer")
    row = completed(session, referrer_id=referrer.id, referred_user_id=friend.id, credited_at=now() - 4 * DAY)
    return row, make_refund(session, make_payment(session, booking), **refund)


def tab_counts(page):
    tabs = page.text.split('id="tabs"')[1].split("</ul>")[0]
    return [int(part.split("<")[0]) for part in tabs.split('class="count">')[1:]]


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split()).replace(" ,", ",")


def test_the_list_counts_sums_and_says_what_each_lacks(nisha, made):
    completed_row = made(completed, referral_code="PAIDUP")
    made(completed, PayoutStatus.SCHEDULED, currency="JPY", reward_amount_cents=1_000)
    pending = made(make_referral, referral_code="WAITS", expires_at=now() + 3 * DAY, email_verified=True)
    made(make_referral, expires_at=now() - DAY)

    page = nisha.open("/referrals")

    assert tab_counts(page) == [4, 1, 2, 1, 1]
    sums = words(page.text.split('class="sums"')[1].split("</dl>")[0])
    assert sums == "> Rewards in INR ₹500.00 ₹500.00 paid out Rewards in JPY JP¥1,000 JP¥0 paid out"
    row = words(page.text.split(f'id="referral-{pending.id}"')[1].split("</tr>")[0])
    assert "WAITS" in row and "E-mail verified: met" in row and "First booking: not met" in row
    assert "3 days left, lacks first booking and minimum spend" in row and "Not due" in row
    row = words(page.text.split(f'id="referral-{completed_row.id}"')[1].split("</tr>")[0])
    assert "1 referral · ₹500.00 earned" in row and "Completed" in row and "Paid" in row
    assert f'href="/referrals?referrer={completed_row.referrer_id}"' in page.text
    fragment = nisha.open("/referrals?status=paid", partial=True)
    assert fragment.text.lstrip().startswith("<title>Paid referrals - Marketplace Admin</title>") and "<html" not in fragment.text


def test_counts_that_are_old_say_so_and_the_tab_one_stands_on_never_contradicts_its_rows(nisha, made, engine, look):
    made(completed)
    assert "Counted just now" in nisha.open("/referrals").text
    made(completed)
    made(make_referral)
    [entry] = look.all(select(CacheEntry).where(CacheEntry.name != "referrals:risks"))

    def older(session):
        session.get_one(CacheEntry, entry.name).made_at = now() - timedelta(minutes=3, seconds=20)
        return entry

    made(older)
    everything, paid = nisha.open("/referrals"), nisha.open("/referrals?status=paid")

    assert "Counted 3 min ago" in everything.text
    assert tab_counts(everything) == [3, 0, 1, 1, 0] and "1–3 of 3" in everything.text
    assert tab_counts(paid) == [1, 0, 1, 2, 0] and "1–2 of 2" in paid.text


def test_what_looks_wrong_stands_out_and_leads_to_its_rows(nisha, made):
    made(completed, PayoutStatus.FAILED)
    row, refund = made(rewarded, status="processed")

    page = nisha.open("/referrals")

    assert "1 payout failed" in page.text and "1 refunded after the reward" in words(page.text)
    assert 'href="/referrals?risk=refunded"' in page.text
    assert f"{refund.refund_number} (INR 1,000.00)" in nisha.open("/referrals?risk=refunded").text
    assert tab_counts(nisha.open("/referrals?risk=any"))[0] == 1
    assert tab_counts(nisha.open("/referrals?payout=failed"))[0] == 1
    detail = nisha.open(f"/referrals/{row.id}")
    assert "What earned the reward was refunded after it:" in detail.text and f'href="/refunds/{refund.id}"' in detail.text
    for said in ("4 of 4 met", "Asha Bringer", "Jane Friend", "Reward issued", "Refund approved", "₹1,000.00 paid (₹1,000.00 refunded)"):
        assert said in words(detail.text), said


def test_a_refund_says_which_reward_rests_on_its_booking(nisha, made, sign_in):
    row, refund = made(rewarded)

    page = nisha.open(f"/refunds/{refund.id}")
    hidden = sign_in(made(make_admin, role="support_agent")).open(f"/refunds/{refund.id}")

    assert "This booking earned Asha Bringer a referral reward of ₹500.00, already paid out." in words(page.text)
    assert f'href="/referrals/{row.id}"' in page.text
    assert "This booking earned somebody a referral reward of ₹500.00, already paid out." in words(hidden.text)
    assert "Asha Bringer" not in hidden.text and f"/referrals/{row.id}" not in hidden.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=bringer", True),
        ("q=nobody", False),
        ("min=500&cur=INR", True),
        ("min=500.01&cur=INR", False),
        ("min=1&cur=USD", False),
        ("payout=paid", True),
        ("payout=failed", False),
        ("risk=same_name", False),
        ("status=pending", False),
        ("status=paid", True),
    ],
)
def test_each_filter_narrows_and_is_a_chip_that_can_be_taken_away(nisha, made, query, found):
    row, _ = made(rewarded)
    page = nisha.open(f"/referrals?{query}")
    assert (f'id="referral-{row.id}"' in page.text) is found
    assert ("No match" in page.text) is (not found and not query.startswith("status"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "From: choose a day."),
        ("min=12", "Reward: choose a currency."),
        ("status=lost", "There is no such status."),
        ("payout=soon", "There is no such payout status."),
        ("risk=odd", "There is no such risk."),
        ("referrer=me", "There is no such customer."),
    ],
)
def test_an_address_that_makes_no_sense_is_told_so(nisha, query, said):
    page = nisha.open(f"/referrals?{query}")
    assert page.status_code == 422
    assert said in page.text


def test_what_customers_write_is_text_and_nothing_else(nisha, made):
    def hostile(session):
        people = [make_user(session, name=HOSTILE, email=HOSTILE * 200) for _ in range(2)]
        return make_referral(session, referrer_id=people[0].id, referred_user_id=people[1].id, referral_code=HOSTILE[:50])

    row = made(hostile)
    for page in (nisha.open("/referrals"), nisha.open(f"/referrals/{row.id}"), nisha.open(f"/referrals?q={HOSTILE[:8]}%00")):
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<img src=x" not in page.text


def test_an_export_takes_over_what_the_list_is_narrowed_to(mira, made, look):
    asha = made(make_user, name="Asha")
    made(completed, referrer_id=asha.id)
    query = f"status=paid&min=100&cur=INR&risk=any&referrer={asha.id}&from=2026-01-01"
    assert f"/jobs/export/referrals?{query.split('&')[0]}" in mira.open(f"/referrals?{query}").text

    form = mira.form(f"/jobs/export/referrals?{query}")
    started = mira.send(form, format="xlsx")

    [job] = look.all(select(Job).where(Job.type == "analytics_export"))
    assert started.location == f"/jobs/{job.id}"
    assert job.payload == {
        "report_type": "referrals",
        "format": "xlsx",
        "from": "2026-01-01",
        "to": None,
        "status": "paid",
        "min_amount": 10_000,
        "currency": "INR",
        "risk": "same_email,same_name,many_at_once,refunded",
        "referrer_id": str(asha.id),
    }


def test_pages_follow_each_other_and_end(nisha, made):
    for hours in range(26):
        made(make_referral, created_at=now() - timedelta(hours=hours))
    first = nisha.open("/referrals?status=pending")
    assert "1–25 of 26" in first.text and 'href="/referrals?status=pending&amp;page=2"' in first.text
    assert "26–26 of 26" in nisha.open("/referrals?status=pending&page=2").text
    assert "This page is past the end" in nisha.open("/referrals?page=3").text


def test_without_any_the_page_says_so(nisha):
    assert "No referrals yet" in nisha.open("/referrals").text
    assert "No paid referrals" in nisha.open("/referrals?status=paid").text


def test_who_may_not_see_them_is_shown_no_way_there(made, sign_in):
    agent = sign_in(made(make_admin, role="support_agent"))
    assert agent.open("/referrals").status_code == 403
    assert 'href="/referrals"' not in agent.open("/refunds").text
