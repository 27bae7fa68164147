"""/system/health as people see it: with everything there, with something away, and without the database."""

import re
from uuid import uuid4

import pytest
from flask import g
from sqlalchemy import text

import config
from domain.access import SYSTEM
from domain.db import now
from domain.health import storage_usage
from domain.jobs import workers
from domain.traffic import writing
from domain.traffic.recording import Batch
from portal.health.showing import decimal, duration
from tests.factories import make_job

PAGE, POLL = "/system/health", "/system/health/now"


@pytest.fixture
def well(session):
    workers.beat(session, uuid4(), host="here", pid=7, threads=4, jobs_running=1)
    session.commit()


def services(page):
    return re.findall(r'<h2 id="name-[a-z-]+">(?:<a [^>]*>)?([^<]+)<.*?<span class="pill pill--([a-z]+)">', page.text, re.DOTALL)


def test_the_services_and_the_last_day(mira, made, session, well):
    minute = int(now().timestamp()) // 60
    counts = {(minute - 90, "api", 2, 100): (60, 4_000_000), (minute - 90, "portal", 5, 500): (2, 800_000)}
    writing.write(session, uuid4(), Batch(1, counts))
    session.commit()
    made(make_job, status="failed", finished_at=now())
    page = mira.open(PAGE)
    assert page.status_code == 200
    well = [(name, "success") for name in ("Database", "Storage", "Job queue", "Backups")]
    assert services(page) == [*well, ("Redis", "neutral")]
    assert "No backup was made yet." in page.text and 'href="/system/backups"' in page.text
    assert "Everything works." in page.text
    assert "2 errors, 60 answered" in page.text
    assert 'aria-label="62 requests in the last 24 hours, 2 of them errors."' in page.text
    assert re.search(r"95 % within 9\d(\.\d)? ms", page.text)
    assert 'aria-label="1 job finished in the last 24 hours, 1 of them failed."' in page.text
    poll = mira.open(POLL, partial=True)
    assert poll.status_code == 200
    assert '<hx-partial hx-target="#health"' in poll.text and "<html" not in poll.text
    assert mira.open(POLL).text.count("<html") == 1


def test_what_backups_take_up_on_disk_is_on_the_page(mira, session, settings, well):
    folder = config.load(settings).backup_dir
    for part, size in (("", 5_212_000_000), ("archive", 208_000_000), ("uploads", 0)):
        storage_usage.note(session, storage_usage.of_backups(folder, part), files=3, size=size)
    session.commit()
    page = " ".join(re.sub(r"<[^>]+>", " ", mira.open(PAGE).text).split())
    assert "On disk 5.2 GB Of it the archive 208 MB" in page


def test_what_is_ill_comes_first_with_its_reason(mira):
    page = mira.open(PAGE)
    assert services(page)[0] == ("Job queue", "danger")
    assert "No worker is running" in page.text and "Job queue needs a look; the rest works." in page.text


def test_without_the_database_whoever_has_our_cookie_sees_who_is_ill(mira, session):
    mira.open(PAGE)
    session.execute(text("UPDATE alembic_version SET version_num = '0007'"))  # as good as gone: it is another portal's
    session.commit()
    for _ in range(2):
        page = mira.client.get(PAGE)
        assert page.status_code == 503
        assert services(page) == [("Database", "danger"), ("Redis", "neutral")]
        assert "Mira" not in page.text and "SQLite" not in page.text and "PostgreSQL" not in page.text
    poll = mira.client.get(POLL, headers={"HX-Request": "true", "HX-Request-Type": "partial"})
    assert poll.status_code == 200
    assert services(poll)[0] == ("Database", "danger")
    stranger = mira.client.application.test_client().get(PAGE)
    assert (stranger.status_code, stranger.headers["Location"].startswith("/login")) == (302, True)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (86_400, "1 d"), (2_592_000 + 7200, "30 d 2 h")]
)
def test_a_time_is_told_in_its_two_largest_units(seconds, words):
    assert duration(seconds) == words


def test_a_figure_has_a_fraction_where_it_is_small(app):
    with app.test_request_context():
        g.actor = SYSTEM
        assert [decimal(value) for value in (0.184, 3.14, 99.94, 123.4)] == ["0.18", "3.1", "99.9", "123"]
