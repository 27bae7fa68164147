"""A day at the portal, as its people spend it."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.gateways import sandbox
from domain.audit.models import AuditEntry
from domain.db import now
from domain.refunds.models import Refund
from tests.browser.conftest import PASSWORD, code_of_now
from tests.browser.looks import axe
from tests.factories import make_refund

pytestmark = pytest.mark.browser


def queue_of(house, count, **fields):
    """That many pending refunds, in the order of the list."""
    return [house.make(make_refund, requested_at=now() - timedelta(minutes=10 * place), **fields) for place in range(count)]


def focused(page: Page) -> str:
    return page.evaluate("() => document.activeElement.textContent.trim()")


def test_twenty_refunds_are_decided_with_the_keyboard_alone(house, visit, nisha):
    refunds = queue_of(house, 22)
    page = visit()
    page.goto("/refunds")

    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(nisha.email)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    expect(page.locator("#code")).to_be_focused()
    page.keyboard.type(code_of_now())
    page.keyboard.press("Enter")
    expect(page.locator("#rows > tr")).to_have_count(22)
    page.wait_for_load_state()

    page.keyboard.press("j")
    for place, refund in enumerate(refunds[:20]):
        assert focused(page) == refund.refund_number
        if place % 5 == 0:
            page.keyboard.press("o")
            expect(page.locator("#drawer #detail-title")).to_have_text(refund.refund_number)
        rejected = place % 4 == 3
        page.keyboard.press("r" if rejected else "a")
        expect(page.locator("#dialog-title")).to_contain_text(refund.refund_number)
        if not rejected:
            expect(page.locator("#amount")).to_be_focused()
            page.keyboard.press("Tab")
            page.keyboard.press("Tab")
        expect(page.locator("#reason")).to_be_focused()
        page.keyboard.type("Confirmed with the vendor.")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#status")).to_contain_text(f"{refund.refund_number} {'rejected' if rejected else 'approved'}")
        expect(page.locator("#dialog")).not_to_be_visible()

    expect(page.locator("#tab-pending .count")).to_have_text("2")
    states = [house.get(Refund, refund.id).status for refund in refunds]
    assert [state for state in states if state == "pending"] == ["pending"] * 2
    assert states[3] == "rejected" and states[0] == "processed"
    assert axe(page) == []


def test_two_admins_give_the_two_approvals_of_a_large_refund(house, visit, nisha):
    refund = house.make(make_refund, requested_amount_cents=9_845_000)
    first = visit(nisha)
    first.goto("/refunds")
    first.get_by_role("link", name=refund.refund_number).click()
    expect(first.locator(".notice--warning")).to_contain_text("Over the dual-approval limit of ₹85,000.00")
    first.locator("[data-act=approve]").click()
    expect(first.get_by_role("dialog")).to_contain_text("This is approval 1 of 2")
    first.fill("#reason", "The vendor agrees.")
    first.get_by_role("button", name="Approve ₹98,450.00").click()
    expect(first.locator("#drawer .pill").first).to_have_text("1 of 2 approved")
    expect(first.locator("#drawer")).to_contain_text("You gave the first approval")

    second = visit(house.admin(name="Omar Haddad"))
    second.goto("/refunds?awaiting=1")
    second.get_by_role("link", name=refund.refund_number).click()
    second.locator("[data-act=approve]").click()
    expect(second.get_by_role("dialog")).to_contain_text("This is approval 2 of 2")
    second.fill("#reason", "Seen the pictures.")
    second.get_by_role("button", name="Approve ₹98,450.00").click()
    expect(second.locator("#status")).to_contain_text("₹98,450.00 refunded")
    assert house.get(Refund, refund.id).status == "processed"


def test_somebody_who_was_slower_is_told_who_decided(house, visit, nisha):
    refund = house.make(make_refund)
    slow, fast = visit(nisha), visit(house.admin(name="Omar Haddad"))
    for page in (slow, fast):
        page.goto(f"/refunds/{refund.id}")
        page.locator("[data-act=approve]").click()
        page.fill("#reason", "The vendor agrees.")
    fast.locator("[data-submit]").click()
    expect(fast.locator("#status")).to_contain_text("approved")
    slow.locator("[data-submit]").click()
    expect(slow.get_by_role("dialog")).to_contain_text("Omar Haddad approved it")
    expect(slow.get_by_role("dialog")).to_contain_text("The vendor agrees.")
    slow.get_by_role("button", name="Close").last.click()
    expect(slow.locator(".detail__bar .pill")).to_have_text("Processed")


def test_a_declined_payment_is_red_and_tried_again_from_the_drawer(house, visit, nisha):
    refund = house.make(make_refund, requested_amount_cents=sandbox.CARD_CLOSED)
    page = visit(nisha)
    page.goto("/refunds")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.keyboard.press("a")
    page.fill("#reason", "The vendor agrees.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#drawer .notice--danger")).to_contain_text("The payment failed")
    expect(page.locator(f"#refund-{refund.id} .pill--danger")).to_have_text("Payment failed")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#drawer .timeline")).to_contain_text("Payment tried again")


def test_an_answer_that_was_lost_is_amber_and_asks_for_nothing(house, visit, nisha):
    house.make(make_refund, requested_amount_cents=sandbox.LOST_ANSWER)
    page = visit(nisha)
    page.goto("/refunds")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.keyboard.press("a")
    page.fill("#reason", "The vendor agrees.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("approved")
    expect(page.locator("#drawer .detail__standing")).not_to_contain_text("Try again")


def test_an_open_refund_hears_of_the_gateways_answer_without_a_reload(house, visit, nisha):
    refund = house.make(make_refund, status="approved", processing_state="unknown")
    page = visit(nisha)
    page.goto("/refunds?status=all")
    page.get_by_role("link", name=refund.refund_number).click()
    expect(page.locator("#drawer .notice--warning")).to_contain_text("no certain answer yet")
    with Session(house.engine) as session:
        answered = session.get_one(Refund, refund.id)
        answered.status, answered.processing_state, answered.processed_at = "processed", "done", now()
        session.commit()
    page.mouse.move(200, 200)
    expect(page.locator("#drawer .detail__bar .pill")).to_have_text("Processed")
    expect(page.locator(f"#refund-{refund.id} .pill")).to_have_text("Processed")
    expect(page.locator("#drawer [hx-trigger]")).to_have_count(0)
    expect(page.locator("#detail-title")).to_be_focused()


def test_a_double_click_sends_one_order(house, visit, nisha):
    refund = house.make(make_refund)
    page = visit(nisha)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto("/refunds")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.fill("#reason", "The vendor agrees.")
    page.locator("[data-submit]").dblclick()
    expect(page.locator("#status")).to_contain_text("approved")
    assert len(sent) == 1
    approvals = select(AuditEntry).where(AuditEntry.action == "refund.approved", AuditEntry.object_id == str(refund.id))
    assert len(house.all(approvals)) == 1
    assert house.get(Refund, refund.id).status == "processed"


def test_everything_can_be_done_without_javascript(house, visit, nisha):
    first, second = queue_of(house, 2)
    page = visit(nisha, java_script_enabled=False)
    page.goto("/refunds")
    page.fill("#q", first.refund_number)
    page.keyboard.press("Enter")
    expect(page.locator("#rows > tr")).to_have_count(1)
    page.get_by_role("link", name=first.refund_number).click()
    page.locator("[data-act=approve]").click()
    page.get_by_role("button", name="Approve ₹1,000.00").click()
    expect(page.locator("#reason-error")).to_be_visible()
    page.fill("#reason", "The vendor agrees.")
    page.get_by_role("button", name="Approve ₹1,000.00").click()
    expect(page.locator(".detail__bar .pill")).to_have_text("Processed")

    page.goto(f"/refunds/{second.id}")
    page.locator("[data-act=reject]").click()
    page.fill("#reason", "The photos show finished work.")
    page.select_option("#offer_alternative", "discount")
    page.get_by_role("button", name="Reject refund").click()
    expect(page.locator(".detail__bar .pill")).to_have_text("Rejected")

    page.goto("/refunds?status=all")
    for box in page.locator("[data-pick]").all():
        box.check()
    page.get_by_role("button", name="Sum of the selected").click()
    expect(page.locator(".selection")).to_contain_text("2 selected")

    page.goto("/account")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_second_factor_is_set_up_with_what_the_page_shows(house, visit):
    import pyotp

    from tests.factories import make_admin

    lena = house.make(make_admin, name="Lena Fischer")
    page = visit(lena)
    page.goto("/account")
    page.get_by_role("link", name="Set up two-step sign-in").click()
    expect(page.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
    page.fill("#code", "000000")
    page.keyboard.press("Enter")
    expect(page.locator("#code-error")).to_be_visible()
    page.fill("#code", pyotp.TOTP(page.locator("#secret").inner_text().replace(" ", "")).now())
    page.keyboard.press("Enter")
    expect(page.locator(".codes li")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.locator("main")).to_contain_text("10 of 10 recovery codes are left")
