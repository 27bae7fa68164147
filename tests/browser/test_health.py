"""The page that says how the portal is, looked at: both themes, wide and narrow, and while it keeps itself up to date."""

from uuid import uuid4

import pytest
from playwright.sync_api import expect

from domain.db import now
from domain.jobs import workers
from domain.traffic import writing
from domain.traffic.recording import Batch
from tests.browser.looks import breaches

pytestmark = pytest.mark.browser


def beat(session):
    workers.beat(session, uuid4(), host="here", pid=7, threads=4, jobs_running=1)


def busy(session):
    minute = int(now().timestamp()) // 60
    writing.write(session, uuid4(), Batch(1, {(minute - 60 * hour, "api", 2 if hour % 5 else 5, 50): (40, 900_000) for hour in range(23)}))


def test_the_page_is_whole_in_both_themes_wide_and_narrow_and_follows_what_happens(house, visit):
    house.make(busy)
    page = visit(house.admin(role="super_admin"))
    page.goto("/system/health")
    expect(page.locator(".service").first).to_contain_text("No worker is running")
    assert breaches(page, {"health": lambda: page.goto("/system/health")}) == {}
    house.make(beat)
    expect(page.locator("#health")).to_contain_text("Everything works.")
    expect(page.get_by_role("img", name="requests in the last 24 hours")).to_be_visible()
