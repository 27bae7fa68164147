"""The queue: what it shows, how it is narrowed, and what it says to odd addresses."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.db import now
from tests.factories import make_admin, make_refund, make_user


def numbers(page):
    return [word for word in page.text.replace("<", " ").replace(">", " ").split() if word.startswith("RF-")]


def test_a_browser_gets_the_page_and_htmx_the_list(nisha, made):
    made(make_refund)

    page, fragment = nisha.open("/refunds"), nisha.open("/refunds", partial=True)

    assert page.text.lstrip().startswith("<!doctype html>")
    assert fragment.text.lstrip().startswith("<title>Pending refunds - Marketplace Admin</title>")
    assert '<nav class="tabs"' in fragment.text
    assert "<html" not in fragment.text
    assert {"HX-Request", "HX-Request-Type"} <= set(fragment.vary)
    assert fragment.cache_control.no_store


def test_a_page_restored_from_history_is_whole(nisha):
    restored = nisha.client.get("/refunds", headers={"HX-History-Restore-Request": "true", "HX-Request-Type": "full"})
    assert "<!doctype html>" in restored.text


def test_it_opens_on_what_waits_and_counts_every_tab(nisha, made):
    pending = made(make_refund)
    for status in ("approved", "approved", "rejected", "processed"):
        made(make_refund, status=status)

    page = nisha.open("/refunds")

    assert set(numbers(page)) == {pending.refund_number}
    tabs = page.text.split('id="tabs"')[1].split("</nav>")[0]
    assert [int(part.split("<")[0]) for part in tabs.split('class="count">')[1:]] == [1, 2, 1, 1, 5]


def test_sums_are_told_per_currency_and_in_the_admins_grouping(nisha, made):
    for currency, cents in (("INR", 12_460_000), ("INR", 40), ("JPY", 15_800), ("KWD", 84_250), ("USD", 432_000)):
        made(make_refund, currency=currency, requested_amount_cents=cents)

    waiting = nisha.open("/refunds").text.split("tabs__sum")[1].split("</p>")[0]

    for amount in ("₹1,24,600.40", "15,800", "KWD\xa084.250", "$4,320.00"):
        assert amount in waiting


def test_days_are_those_of_the_admins_zone(nisha, made):
    # 20:00 UTC on the 9th is 01:30 on the 10th in India.
    early = made(make_refund, requested_at=datetime(2026, 3, 9, 20, tzinfo=UTC))
    made(make_refund, requested_at=datetime(2026, 3, 9, 18, tzinfo=UTC))
    made(make_refund, requested_at=datetime(2026, 3, 10, 18, 30, tzinfo=UTC))

    page = nisha.open("/refunds?from=2026-03-10&to=2026-03-10")

    assert set(numbers(page)) == {early.refund_number}
    assert "Times in IST (UTC+5:30)" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=raghunathan", True),
        ("q=nobody", False),
        ("min=5000&cur=INR", True),
        ("min=5000.01&cur=INR", False),
        ("min=1&cur=USD", False),
        ("reason=late_service", True),
        ("reason=quality_issue", False),
        ("priority=high", True),
        ("priority=low", False),
        ("awaiting=1", False),
        ("status=rejected", False),
        ("status=all", True),
    ],
)
def test_each_filter_narrows(nisha, made, query, found):
    refund = made(named_refund)
    assert (refund.refund_number in nisha.open(f"/refunds?{query}").text) is found


def named_refund(session):
    from tests.factories import make_booking, make_payment

    booking = make_booking(session, make_user(session, name="Priya Raghunathan"))
    payment = make_payment(session, booking, amount_cents=500_000)
    return make_refund(session, payment, reason="late_service", priority="high")


def test_those_that_wait_for_a_second_approval_are_one_press_away(nisha):
    assert 'href="/refunds?awaiting=1"' in nisha.open("/refunds").text
    assert "second approval" in nisha.open("/refunds?awaiting=1").text


def test_a_filter_in_force_is_a_chip_that_can_be_taken_away(nisha):
    page = nisha.open("/refunds?q=rao&reason=late_service&priority=high")
    assert "Late service" in page.text
    assert 'href="/refunds?q=rao&amp;priority=high"' in page.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "From: choose a day."),
        ("from=2026-03-02&to=2026-03-01", "From comes after To."),
        ("min=12", "Amount: choose a currency."),
        ("min=1,23&cur=INR", "write digits, as in"),
        ("status=lost", "There is no such status."),
        ("priority=huge", "There is no such priority."),
        ("processing=maybe", "There is no such state."),
        ("vendor=acme", "There is no such vendor."),
    ],
)
def test_an_address_that_makes_no_sense_is_told_so(nisha, query, said):
    page = nisha.open(f"/refunds?{query}")
    assert page.status_code == 422
    assert said in page.text


@pytest.mark.parametrize("page", ["0", "-1", "1e20", "99999999999999999999", "x", "1000000"])
def test_no_page_number_breaks_it(nisha, made, page):
    made(make_refund)
    assert nisha.open(f"/refunds?page={page}").status_code == 200


def test_a_page_past_the_end_says_so(nisha, made):
    made(make_refund)
    assert "This page is past the end" in nisha.open("/refunds?page=9").text


def test_pages_follow_each_other(nisha, made):
    for day in range(26):
        made(make_refund, requested_at=now() - timedelta(days=day))
    first, second = nisha.open("/refunds?priority=normal"), nisha.open("/refunds?priority=normal&page=2")
    assert "1–25 of 26" in first.text
    assert 'href="/refunds?priority=normal&amp;page=2"' in first.text
    assert "26–26 of 26" in second.text


def test_a_tab_leads_to_its_own_list_whatever_list_is_on_the_page(nisha, made):
    pending = made(make_refund)
    fragment = nisha.open("/refunds", partial=True, shown=f"/refunds/{pending.id}?status=approved&q=rao")
    assert pending.refund_number in fragment.text


def test_an_empty_queue_and_a_filter_without_match_read_differently(nisha):
    assert "No pending refunds" in nisha.open("/refunds").text
    assert "No match" in nisha.open("/refunds?q=zzz").text


def test_failed_and_unanswered_payments_stand_out_above_the_list_and_in_it(nisha, made):
    made(make_refund, status="approved", processing_state="failed")
    made(make_refund, status="approved", processing_state="unknown")

    pending, approved = nisha.open("/refunds"), nisha.open("/refunds?status=approved")

    assert "1 payment failed" in pending.text
    assert "1 without a certain answer from the gateway" in pending.text
    assert 'data-tone="danger"' in approved.text and "Payment failed" in approved.text
    assert 'data-tone="warning"' in approved.text and "Asking gateway" in approved.text


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e٣ 😀"


def test_what_customers_write_is_text_and_nothing_else(nisha, made):
    refund = made(hostile_refund)
    for page in (nisha.open("/refunds"), nisha.open(f"/refunds/{refund.id}"), nisha.open(f"/refunds/{refund.id}/approve")):
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


def hostile_refund(session):
    from tests.factories import make_booking, make_payment, make_vendor

    booking = make_booking(session, make_user(session, name=HOSTILE, email=HOSTILE), make_vendor(session, name=HOSTILE))
    return make_refund(session, make_payment(session, booking, method=HOSTILE), description=HOSTILE * 300, reason=HOSTILE[:90])


@pytest.mark.parametrize("text", ["\x00", "%00", "'; drop table refund_requests; --", "%ED%A0%80", "x" * 5000, "%", "_", "\\"])
def test_a_search_takes_any_text(nisha, text):
    assert nisha.client.get("/refunds", query_string=f"q={text}").status_code == 200


class TestSelection:
    def test_it_counts_and_sums_per_currency(self, nisha, made):
        ids = [made(make_refund, currency=currency, requested_amount_cents=1000).id for currency in ("INR", "INR", "USD")]

        bar = nisha.open(f"/refunds/selection?ids={','.join(map(str, ids))}", partial=True)

        assert "3 selected" in bar.text
        assert "₹20.00" in bar.text and "$10.00" in bar.text

    def test_the_form_of_a_browser_without_javascript_asks_the_same(self, nisha, made):
        first, second = made(make_refund), made(make_refund)
        page = nisha.open(f"/refunds/selection?ids={first.id}&ids={second.id}")
        assert "2 selected" in page.text and "<!doctype html>" in page.text

    @pytest.mark.parametrize("ids", ["", "x", "x,y", "," * 3000, "00000000-0000-0000-0000-000000000000"])
    def test_ids_that_are_none_select_nothing(self, nisha, ids):
        bar = nisha.open(f"/refunds/selection?ids={ids}", partial=True)
        assert bar.status_code == 200 and bar.text.strip() == ""


class TestRoles:
    def test_who_may_only_look_sees_no_way_to_decide(self, made, sign_in):
        agent = sign_in(made(make_admin, role="support_agent"))
        refund = made(make_refund)
        page = agent.open(f"/refunds/{refund.id}")
        assert "Your role may see refunds, not decide them." in page.text
        assert f"/refunds/{refund.id}/approve" not in page.text
        assert agent.open(f"/refunds/{refund.id}/approve").status_code == 403

    def test_who_may_not_look_is_told_which_permission_is_missing(self, made, sign_in):
        moderator = sign_in(made(make_admin, role="content_moderator"))
        page = moderator.open("/refunds")
        assert page.status_code == 403
        assert "refunds:list" in page.text
        assert 'href="/refunds"' not in moderator.open("/help/keys").text
