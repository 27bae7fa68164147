"""The monitor: what it shows to whom, how it is narrowed, and what a poll brings."""

import gzip
from datetime import timedelta

import pytest

from domain.access import Permission
from domain.db import now
from domain.jobs.models import JobEvent
from tests.factories import make_job, make_refund

EXPORT = {"report_type": "bookings", "from": "2026-10-01", "to": "2026-10-31", "format": "csv"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e٣ 😀"


def rows(page):
    """The short ids of the rows, as the page has them."""
    return [part.split("<")[0] for part in page.text.split('class="j-id mono">')[1:]]


def short(*jobs):
    return [str(job.id)[:8] for job in jobs]


class TestList:
    def test_a_browser_gets_the_page_and_htmx_the_list(self, mira, made):
        made(make_job)
        page, fragment = mira.open("/jobs"), mira.open("/jobs", partial=True, shown="/jobs")
        assert page.text.lstrip().startswith("<!doctype html>")
        assert fragment.text.lstrip().startswith("<title>Jobs")
        assert "<html" not in fragment.text
        assert len(gzip.compress(page.data)) <= 15_000

    def test_own_jobs_for_most_and_everybodys_for_some(self, mira, nisha, made):
        own = made(make_job, creator_id=nisha.admin.id)
        other = made(make_job, creator_id=mira.admin.id, created_at=now())
        assert rows(nisha.open("/jobs")) == short(own)
        assert rows(mira.open("/jobs")) == short(other, own)
        assert "Started by</summary>" not in nisha.open("/jobs").text.replace("\n", "")
        assert nisha.open(f"/jobs/{other.id}").status_code == 404

    def test_a_running_job_shows_how_far_it_is_and_an_ended_one_says_so_in_words(self, mira, made):
        made(make_job, type="analytics_export", status="processing", progress_percent=65, stage="13,020 of 20,030 rows", payload=EXPORT)
        made(make_job, type="analytics_export", status="succeeded", payload=EXPORT, result={"rows": 45210, "bytes": 6_200_000})
        page = mira.open("/jobs")
        assert page.text.count("<progress") == 1
        assert 'value="65"' in page.text
        assert "13,020 of 20,030 rows · about 2 min left" in page.text
        assert "Bookings, 1–31 Oct 2026, CSV" in page.text
        assert "45,210 rows, 6.2 MB" in page.text

    def test_a_failed_job_says_why_below_its_row(self, mira, made):
        job = made(make_job, status="failed", type="notification", payload={"notice": "refund_approved", "refund_number": "RF-2026-000001"})
        page = mira.open("/jobs")
        assert f'id="error-{job.id}"' in page.text
        assert "The worker was lost each time it ran this job." in page.text
        assert "Refund approved, RF-2026-000001" in page.text
        assert f'href="/jobs/{job.id}/retry"' in page.text

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=failed", 1),
            ("status=pending", 1),
            ("type=cleanup", 2),
            ("type=notification", 0),
            ("by=me", 1),
            ("by=system", 1),
            ("from=2020-01-01&to=2020-01-02", 0),
            ("from=2020-01-01", 2),
            ("q=cleanup", 2),
            ("q=zzz", 0),
        ],
    )
    def test_each_filter_narrows(self, mira, made, query, found):
        made(make_job, status="failed")
        made(make_job, creator_id=mira.admin.id)
        assert len(rows(mira.open(f"/jobs?{query}"))) == found

    def test_every_tab_counts_and_the_figures_stand_above(self, mira, made):
        for status in ("pending", "processing", "succeeded", "failed", "failed", "cancelled"):
            made(make_job, status=status)
        page = mira.open("/jobs").text
        tabs = page.split('id="tabs"')[1].split("</nav>")[0]
        assert [int(part.split("<")[0]) for part in tabs.split('class="count">')[1:]] == [6, 1, 1, 1, 2, 1]
        assert 'id="now-waiting">1<' in page and 'id="now-running">1<' in page
        assert "50.0%" in page
        assert page.count('class="chart__danger"') == 1
        assert "<td>1</td><td>2</td><td>1</td>" in page

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("status=lost", "There is no such status."),
            ("type=mining", "There is no such type of job."),
            ("by=acme", "There is no such admin."),
            ("from=yesterday", "From: choose a day."),
            ("from=2026-03-02&to=2026-03-01", "From comes after To."),
        ],
    )
    def test_an_address_that_makes_no_sense_is_told_so(self, mira, query, said):
        page = mira.open(f"/jobs?{query}")
        assert page.status_code == 422
        assert said in page.text

    @pytest.mark.parametrize("text", ["%00", "'; drop table background_jobs; --", "%ED%A0%80", "x" * 5000, "%", "_", "\\"])
    def test_a_search_takes_any_text(self, mira, text):
        assert mira.client.get("/jobs", query_string=f"q={text}").status_code == 200

    def test_an_id_in_the_search_leads_to_its_job(self, mira, made):
        job = made(make_job)
        assert mira.open(f"/jobs?q={job.id}").headers["Location"].endswith(f"/jobs/{job.id}")

    def test_a_short_id_finds_its_job(self, mira, made):
        job, _ = made(make_job), made(make_job)
        assert rows(mira.open(f"/jobs?q={str(job.id)[:8]}")) == short(job)

    def test_an_empty_monitor_and_a_filter_without_match_read_differently(self, mira):
        assert "No jobs yet" in mira.open("/jobs").text
        assert "No match" in mira.open("/jobs?q=zzz").text
        assert "No failed jobs" in mira.open("/jobs?status=failed").text

    def test_what_people_write_is_text_and_nothing_else(self, mira, made):
        job = made(
            make_job,
            type="analytics_export",
            status="failed",
            payload={"report_type": HOSTILE, "from": HOSTILE, "nested": {"a": HOSTILE}, "list": [HOSTILE] * 30},
            error={"code": HOSTILE, "message": HOSTILE * 50},
        )
        made(lambda session: session.add(JobEvent(job_id=job.id, event="log", message=HOSTILE)))
        for path in ("/jobs", f"/jobs/{job.id}", f"/jobs/{job.id}/retry", "/jobs/failures"):
            page = mira.open(path)
            assert page.status_code == 200
            assert "<script>alert" not in page.text and "<img src=x" not in page.text

    def test_what_waits_for_a_look_is_counted_in_the_navigation(self, mira, made):
        for status in ("processing", "failed", "succeeded", "pending"):
            made(make_job, status=status)
        made(make_job, status="failed", finished_at=now() - timedelta(days=2), updated_at=now() - timedelta(days=2))
        assert 'id="count-layers">2<span class="visually-hidden"> running or failed' in mira.open("/help/keys").text


