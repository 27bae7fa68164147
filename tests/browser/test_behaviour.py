"""How the pages behave between the clicks: focus, history, keys, the theme, an ended session."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from domain.db import now
from tests.factories import make_refund

pytestmark = pytest.mark.browser


@pytest.fixture
def refunds(house):
    return [house.make(make_refund, requested_at=now() - timedelta(minutes=10 * place)) for place in range(3)]


@pytest.fixture
def page(visit, nisha, refunds) -> Page:
    page = visit(nisha)
    page.goto("/refunds")
    return page


def test_a_first_visit_costs_few_requests(visit, nisha, refunds):
    page = visit(nisha)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/refunds", wait_until="networkidle")
    assert len(asked) <= 7, asked


def test_the_drawer_has_an_address_that_back_and_reload_honour(page, refunds):
    page.get_by_role("link", name=refunds[0].refund_number).click()
    expect(page.locator("#drawer .detail")).to_be_visible()
    assert page.url.endswith(f"/refunds/{refunds[0].id}")
    page.keyboard.press("j")
    expect(page.locator("#drawer #detail-title")).to_have_text(refunds[1].refund_number)
    page.go_back()
    expect(page.locator("#rows > tr")).to_have_count(3)
    expect(page.locator("#drawer .detail")).to_have_count(0)
    assert page.url.endswith("/refunds")
    page.go_forward()
    expect(page.locator("main .detail #detail-title")).to_have_text(refunds[1].refund_number)
    page.reload()
    expect(page.locator("main .detail #detail-title")).to_have_text(refunds[1].refund_number)


def test_closing_the_drawer_returns_to_its_row_and_to_the_lists_address(page, refunds):
    page.goto("/refunds?status=all")
    page.get_by_role("link", name=refunds[1].refund_number).click()
    expect(page.locator("#detail-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer .detail")).to_have_count(0)
    expect(page.get_by_role("link", name=refunds[1].refund_number)).to_be_focused()
    assert page.url.endswith("/refunds?status=all")


def test_escape_closes_a_dialog_and_gives_the_focus_back(page, refunds):
    page.get_by_role("link", name=refunds[0].refund_number).click()
    opener = page.locator("[data-act=approve]")
    opener.click()
    expect(page.locator("#amount")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).not_to_be_visible()
    expect(opener).to_be_focused()


def test_after_the_last_row_is_decided_the_one_before_has_the_focus(page, refunds):
    for _ in range(3):
        page.keyboard.press("j")
    expect(page.get_by_role("link", name=refunds[2].refund_number)).to_be_focused()
    page.keyboard.press("r")
    page.locator("#reason").fill("The photos show finished work.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("rejected")
    expect(page.get_by_role("link", name=refunds[1].refund_number)).to_be_focused()


def test_a_search_keeps_the_field_and_says_what_it_found(page, refunds):
    page.keyboard.press("/")
    page.keyboard.type(refunds[1].refund_number, delay=20)
    expect(page.locator("#rows > tr")).to_have_count(1)
    expect(page.locator("#q")).to_be_focused()
    expect(page.locator("#q")).to_have_value(refunds[1].refund_number)
    expect(page.locator("#status")).to_have_text("1 refund")


def test_selecting_sums_and_clears(page):
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".selection")).to_contain_text("2 selected")
    expect(page.locator(".selection")).to_contain_text("₹2,000.00")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator(".selection")).to_have_count(0)
    page.locator("[data-pick-all]").check()
    expect(page.locator(".selection")).to_contain_text("3 selected")


def test_brackets_turn_the_pages_and_g_r_leads_back_to_the_queue(house, page):
    for _ in range(25):
        house.make(make_refund)
    page.reload()
    page.keyboard.press("]")
    expect(page.locator("div.pager")).to_contain_text("26–28 of 28")
    page.keyboard.press("[")
    expect(page.locator("div.pager")).to_contain_text("1–25 of 28")
    page.goto("/account")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.locator("#rows > tr")).to_have_count(25)


def test_keys_rest_while_somebody_types(page):
    page.keyboard.press("/")
    page.keyboard.type("jart?")
    expect(page.locator("#q")).to_have_value("jart?")
    expect(page.locator("#dialog")).not_to_be_visible()


def test_single_keys_can_be_switched_off_and_stay_off(page):
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    page.get_by_role("checkbox", name="Single-key shortcuts are on").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(page.locator("#dialog")).not_to_be_visible()
    assert page.evaluate("() => document.activeElement === document.body")


def test_the_theme_is_kept_and_there_before_the_first_paint(page):
    before = page.evaluate("() => getComputedStyle(document.body).color")
    page.keyboard.press("t")
    after = page.evaluate("() => getComputedStyle(document.body).color")
    assert before != after
    page.reload(wait_until="commit")
    page.wait_for_function("() => document.body")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_browsers_keep_nothing_about_anybody(page, refunds):
    page.get_by_role("link", name=refunds[0].refund_number).click()
    page.keyboard.press("t")
    kept = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert kept == '[{"theme":"dark"},{}]'


def test_an_ended_session_leads_to_the_sign_in_page_and_never_into_the_list(page):
    page.context.clear_cookies()
    page.get_by_role("link", name="Approved").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "/login?next=/refunds" in page.url
    expect(page.locator("#list")).to_have_count(0)


def test_what_was_typed_outlives_an_ended_session(page, house, nisha, refunds):
    page.get_by_role("link", name=refunds[0].refund_number).click()
    page.locator("[data-act=reject]").click()
    page.fill("#reason", "A long and careful reason.")
    page.context.clear_cookies()
    page.locator("[data-submit]").click()
    expect(page.locator("#refusal")).to_contain_text("what you typed is still here")

    page.context.add_cookies([house.cookie(nisha)])  # as after signing in again in another tab
    page.locator("[data-submit]").click()
    expect(page.locator("#refusal")).to_contain_text("This page is out of date")
    expect(page.locator("#reason")).to_have_value("A long and careful reason.")
    page.locator("[data-submit]").click()
    expect(page.locator("#status")).to_contain_text("rejected")


def test_whoever_reads_for_long_is_told_before_the_session_ends_and_can_stay(visit, nisha, refunds):
    page = visit(nisha)
    page.clock.install()
    page.goto("/refunds")
    page.clock.fast_forward("26:00")
    expect(page.locator("#alerts .notice")).to_have_count(0)
    page.clock.fast_forward("01:30")
    expect(page.locator("#alerts")).to_contain_text("You will be signed out in 2 minutes")
    page.get_by_role("button", name="Stay signed in").click()
    expect(page.locator("#status")).to_have_text("You stay signed in")
    expect(page.locator("#alerts .notice")).to_have_count(0)


def test_back_after_signing_out_shows_no_page_from_before(page):
    page.goto("/account")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_no_answer_from_the_server_is_said_inside_the_dialog(page, watch, refunds):
    page.get_by_role("link", name=refunds[0].refund_number).click()
    page.locator("[data-act=approve]").click()
    page.fill("#reason", "The vendor agrees.")
    page.context.set_offline(True)
    with page.expect_event("requestfailed"):
        page.locator("[data-submit]").click()
    expect(page.locator("#refusal")).to_contain_text("No answer from the server")
    page.context.set_offline(False)
    page.locator("[data-submit]").click()
    expect(page.locator("#status")).to_contain_text("approved")
    assert all("Failed to fetch" in wrong for wrong in watch.wrongs)
    watch.wrongs.clear()


def test_the_button_repeats_the_amount_as_it_is_typed(page, refunds):
    page.get_by_role("link", name=refunds[0].refund_number).click()
    page.locator("[data-act=approve]").click()
    submit = page.locator("[data-submit]")
    expect(submit).to_have_text("Approve ₹1,000.00")
    for typed, said in (("250", "Approve ₹250.00"), ("1,23", "Approve refund"), ("1,000.5", "Approve ₹1,000.50"), ("", "Approve refund")):
        page.fill("#amount", typed)
        expect(submit).to_have_text(said)
    page.get_by_role("button", name="Use full").click()
    expect(page.locator("#amount")).to_have_value("1000.00")
    expect(submit).to_have_text("Approve ₹1,000.00")


def test_the_menu_and_the_filters_open_on_a_phone(visit, nisha, refunds):
    page = visit(nisha, width=390, height=844, has_touch=True)
    page.goto("/refunds")
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filters").click()
    page.locator("summary", has_text="Priority").click()
    page.get_by_role("link", name="Normal").click()
    expect(page.get_by_role("button", name="Filters · 1")).to_be_visible()
    page.get_by_role("link", name=refunds[0].refund_number).click()
    expect(page.locator("#drawer .detail")).to_be_visible()
    assert page.evaluate("() => document.querySelector('#main').inert")
    page.get_by_role("button", name="Back to the list").click()
    expect(page.locator("#rows > tr")).to_have_count(3)
