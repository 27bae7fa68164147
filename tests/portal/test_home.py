"""The home page: every number on it is the number of rows behind its link, and nobody sees more of it than they may list."""

import re
from datetime import timedelta
from html import unescape
from random import Random

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from domain.access import Permission
from domain.db import now
from domain.refunds.models import RefundApproval
from tests.factories import make_admin, make_job, make_refund, make_role

LINK = re.compile(r'<a\b[^>]*href="([^"]+)"[^>]*>(.*?)</a>', re.DOTALL)


def numbers(page) -> dict[str, tuple[int, str]]:
    """Each number of the page that is a link, by where it leads, with the words beside it."""
    found = {}
    for url, inside in LINK.findall(page.text.split('id="home"')[1]):
        number = re.search(r"<b>([\d,]+)</b>", inside)
        if number:
            found[unescape(url)] = int(number[1].replace(",", "")), " ".join(re.sub(r"<[^>]+>", " ", inside).split())
    return found


def rows(page) -> int:
    assert page.status_code == 200
    return len(set(re.findall(r'id="(?:refund|job)-[0-9a-f-]{36}"', page.text)))


@pytest.fixture
def market(engine, nisha, omar):
    """A fortnight of refunds of every kind, and jobs; fewer of each than a page holds."""
    with Session(engine) as session:
        chance = Random(7)
        for status, count in (("pending", 40), ("approved", 9), ("rejected", 7), ("processed", 12)):
            for _ in range(count):
                at = now() - timedelta(hours=chance.uniform(0, 14 * 24))
                later = min(at + timedelta(hours=chance.uniform(0, 100)), now())
                decided = {"rejected": {"rejected_at": later}, "approved": {"approved_at": later}}.get(status, {})
                if status == "processed":
                    decided = {"approved_at": later, "processed_at": min(later + timedelta(hours=chance.uniform(0, 60)), now())}
                if status == "approved":
                    decided["processing_state"] = chance.choice(["queued", "failed", "failed", "unknown"])
                currency = chance.choice(["INR", "JPY", "KWD", "USD"])
                refund = make_refund(
                    session, status=status, currency=currency, requested_at=at, requested_amount_cents=9_845_000, **decided
                )
                if status == "pending" and chance.random() < 0.4:
                    giver = chance.choice([nisha.admin, omar.admin])
                    lapsed = timedelta(hours=chance.choice([1, 100]))
                    session.add(
                        RefundApproval(refund_id=refund.id, admin_id=giver.id, amount_cents=5, reason="Agreed", created_at=now() - lapsed)
                    )
        for hours in (1, 23, 25, 100):
            for creator in (None, nisha.admin.id, omar.admin.id):
                for status in ("failed", "succeeded", "cancelled"):
                    make_job(session, status=status, creator_id=creator, finished_at=now() - timedelta(hours=hours))
        session.commit()


@pytest.mark.parametrize("role", ["super_admin", "finance_admin", "support_agent"])
def test_each_number_is_the_number_of_rows_behind_its_link(market, enrolled, sign_in, role):
    for zone in ("UTC", "Asia/Kolkata", "Pacific/Auckland"):
        person = sign_in(enrolled(role=role, timezone=zone))
        found = numbers(person.open("/"))
        assert len(found) >= 12, zone
        for url, (number, words) in found.items():
            page = person.open(url)
            if number <= 25:
                assert rows(page) == number, (zone, url, words)
            assert f'data-words="{number} ' in page.text, (zone, url, words)
        said = " ".join(words for _, words in found.values())
        assert ("for your second approval" in said) is (role != "support_agent"), zone
        assert ("jobs failed" in said) is (role == "super_admin"), zone  # nobody else sees those of others, and this one has none
        assert "payments failed" in said and "paid out" in said, zone


def test_nobody_is_asked_for_both_approvals(market, nisha, omar):
    waits = {person.admin.name: numbers(person.open("/")).get("/refunds?awaiting=mine", (0, ""))[0] for person in (nisha, omar)}
    assert all(waits.values())
    listed = rows(nisha.open("/refunds?awaiting=1"))
    assert sum(waits.values()) == listed  # each approval given is one that the other is asked for


def test_amounts_are_told_per_currency(nisha, made):
    for currency, cents in (("INR", 12_460_000), ("INR", 40), ("JPY", 15_800), ("KWD", 84_250)):
        made(make_refund, currency=currency, requested_amount_cents=cents)
    text = nisha.open("/").text
    for amount in ("₹1,24,600.40", "15,800", "KWD\xa084.250"):
        assert text.count(amount) == 2, amount  # what waits, and what was requested this week


def test_a_request_that_waits_for_long_stands_out(nisha, made):
    made(make_refund, requested_at=now() - timedelta(days=2))
    assert 'class="late"' not in nisha.open("/").text
    made(make_refund, requested_at=now() - timedelta(days=5))
    assert re.search(r'class="late"[^>]*>.*?<b>1</b> older', nisha.open("/").text, re.DOTALL)


def test_who_may_list_nothing_is_told_that_nothing_waits(market, made, sign_in, nisha):
    nobody = sign_in(made(lambda session: make_admin(session, role=make_role(session, Permission.DATA_IMPORT))))
    page = nobody.open("/")
    assert page.status_code == 200
    assert "Nothing is waiting" in page.text
    assert numbers(page) == {} and "/system/health" not in page.text
    assert nobody.open("/now", partial=True, shown="/").status_code == 200


def test_a_poll_brings_what_changed_and_how_the_portal_is(mira, nisha, made):
    assert "Asking each service" in mira.open("/").text
    text = mira.open("/now", partial=True, shown="/").text
    assert re.search(r'hx-target="#health-line".*(Healthy|Degraded)</span>', text, re.DOTALL)

    first = nisha.open("/now", partial=True, shown="/")
    assert "health-line" not in first.text
    asked_again = {**nisha.headers(True, "/"), "HX-PTag": first.headers["HX-PTag"]}
    assert nisha.client.get("/now", headers=asked_again).status_code == 304
    made(make_refund)
    assert numbers(nisha.client.get("/now", headers=asked_again))["/refunds?currency=INR"][0] == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_reads_no_table_from_end_to_end(nisha, engine):
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    nisha.open("/")
    event.listen(engine, "before_cursor_execute", note)
    nisha.open("/")
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        plans = [
            step.detail
            for statement, parameters in asked
            if statement.startswith("SELECT")
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert [step for step in plans if re.match(r"SCAN (refund|background_jobs\b|payments|bookings|users)", step)] == []
    assert 8 <= len(asked) <= 18  # a handful of statements, however much there is


def test_a_plain_visit_to_what_polls_ask_for_is_the_page(nisha):
    assert nisha.open("/now").location == "/"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/refunds?currency=rupees", "There is no such currency."),
        ("/refunds?dated=born", "Days are those of the request"),
        ("/jobs?ended=7d", "only the last 24 hours"),
    ],
)
def test_a_filter_that_makes_no_sense_is_told_so(mira, url, said):
    page = mira.open(url)
    assert page.status_code == 422
    assert said in page.text


def test_an_export_of_what_a_number_counts_is_narrowed_alike(nisha):
    form = nisha.open("/jobs/export/refunds?status=all&dated=paid&currency=KWD&from=2026-01-01").text
    assert "KWD" in form and "Days of" in form and "Paid" in form