class TestPoll:
    def ask(self, person, path, tag=None):
        headers = person.headers(True, "/jobs") | ({"HX-PTag": tag} if tag else {})
        return person.client.get(path, headers=headers)

    def test_it_brings_the_rows_and_leaves_the_filters_alone(self, mira, made):
        job = made(make_job)
        answer = self.ask(mira, "/jobs/now")
        for place in ("#pulse", "#tabs", "#results", "#sweep", "#count-layers"):
            assert f'hx-target="{place}"' in answer.text
        assert str(job.id) in answer.text
        assert 'id="filters"' not in answer.text and 'id="chosen"' not in answer.text

    def test_what_has_not_changed_is_not_sent_again(self, mira, made):
        made(make_job, status="succeeded")
        first = self.ask(mira, "/jobs/now")
        again = self.ask(mira, "/jobs/now", first.headers["HX-PTag"])
        made(make_job, status="failed")
        changed = self.ask(mira, "/jobs/now", first.headers["HX-PTag"])
        assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)
        assert again.data == b""

    def test_it_keeps_to_the_filters_of_its_page(self, mira, made):
        failed = made(make_job, status="failed")
        made(make_job)
        assert rows(self.ask(mira, "/jobs/now?status=failed")) == short(failed)

    def test_a_job_that_is_under_way_asks_and_one_that_ended_does_not(self, mira, made):
        running, ended = made(make_job, status="processing"), made(make_job, status="succeeded")
        stopping = made(make_job, status="cancelled", cancel_acknowledged_at=None)
        assert "beat from:body" in self.ask(mira, f"/jobs/{running.id}/now").text
        assert "beat from:body" in self.ask(mira, f"/jobs/{stopping.id}/now").text
        assert "beat from:body" not in self.ask(mira, f"/jobs/{ended.id}/now").text

    def test_whoever_is_signed_out_is_sent_to_sign_in(self, app):
        from tests.portal.person import Person

        answer = self.ask(Person(app.test_client()), "/jobs/now")
        assert answer.status_code == 401
        assert answer.headers["HX-Redirect"].startswith("/login")


