"""One refund, in the drawer and on its own page."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.db import now
from tests.factories import make_refund


def test_htmx_gets_the_drawer_and_a_browser_the_page(nisha, made):
    refund = made(make_refund)
    drawer, page = nisha.open(f"/refunds/{refund.id}", partial=True), nisha.open(f"/refunds/{refund.id}")
    assert drawer.text.lstrip().startswith("<title>")
    assert "<html" not in drawer.text and '<article class="detail"' in drawer.text
    assert "<!doctype html>" in page.text
    assert f"<title>{refund.refund_number} - Refunds - Marketplace Admin</title>" in page.text


def test_links_lead_back_to_the_list_as_it_was_filtered(nisha, made):
    refund = made(make_refund)
    page = nisha.open(f"/refunds/{refund.id}?status=all&q=rao")
    assert 'href="/refunds?status=all&amp;q=rao"' in page.text
    drawer = nisha.open(f"/refunds/{refund.id}", partial=True, shown="/refunds?status=all&q=rao")
    assert f'href="/refunds/{refund.id}/approve?status=all&amp;q=rao"' in drawer.text


def test_it_shows_what_was_paid_and_what_is_left(nisha, made):
    refund = made(lambda session: make_refund(session, requested_amount_cents=9_845_000))
    text = nisha.open(f"/refunds/{refund.id}").text
    assert "₹98,450.00" in text
    assert "Needs two approvals" in text
    assert "Over the dual-approval limit of ₹85,000.00." in text


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example.net/a.jpg",
        "javascript:alert(1)",
        "data:text/html,hello",
        "//cdn.example.net/a.jpg",
        "https://",
        "https://someone@cdn.example.net/a.jpg",
        "https://cdn.example.net\\@evil.example/",
        "https://[half",
        "HTTPS:/a.jpg",
    ],
)
def test_evidence_that_is_no_safe_link_is_named_and_not_linked(nisha, made, url):
    refund = made(make_refund, evidence=[{"type": "image", "url": url}])
    page = nisha.open(f"/refunds/{refund.id}")
    assert "its address is not a safe link" in page.text
    assert 'target="_blank"' not in page.text


def test_evidence_opens_elsewhere_and_is_never_fetched_from_here(nisha, made):
    refund = made(make_refund, evidence=[{"type": "image", "url": "https://cdn.example.net/p/door.jpg?x=1&y=2"}])
    page = nisha.open(f"/refunds/{refund.id}")
    assert '<a href="https://cdn.example.net/p/door.jpg?x=1&amp;y=2" rel="noreferrer noopener" target="_blank">' in page.text
    assert "<img" not in page.text


@pytest.mark.parametrize("evidence", [["text"], [{"type": "image"}], [{"url": 7}], [None], [{"type": [], "url": "https://a.example/"}]])
def test_evidence_of_any_shape_does_no_harm(nisha, made, evidence):
    refund = made(make_refund, evidence=evidence)
    assert nisha.open(f"/refunds/{refund.id}").status_code == 200


def test_a_failed_payment_is_red_says_why_and_can_be_tried_again(nisha, made):
    refund = made(make_refund, status="approved", processing_state="failed", processing_message="The card has expired.")
    drawer = nisha.open(f"/refunds/{refund.id}", partial=True).text
    assert "notice--danger" in drawer
    assert "The card has expired." in drawer
    assert "Try again" in drawer
    assert "Approve…" not in drawer


def test_an_unanswered_gateway_is_amber_and_asks_for_nothing(nisha, made):
    refund = made(make_refund, status="approved", processing_state="unknown")
    drawer = nisha.open(f"/refunds/{refund.id}", partial=True).text
    assert "notice--warning" in drawer
    assert "Asking the gateway, no certain answer yet" in drawer
    assert "Try again" not in drawer


def test_while_it_is_under_way_it_asks_how_it_stands_and_stops_when_settled(nisha, made):
    under_way = [("approved", "queued"), ("approved", "unknown"), ("approved", "accepted")]
    for status, state in [*under_way, ("approved", "failed"), ("processed", "done")]:
        refund = made(make_refund, status=status, processing_state=state)
        answer = nisha.open(f"/refunds/{refund.id}/now", partial=True)
        assert ('hx-trigger="tick from:body"' in answer.text) is ((status, state) in under_way)
        assert f'hx-target="#refund-{refund.id}"' in answer.text
        assert "<!doctype html>" in nisha.open(f"/refunds/{refund.id}/now").text


def test_other_refunds_of_the_payment_are_listed(nisha, made):
    first = made(make_refund)
    second = made(lambda session: make_refund(session, session.merge(first).payment))
    assert second.refund_number in nisha.open(f"/refunds/{first.id}").text


def test_one_that_is_not_there_is_not_found_in_the_drawer_and_as_a_page(nisha):
    drawer, page = nisha.open(f"/refunds/{uuid4()}", partial=True), nisha.open(f"/refunds/{uuid4()}")
    assert (drawer.status_code, drawer.headers["HX-Retarget"]) == (404, "#alerts")
    assert "<!doctype html>" not in drawer.text
    assert page.status_code == 404 and "Back to the portal" in page.text


@pytest.mark.parametrize("path", ["/refunds/7", "/refunds/x/approve", "/nothing", "/assets/x/nothing.css"])
def test_unknown_addresses_have_a_page_of_their_own(nisha, path):
    page = nisha.open(path)
    assert page.status_code == 404
    assert "There is nothing at this address" in page.text


def test_without_its_database_the_portal_says_so_and_keeps_its_secrets(nisha, engine):
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("alter table admin_sessions rename to gone"))
    else:
        engine.dispose()
        Path(engine.url.database).unlink()
    page, part = nisha.open("/refunds"), nisha.open("/refunds", partial=True)
    assert (page.status_code, part.status_code) in {(503, 503), (500, 500)}
    assert "Request" in page.text and "Back to the portal" in page.text
    assert part.headers["HX-Retarget"] == "#alerts"
    for answer in (page, part):
        assert "admin_sessions" not in answer.text and "sqlite" not in answer.text and "Traceback" not in answer.text


def test_a_method_that_is_not_taken_is_no_crash(nisha):
    assert nisha.client.delete("/refunds").status_code in (403, 405)


def test_a_past_that_the_audit_log_did_not_see_is_told_by_the_rows(nisha, made):
    moment = now()
    refund = made(make_refund, status="processed", decision_reason="Settled before the move.", approved_at=moment, processed_at=moment)
    activity = nisha.open(f"/refunds/{refund.id}").text.partition("Activity")[2]
    assert activity.index("Money moved") < activity.index("Approved") < activity.index("Refund requested")
    assert "Settled before the move." in activity
    assert "First approval given" not in activity
