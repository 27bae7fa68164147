"""The home page in a browser: it keeps itself up to date, and reads well however it is looked at."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from domain.db import now
from tests.browser.looks import breaches, too_small_to_touch
from tests.factories import make_job, make_refund

pytestmark = pytest.mark.browser


def test_it_fills_by_itself_leads_on_and_breaks_no_wcag(house, visit):
    page = visit(house.admin(name="Mira Sen", role="super_admin"))
    page.goto("/")
    expect(page.locator("#health-line")).to_contain_text("See the portal's health")
    expect(page.locator("#health-line .pill")).not_to_have_text("Health")  # the first poll said how it is
    expect(page.get_by_text("Nothing is waiting")).to_be_visible()
    assert breaches(page, {"nothing waits": lambda: page.goto("/")}) == {}

    house.make(make_refund, status="approved", processing_state="failed", processing_message="The card has expired.")
    house.make(make_refund, status="approved", processing_state="unknown")
    house.make(make_refund, status="processed")
    house.make(make_job, status="failed", finished_at=now())
    for currency, cents, days in (("INR", 12_460_000, 0), ("KWD", 84_250, 2), ("JPY", 15_800, 9)):
        house.make(make_refund, currency=currency, requested_amount_cents=cents, requested_at=now() - timedelta(days=days))

    expect(page.get_by_role("heading", name="3 refunds to decide")).to_be_visible()
    assert breaches(page, {"all kinds wait": lambda: page.goto("/")}) == {}
    page.set_viewport_size({"width": 390, "height": 844})
    assert too_small_to_touch(page) == []
    page.get_by_role("link", name="1 payment failed").click()
    expect(page.locator("#rows")).to_contain_text("Payment failed")
