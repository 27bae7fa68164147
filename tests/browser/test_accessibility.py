"""Every view in both themes, wide and narrow: open, empty and refused. WCAG 2.2 AA as far as a program can tell."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from domain.db import now
from domain.refunds.models import RefundApproval
from tests.browser.conftest import PASSWORD
from tests.browser.looks import axe, breaches, settled, too_small_to_touch
from tests.factories import make_admin, make_payment, make_refund

pytestmark = pytest.mark.browser


@pytest.fixture
def refunds(house):
    """One of each kind that looks different, by name."""
    made = {
        "pending": house.make(make_refund, evidence=[{"type": "image", "url": "https://cdn.example.net/door.jpg"}, {"url": "http://x"}]),
        "large": house.make(make_refund, requested_amount_cents=9_845_000, requested_at=now() - timedelta(days=3), priority="urgent"),
        "half": house.make(make_refund, currency="KWD", requested_amount_cents=84_250, priority="high"),
        "failed": house.make(make_refund, status="approved", processing_state="failed", processing_message="The card has expired."),
        "unknown": house.make(make_refund, status="approved", processing_state="unknown"),
        "accepted": house.make(make_refund, status="approved", processing_state="accepted", transaction_id="re_3PqS8x2eZvKYlo2C"),
        "queued": house.make(make_refund, status="approved"),
        "processed": house.make(make_refund, status="processed", priority="low"),
        "rejected": house.make(
            make_refund, status="rejected", decision_reason="The photos show finished work.", offer_alternative="discount"
        ),
    }
    omar = house.admin(name="Omar Haddad")
    house.make(
        lambda session: session.add(RefundApproval(refund_id=made["half"].id, admin_id=omar.id, amount_cents=84_250, reason="Agreed."))
    )
    house.make(lambda session: make_refund(session, make_payment(session, session.merge(made["processed"]).booking)))
    return made


def open_drawer(page, refund, path="/refunds?status=all"):
    page.goto(path)
    page.get_by_role("link", name=refund.refund_number).click()
    expect(page.locator("#drawer .detail")).to_be_visible()


def open_form(page, refund, act):
    page.goto(f"/refunds/{refund.id}")
    page.locator(f"[data-act={act}]").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def refused_form(page, refund, act):
    open_form(page, refund, act)
    page.locator("[data-submit]").click()
    expect(page.locator("#reason-error")).to_be_visible()


def views(page: Page, refunds: dict) -> dict[str, Callable[[], object]]:
    return {
        "queue": lambda: page.goto("/refunds?status=all"),
        "queue, filtered": lambda: page.goto("/refunds?status=all&q=rao&priority=high&from=2020-01-01"),
        "queue, empty": lambda: page.goto("/refunds?q=zzz"),
        "queue, not understood": lambda: page.goto("/refunds?from=yesterday"),
        "refund page": lambda: page.goto(f"/refunds/{refunds['pending'].id}"),
        **{f"drawer, {name}": lambda name=name: open_drawer(page, refunds[name]) for name in refunds},
        "approve": lambda: open_form(page, refunds["pending"], "approve"),
        "approve, 1 of 2": lambda: open_form(page, refunds["large"], "approve"),
        "approve, 2 of 2": lambda: open_form(page, refunds["half"], "approve"),
        "approve, refused": lambda: refused_form(page, refunds["pending"], "approve"),
        "reject": lambda: open_form(page, refunds["pending"], "reject"),
        "reject, refused": lambda: refused_form(page, refunds["pending"], "reject"),
        "approve as a page": lambda: page.goto(f"/refunds/{refunds['large'].id}/approve"),
        "decided already": lambda: page.goto(f"/refunds/{refunds['rejected'].id}/approve"),
        "selection": lambda: page.goto(f"/refunds/selection?ids={refunds['pending'].id}"),
        "help": lambda: page.goto("/help/keys"),
        "account": lambda: page.goto("/account"),
        "two-step": lambda: page.goto("/account/two-step"),
        "recovery codes": lambda: page.goto("/account/recovery-codes"),
        "not found": lambda: page.goto("/nothing"),
    }


def test_no_view_breaks_wcag_or_scrolls_sideways(visit, nisha, refunds):
    page = visit(nisha)
    assert breaches(page, views(page, refunds)) == {}


def test_the_way_in_breaks_no_wcag_either(house, visit):
    admin = house.admin()
    page = visit()

    def refused():
        page.goto("/login")
        page.fill("#email", admin.email)
        page.fill("#password", "wrong but long enough")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("wrong")

    def second_step():
        page.goto("/login")
        page.fill("#email", admin.email)
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Second step")).to_be_visible()

    def wrong_code():
        second_step()
        page.fill("#code", "000000")
        page.keyboard.press("Enter")
        expect(page.locator("#code-error")).to_be_visible()

    ways = {"sign in": lambda: page.goto("/login"), "refused": refused, "second step": second_step, "wrong code": wrong_code}
    assert breaches(page, ways) == {}


def test_sheets_of_a_phone_break_no_wcag(visit, nisha, refunds):
    page = visit(nisha, width=390, height=844, has_touch=True)
    page.goto("/refunds")
    page.get_by_role("button", name="Menu").click()
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filters").click()
    page.locator("summary", has_text="Amount").click()
    assert axe(page) == []


def test_filter_panels_and_the_help_dialog_break_no_wcag(visit, nisha, refunds):
    page = visit(nisha)
    page.goto("/refunds")
    for name in ("Requested", "Amount", "Reason", "Priority"):
        page.locator("summary", has_text=name).click()
        assert axe(page) == [], name
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    settled(page)
    assert axe(page) == []


def test_the_list_is_still_a_table_when_it_is_shown_as_cards(visit, nisha, refunds):
    page = visit(nisha, width=390, height=844)
    page.goto("/refunds?status=all")
    tree = page.locator("#results").aria_snapshot()
    assert tree.count("- row ") + tree.count("- row:") >= len(refunds)
    assert "- cell" in tree and "- rowheader" in tree


def test_targets_are_large_enough_to_touch(visit, nisha, refunds):
    page = visit(nisha, width=390, height=844, has_touch=True)
    for path in ("/refunds", f"/refunds/{refunds['pending'].id}", "/account"):
        page.goto(path)
        assert too_small_to_touch(page) == [], path


def test_colours_that_the_system_forces_leave_states_readable(visit, nisha, refunds):
    page = visit(nisha, forced_colors="active", reduced_motion="reduce")
    page.goto("/refunds?status=all")
    expect(page.locator("#rows")).to_contain_text("Payment failed")
    assert page.evaluate("() => getComputedStyle(document.querySelector('.pill')).borderTopStyle") == "solid"


def test_who_may_not_decide_meets_no_dead_buttons(house, visit, refunds):
    page = visit(house.make(make_admin, role="support_agent", name="Sam Okafor"))
    page.goto(f"/refunds/{refunds['pending'].id}")
    expect(page.locator("main")).to_contain_text("Your role may see refunds, not decide them.")
    page.keyboard.press("a")
    expect(page.locator("#dialog")).not_to_be_visible()
    assert axe(page) == []