class TestPage:
    def test_it_tells_the_life_of_a_job(self, mira, made):
        job = made(make_job, type="analytics_export", status="failed", creator_id=mira.admin.id, payload=EXPORT, attempts=2, losses=1)

        def live(session):
            for at, event, message in ((3, "claimed", "w1"), (2, "log", "Counting rows"), (1, "failed", "WORKER_LOST: gone")):
                session.add(JobEvent(job_id=job.id, at=now() - timedelta(minutes=at), event=event, message=message))

        made(live)
        page = mira.open(f"/jobs/{job.id}").text
        assert page.index('id="job-error"') < page.index("Timeline")
        for words in ("A worker took it", "Counting rows", "Started</b> by Mira Sen", "2, 1 worker lost", "2026-10-31", "WORKER_LOST"):
            assert words in page

    def test_a_bulk_decision_lists_its_verdicts(self, mira, made):
        refund = made(make_refund)
        verdict = {"refund_id": str(refund.id), "refund_number": refund.refund_number, "verdict": "paid", "message": "Paid: re_1."}
        payload = {"action": "approve", "refund_ids": [str(refund.id)], "reason": "Nobody came"}
        job = made(
            make_job, type="bulk_operation", status="succeeded", payload=payload, result={"counts": {"paid": 1}, "verdicts": [verdict]}
        )
        page = mira.open(f"/jobs/{job.id}").text
        assert f'href="/refunds/{refund.id}">{refund.refund_number}' in page
        assert "Paid: re_1." in page and "1 paid" in page and "<dt>Paid</dt>" in page

    def test_a_payout_says_that_it_cannot_be_cancelled_and_leads_to_its_refund(self, mira, made):
        refund = made(make_refund, status="approved")
        job = made(make_job, type="refund_processing", payload={"refund_id": str(refund.id), "refund_number": refund.refund_number})
        page = mira.open(f"/jobs/{job.id}").text
        assert "it cannot be cancelled" in page
        assert f'href="/refunds/{refund.id}"' in page
        assert f'href="/jobs/{job.id}/cancel"' not in page

    @pytest.mark.parametrize("path", ["nothing", "00000000-0000-0000-0000-000000000000"])
    def test_what_is_not_there_is_not_found(self, mira, path):
        assert mira.open(f"/jobs/{path}").status_code == 404


def test_who_may_not_list_jobs_has_no_way_to_them(enrolled, sign_in, made):
    from tests.factories import make_role

    role = made(make_role, Permission.REFUNDS_LIST)
    person = sign_in(enrolled(name="Sam Okafor", email="sam@example.com", role=role.id), fresh=True)
    assert 'href="/jobs"' not in person.open("/refunds").text
    assert 'id="export"' not in person.open("/refunds").text
    assert person.open("/jobs").status_code == 403
