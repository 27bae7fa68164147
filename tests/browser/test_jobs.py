"""The monitor in a browser: live without losing focus, selection or an open dialog, and honest when it cannot be."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update
from sqlalchemy.orm import Session

from domain.db import now
from domain.jobs.models import Job, JobEvent
from tests.browser.looks import breaches, too_small_to_touch
from tests.factories import make_job, make_refund

pytestmark = pytest.mark.browser

EXPORT = {"report_type": "bookings", "from": "2026-10-01", "to": "2026-10-31", "format": "csv"}


@pytest.fixture
def mira(house):
    return house.admin(name="Mira Sen", email="mira@example.com", role="super_admin")


@pytest.fixture
def change(house):
    def write(job, **values):
        with Session(house.engine) as session:
            session.execute(update(Job).where(Job.id == job.id).values(**values))
            session.commit()

    return write


@pytest.fixture
def worker(house):
    """Starts a worker process; it ends with the test."""
    started = []

    def start():
        started.append(house.portal.start_worker())

    yield start
    for process in started:
        process.stop()
        house.portal.workers.remove(process)


def running(house, place=0, **fields):
    fields = {"type": "analytics_export", "progress_percent": 12, "stage": "120 of 1,000 rows", "payload": EXPORT, **fields}
    return house.make(make_job, status="processing", created_at=now() - timedelta(minutes=5 + place), **fields)


def polls(page: Page) -> list[str]:
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if "/now" in request.url else None)
    return seen


def next_poll(page: Page, status: int | None = None) -> None:
    with page.expect_response(lambda answer: "/now" in answer.url and status in (None, answer.status)):
        pass


def row(page: Page, job):
    return page.locator(f"#job-{job.id}")


def test_an_export_is_started_from_the_queue_watched_to_its_end_and_downloaded(house, visit, nisha, worker):
    refunds = [house.make(make_refund, priority="high") for _ in range(3)]
    house.make(make_refund, priority="low")
    page = visit(nisha)
    page.goto("/refunds?priority=high")
    page.get_by_role("link", name="Export").click()
    expect(page.get_by_role("dialog")).to_contain_text("High")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Export")).to_be_visible()
    expect(page.locator(".job__line")).to_contain_text("Pending")
    page.locator("#act-cancel").focus()

    worker()

    expect(page.locator(".job__line")).to_contain_text("Succeeded", timeout=40_000)
    expect(page.locator(".job__line")).to_contain_text("3 rows")
    expect(page.locator("#live")).to_have_count(0)
    expect(page.locator("#live-words")).to_have_text("Finished")
    expect(page.locator("#page-title")).to_be_focused()  # what had the focus, Cancel, is gone
    with page.expect_download() as download:
        page.get_by_role("link", name="Download result").click()
    assert download.value.suggested_filename.startswith("refunds")
    text = download.value.path().read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    assert all(refund.refund_number.encode() in text for refund in refunds)
    assert text.count(b"RF-") == 3


def test_selected_refunds_are_rejected_as_one_job(house, visit, nisha, worker):
    refunds = [house.make(make_refund) for _ in range(2)]
    worker()
    page = visit(nisha)
    page.goto("/refunds")
    page.locator("[data-pick-all]").check()
    page.get_by_role("link", name="Reject 2…").click()
    expect(page.locator("#dialog-title")).to_have_text("Reject 2 refunds")
    page.fill("#reason", "The photos show finished work.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Bulk decision")).to_be_visible()
    expect(page.locator(".job__line")).to_contain_text("2 rejected", timeout=40_000)
    for refund in refunds:
        expect(page.get_by_role("link", name=refund.refund_number)).to_be_visible()


def test_a_poll_moves_the_rows_and_nothing_else(house, visit, mira, change):
    first, second = running(house), running(house, 1)
    page = visit(mira)
    page.goto("/jobs")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    link = row(page, second).locator(".open")
    expect(link).to_be_focused()
    expect(page.locator("#chosen-words")).to_have_text("1 selected")

    change(first, progress_percent=70, stage="700 of 1,000 rows")
    new = house.make(make_job, status="succeeded", type="cleanup", created_at=now())

    expect(row(page, first).locator("progress")).to_have_attribute("value", "70")
    expect(row(page, new)).to_be_visible()
    expect(link).to_be_focused()
    expect(row(page, second).locator("[data-choose]")).to_be_checked()
    expect(row(page, first).locator("[data-choose]")).not_to_be_checked()
    expect(page.locator("#chosen-words")).to_have_text("1 selected")

    change(first, status="succeeded", finished_at=now(), result={"rows": 1000, "bytes": 5000}, lease_owner=None)
    expect(row(page, first)).to_contain_text("1,000 rows, 5 kB")
    expect(row(page, first).locator("progress")).to_have_count(0)
    expect(page.locator("#tab-succeeded .count")).to_have_text("2")
    expect(link).to_be_focused()


def test_a_job_is_cancelled_with_the_keyboard_while_the_page_moves(house, visit, mira, change):
    job, other = running(house), running(house, 1)
    page = visit(mira)
    page.goto("/jobs")
    page.keyboard.press("j")
    page.keyboard.press("Tab")
    expect(row(page, job).locator(".act")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#reason")).to_be_focused()
    asked = polls(page)
    change(other, progress_percent=50)
    page.keyboard.type("The wrong month")
    page.wait_for_timeout(2500)
    assert asked == [], "a poll ran behind an open dialog"
    expect(page.locator("#reason")).to_have_value("The wrong month")
    page.keyboard.press("Control+Enter")

    expect(page.locator("#status")).to_contain_text("cancelled.")
    expect(row(page, job)).to_contain_text("Cancelled")
    expect(row(page, job).locator(".open")).to_be_focused()
    cancelled = house.get(Job, job.id)
    assert (cancelled.status, cancelled.cancel_reason) == ("cancelled", "The wrong month")
    expect(row(page, other).locator("progress")).to_have_attribute("value", "50")


def test_several_are_deleted_after_their_number_was_said(house, visit, mira):
    for place in range(3):
        house.make(make_job, status="failed", created_at=now() - timedelta(minutes=10 + place))
    house.make(make_job)
    page = visit(mira)
    page.goto("/jobs")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.locator("#chosen").get_by_role("button", name="Delete…").click()
    expect(page.locator("#dialog-title")).to_have_text("Delete 1 job?")  # the pending one is left
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Delete the finished…").click()
    expect(page.locator("#dialog-title")).to_have_text("Delete 3 jobs?")
    page.get_by_role("button", name="Delete 3 jobs").click()
    expect(page.locator("#status")).to_contain_text("3 jobs deleted.")
    expect(page.locator("#tab-all .count")).to_have_text("1")
    expect(page.locator("#chosen")).not_to_be_visible()


def test_it_rests_when_it_is_paused_hidden_or_typed_into(house, visit, mira):
    running(house)
    page = visit(mira)
    page.goto("/jobs")
    next_poll(page)
    asked = polls(page)
    page.keyboard.press("p")
    expect(page.locator("#live-words")).to_contain_text("Paused")
    page.wait_for_timeout(2600)
    assert asked == []
    page.keyboard.press("p")
    next_poll(page)
    expect(page.locator("#live-words")).to_contain_text("Live, updated")

    page.keyboard.press("/")
    asked.clear()
    page.wait_for_timeout(2600)
    assert asked == []
    page.keyboard.press("Escape")
    next_poll(page)

    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
    asked.clear()
    page.wait_for_timeout(2600)
    assert asked == []


def test_a_poll_that_brings_nothing_new_touches_nothing(house, visit, mira):
    house.make(make_job, status="succeeded")
    page = visit(mira)
    page.goto("/jobs")
    next_poll(page, 200)
    next_poll(page, 304)
    page.evaluate(
        """() => { window.touched = 0; new MutationObserver((all) => { window.touched += all.length; })
            .observe(document.querySelector('#list'), {childList: true, subtree: true, characterData: true}); }"""
    )
    for _ in range(2):
        next_poll(page, 304)
    assert page.evaluate("window.touched") == 0


@pytest.mark.parametrize("trouble", ["the server answers 503", "nothing answers"])
def test_it_says_that_it_cannot_update_and_recovers(house, visit, mira, change, watch, trouble):
    job = running(house)
    page = visit(mira)
    page.goto("/jobs")
    next_poll(page)
    page.route("**/jobs/now*", lambda route: route.fulfill(status=503) if "503" in trouble else route.abort())
    expect(page.locator("#live-words")).to_have_text(re.compile(r"Not updating, last \d\d:\d\d:\d\d\."), timeout=30_000)
    assert page.locator("#alerts > *").count() == 0
    page.unroute("**/jobs/now*")
    watch.wrongs[:] = [
        wrong for wrong in watch.wrongs if "Failed to fetch" not in wrong
    ]  # htmx notes in the console what it could not fetch
    change(job, progress_percent=99)
    page.get_by_role("button", name="Retry").click()
    expect(row(page, job).locator("progress")).to_have_attribute("value", "99")
    expect(page.locator("#live-words")).to_contain_text("Live, updated")


def test_an_ended_session_leads_to_signing_in(house, visit, mira):
    running(house)
    page = visit(mira)
    page.goto("/jobs?status=processing")
    page.context.clear_cookies()
    page.wait_for_url(re.compile(r"/login\?next="))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_job_that_somebody_deleted_is_said_to_be_gone_once(house, visit, mira, change):
    job = running(house)
    page = visit(mira)
    page.goto(f"/jobs/{job.id}")
    change(job, status="cancelled", deleted_at=now())
    expect(page.get_by_role("alert").filter(has_text="Not found")).to_be_visible()
    asked = polls(page)
    page.wait_for_timeout(2600)
    assert asked == []


def test_filters_keep_their_address_and_the_poll_follows_them(house, visit, mira):
    failed = house.make(make_job, status="failed")
    running(house)
    page = visit(mira)
    page.goto("/jobs")
    page.locator("#tab-failed").click()
    expect(page.locator("#job-rows > tr[data-job]")).to_have_count(1)
    with page.expect_request(re.compile(r"/jobs/now\?status=failed")):
        pass
    expect(row(page, failed)).to_be_visible()
    assert page.url.endswith("/jobs?status=failed")
    page.reload()
    expect(page.locator("#tab-failed")).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(page.locator("#job-rows > tr[data-job]")).to_have_count(2)


def test_keys_lead_through_the_monitor(house, visit, mira):
    jobs = [running(house, place) for place in range(3)]
    page = visit(mira)
    page.goto("/refunds")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(row(page, jobs[0]).locator(".open")).to_be_focused()
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile(f"/jobs/{jobs[0].id}$"))


def test_everything_can_be_done_without_javascript(house, visit, mira):
    job = running(house)
    page = visit(mira, java_script_enabled=False)
    page.goto("/jobs")
    page.fill("#q", "export")
    page.keyboard.press("Enter")
    expect(page.locator("#job-rows > tr")).to_have_count(1)
    row(page, job).locator(".act").click()
    page.fill("#reason", "The wrong month")
    page.get_by_role("button", name="Cancel job").click()
    expect(page.locator(".job__line")).to_contain_text("Cancelled")
    page.goto("/jobs")
    page.locator("[data-choose]").check()
    page.get_by_role("button", name="Delete the selected…").click()
    page.get_by_role("button", name="Delete 1 job").click()
    expect(page.locator(".empty")).to_contain_text("No jobs yet")
    page.get_by_role("link", name="New export").click()
    page.select_option("#report_type", "payments")
    page.get_by_role("button", name="Start export").click()
    expect(page.get_by_role("heading", name="Export")).to_be_visible()


@pytest.fixture
def jobs(house):
    """One of each kind that looks different, by name."""
    refund = house.make(make_refund)
    payload = {"action": "approve", "refund_ids": [str(refund.id)], "reason": "Nobody came"}
    verdict = {"refund_id": str(refund.id), "refund_number": refund.refund_number, "verdict": "paid", "message": "Paid: re_1."}
    message = {"notice": "refund_approved", "refund_number": refund.refund_number}
    made = {
        "running": running(house),
        "pending": house.make(make_job, type="analytics_export", payload=EXPORT),
        "bulk": house.make(
            make_job, type="bulk_operation", status="succeeded", payload=payload, result={"counts": {"paid": 1}, "verdicts": [verdict]}
        ),
        "file": house.make(
            make_job,
            type="analytics_export",
            status="succeeded",
            payload=EXPORT,
            result={"rows": 9, "bytes": 90},
            result_file="exports/a.csv",
        ),
        "failed": house.make(make_job, type="notification", status="failed", payload=message),
        "cancelled": house.make(make_job, type="analytics_export", status="cancelled", payload=EXPORT, progress_percent=40),
        "payout": house.make(make_job, type="refund_processing", payload={"refund_id": str(refund.id)}),
    }
    house.make(make_job, type="notification", status="failed", payload=message)
    house.make(lambda session: session.add(JobEvent(job_id=made["running"].id, event="log", message="Counting rows")))
    return made


def open_dialog(page, path, selector):
    page.goto(path)
    page.locator(selector).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_no_view_breaks_wcag_or_scrolls_sideways(visit, mira, jobs):
    page = visit(mira)
    views = {
        "monitor": lambda: page.goto("/jobs"),
        "failed": lambda: page.goto("/jobs?status=failed&type=notification&by=me&from=2020-01-01&q=x"),
        "empty": lambda: page.goto("/jobs?q=zzz"),
        "not understood": lambda: page.goto("/jobs?from=yesterday"),
        "causes": lambda: page.goto("/jobs/failures"),
        **{name: lambda name=name: page.goto(f"/jobs/{jobs[name].id}") for name in jobs},
        "cancel": lambda: open_dialog(page, "/jobs", f"#cancel-{jobs['running'].id}"),
        "delete": lambda: open_dialog(page, f"/jobs/{jobs['failed'].id}", "#act-delete"),
        "retry": lambda: open_dialog(page, f"/jobs/{jobs['failed'].id}", "#act-retry"),
        "several": lambda: open_dialog(page, "/jobs", "#sweep-delete"),
        "export": lambda: open_dialog(page, "/jobs", "#new-export"),
        "export of the queue": lambda: open_dialog(page, "/refunds?priority=high&status=all", "#export"),
        "bulk as a page": lambda: page.goto("/jobs/decide/reject?ids=" + jobs["bulk"].payload["refund_ids"][0]),
        "export as a page": lambda: page.goto("/jobs/export"),
    }
    assert breaches(page, views) == {}


def test_a_card_is_still_a_row(visit, mira, jobs):
    page = visit(mira, width=320, height=640)
    page.goto("/jobs")
    tree = page.locator("#results").aria_snapshot()
    assert tree.count("- row ") + tree.count("- row:") >= len(jobs)
    assert "- cell" in tree and "- rowheader" in tree


def test_targets_are_large_enough_to_touch(house, visit, mira, jobs):
    page = visit(mira, width=390, height=844, has_touch=True)
    for path in ("/jobs", f"/jobs/{jobs['failed'].id}", "/jobs/failures"):
        page.goto(path)
        assert too_small_to_touch(page) == [], path
