"""The audit log in a browser: narrowed, turned, opened, carried away; in both themes, wide and narrow."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from domain.jobs.models import Job
from tests.browser.looks import breaches, too_small_to_touch
from tests.factories import actor_for, make_refund

pytestmark = pytest.mark.browser


@pytest.fixture
def mira(house):
    return house.admin(name="Mira Sen", email="mira@example.com", role="super_admin")


@pytest.fixture
def refund(house, mira):
    """A refund with a life of thirty entries, the last two of them Mira's."""

    def live(session):
        refund, actor = make_refund(session), actor_for(session.merge(mira))
        for number in range(28):
            audit.record(session, SYSTEM, "refund.retried", refund, before={"attempt": number}, after={"attempt": number + 1})
        lists = {"before": {"permissions": ["jobs:list"], "note": "x" * 200}, "after": {"permissions": ["refunds:list"], "note": "y" * 300}}
        audit.record(session, actor, "role.changed", refund, **lists)
        audit.record(session, actor, "refund.rejected", refund, before={"status": "pending"}, after={"status": "rejected"}, reason="Done.")
        return refund

    return house.make(live)


def newest(house, action):
    return house.all(select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.sequence.desc()).limit(1))[0]


def test_somebody_finds_an_act_reads_what_it_changed_and_takes_the_list_away(house, visit, mira, refund):
    page = visit(mira)
    page.goto(f"/refunds/{refund.id}")
    page.get_by_role("link", name="All of it in the audit log").click()
    expect(page.locator("#results")).to_contain_text("30 entries")
    page.get_by_role("link", name="Older").click()
    expect(page.locator("#audit-rows tr")).to_have_count(5)
    page.get_by_role("link", name="Newer").click()
    expect(page.locator("#audit-rows tr")).to_have_count(25)

    page.locator("summary").filter(has_text="What").click()
    page.locator(".kinds > summary").filter(has_text="Refunds").click()
    page.locator(".kinds a").filter(has_text="Refund rejected").click()
    expect(page.locator("#audit-rows tr")).to_have_count(1)
    assert "action=refund.rejected" in page.url

    page.locator("#export").click()
    expect(page.get_by_role("dialog")).to_contain_text("Refund rejected")
    page.get_by_role("button", name="Start export").click()
    expect(page.get_by_role("heading", name="Audit export")).to_be_visible()
    [job] = house.all(select(Job).where(Job.type == "audit_export"))
    assert (job.payload["object_id"], job.payload["action"]) == (str(refund.id), ["refund.rejected"])

    page.go_back()
    page.locator("#audit-rows a.open").first.click()
    expect(page.get_by_role("heading", name="Refund rejected")).to_be_visible()
    expect(page.locator(".changes")).to_contain_text("pending")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("heading", name="Role changed")).to_be_visible()


def test_no_view_breaks_wcag_or_scrolls_sideways(house, visit, mira, refund):
    page = visit(mira)
    views = {
        "log": lambda: page.goto("/audit"),
        "narrowed": lambda: page.goto(f"/audit?object=refund_requests&id={refund.id}&by=me&from=2020-01-01&q=e"),
        "empty": lambda: page.goto("/audit?q=zzz"),
        "not understood": lambda: page.goto("/audit?from=yesterday"),
        "difference": lambda: page.goto(f"/audit/{newest(house, 'role.changed').id}"),
        "export": lambda: (page.goto("/audit"), page.locator("#export").click(), expect(page.get_by_role("dialog")).to_be_visible()),
        "export as a page": lambda: page.goto("/audit/export?group=refunds"),
    }
    assert breaches(page, views) == {}
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/audit")
    assert too_small_to_touch(page) == []
