"""Cancelling, deleting, running again and starting jobs from the pages: one, many, and by cause."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from domain.audit.models import AuditEntry
from domain.jobs.models import Job
from tests.factories import make_job, make_refund

LARGE = 9_000_000  # above the limit of INR 85,000.00


@pytest.fixture
def files(app):
    """Files in storage, by name."""

    def put(name, content=b"a,b\r\n"):
        path = app.config["PORTAL"].data_dir / "storage" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return put


def statuses(look):
    return sorted(look.all(select(Job.status).where(Job.deleted_at.is_(None))))


class TestOne:
    def test_a_dialog_cancels_and_the_page_hears_of_it(self, mira, made, look):
        job = made(make_job, type="analytics_export", status="processing")
        form = mira.form(f"/jobs/{job.id}/cancel", partial=True)
        answer = mira.send(form, partial=True, shown="/jobs", reason="The wrong month")
        assert answer.status_code == 200
        assert 'hx-target="#status"' in answer.text and "cancelled." in answer.text
        cancelled = look.get(Job, job.id)
        assert (cancelled.status, cancelled.cancel_reason, cancelled.cancelled_by) == ("cancelled", "The wrong month", mira.admin.id)

    def test_a_browser_without_javascript_is_led_on(self, mira, made, look):
        job = made(make_job, type="analytics_export", creator_id=mira.admin.id)
        answer = mira.send(mira.form(f"/jobs/{job.id}/cancel"))
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job.id}")
        gone = mira.send(mira.form(f"/jobs/{job.id}/delete"))
        assert (gone.status_code, gone.headers["Location"]) == (303, "/jobs")
        assert mira.open(f"/jobs/{job.id}").status_code == 404

    def test_a_double_click_cancels_once(self, mira, made, look):
        job = made(make_job, type="analytics_export")
        form = mira.form(f"/jobs/{job.id}/cancel", partial=True)
        first, second = (mira.send(form, partial=True) for _ in range(2))
        assert (second.status_code, second.text) == (first.status_code, first.text)
        assert len(look.all(select(AuditEntry).where(AuditEntry.action == "job.cancelled"))) == 1

    def test_one_that_ended_meanwhile_says_so_in_the_dialog(self, mira, made):
        job = made(make_job, type="analytics_export", status="succeeded")
        form = mira.form(f"/jobs/{job.id}/cancel", partial=True)
        answer = mira.send(form, partial=True, reason="Too much")
        assert answer.status_code == 409
        assert "Too late to cancel" in answer.text and "Job has already completed" in answer.text
        assert 'value="Too much"' in answer.text

    def test_a_deleted_job_takes_its_file_along(self, mira, made, files):
        path = files("exports/one.csv")
        job = made(make_job, type="analytics_export", status="succeeded", result_file="exports/one.csv", result_name="bookings.csv")
        mira.send(mira.form(f"/jobs/{job.id}/delete", partial=True), partial=True)
        assert not path.exists()

    def test_the_result_is_downloaded_under_its_name(self, mira, made, files):
        files("exports/two.csv", b"number\r\n1\r\n")
        job = made(
            make_job,
            type="analytics_export",
            status="succeeded",
            result_file="exports/two.csv",
            result_name="b.csv",
            result_type="text/csv",
        )
        page, file = mira.open(f"/jobs/{job.id}"), mira.open(f"/jobs/{job.id}/result")
        assert f'href="/jobs/{job.id}/result"' in page.text
        assert file.data == b"number\r\n1\r\n"
        assert "b.csv" in file.headers["Content-Disposition"]

    def test_a_page_says_how_long_the_file_is_kept_and_then_that_it_is_gone(self, mira, made, look):
        made_one = {"type": "analytics_export", "status": "succeeded", "result": {"rows": 3}, "result_name": "<b>.csv"}
        there = made(make_job, **made_one, result_file="exports/three.csv")
        gone = made(make_job, **made_one, result_expired_at=datetime(2025, 12, 12, 9, tzinfo=UTC))

        page = mira.open(f"/jobs/{there.id}").text
        assert "&lt;b&gt;.csv is kept for 30 days, until" in page and 'id="act-result"' in page

        page = mira.open(f"/jobs/{gone.id}").text
        assert "&lt;b&gt;.csv was removed on 12 Dec 2025: files are kept for 30 days." in page
        assert 'id="act-result"' not in page and f"/jobs/{gone.id}/result" not in page
        assert "3 rows, file removed 12 Dec 2025" in mira.open("/jobs").text
        answer = mira.open(f"/jobs/{gone.id}/result")
        assert answer.status_code == 410 and "No longer here" in answer.text and "Start the job anew" in answer.text

    def test_a_failed_job_is_run_again_as_a_new_one(self, mira, made, look):
        job = made(make_job, type="notification", status="failed")
        answer = mira.send(mira.form(f"/jobs/{job.id}/retry", partial=True), partial=True, shown=f"/jobs/{job.id}")
        again = look.all(select(Job).where(Job.status == "pending"))[0]
        assert again.payload["retry_of"] == str(job.id)
        assert answer.headers["HX-Redirect"] == f"/jobs/{again.id}"

    def test_others_jobs_are_beyond_whoever_sees_only_own_ones(self, nisha, mira, made, look):
        job = made(make_job, type="analytics_export", creator_id=mira.admin.id)
        assert nisha.open(f"/jobs/{job.id}/cancel").status_code == 404


class TestSeveral:
    def test_the_count_is_said_first_and_then_it_is_done(self, mira, made, look):
        for status in ("pending", "processing", "succeeded"):
            made(make_job, type="analytics_export", status=status)
        made(make_job, type="refund_processing")  # never cancelled
        dialog = mira.open("/jobs/several/cancel", partial=True, shown="/jobs")
        assert "Cancel 2 jobs?" in dialog.text
        answer = mira.send(mira.find_form(dialog, "/jobs/several/cancel"), partial=True, shown="/jobs")
        assert "2 jobs cancelled." in answer.text
        assert statuses(look) == ["cancelled", "cancelled", "pending", "succeeded"]
        assert len(look.all(select(AuditEntry).where(AuditEntry.action == "job.cancelled"))) == 2

    def test_it_keeps_to_the_filters_of_the_list(self, mira, made, look):
        made(make_job, type="notification", status="failed")
        made(make_job, type="cleanup", status="failed")
        made(make_job, type="notification", status="succeeded")
        dialog = mira.open("/jobs/several/delete?type=notification&status=failed", partial=True)
        assert "Delete 1 job?" in dialog.text
        mira.send(mira.find_form(dialog, "/jobs/several/delete"), partial=True, shown="/jobs")
        assert statuses(look) == ["failed", "succeeded"]

    def test_it_keeps_to_what_was_selected(self, mira, made, look):
        first, second = made(make_job, status="failed"), made(make_job, status="processing")
        made(make_job, status="failed")
        dialog = mira.open(f"/jobs/several/delete?ids={first.id},{second.id}", partial=True)
        assert "Delete 1 job?" in dialog.text and "1 of the selected is left as it is" in dialog.text
        mira.send(mira.find_form(dialog, "/jobs/several/delete"), partial=True)
        assert look.get(Job, first.id).deleted_at and statuses(look) == ["failed", "processing"]

    def test_what_appears_after_the_question_is_left_alone(self, mira, made, look):
        from domain.db import now

        made(make_job, type="analytics_export")
        form = mira.find_form(mira.open("/jobs/several/cancel", partial=True, shown="/jobs"), "/jobs/several/cancel")
        made(make_job, type="analytics_export", created_at=now())
        mira.send(form, partial=True)
        assert statuses(look) == ["cancelled", "pending"]

    def test_own_jobs_alone_for_whoever_may_no_more(self, nisha, mira, made, look):
        made(make_job, type="analytics_export", creator_id=nisha.admin.id)
        other = made(make_job, type="analytics_export", creator_id=mira.admin.id)
        dialog = nisha.open(f"/jobs/several/cancel?ids={other.id}", partial=True)
        assert "Cancel 0 jobs?" in dialog.text
        nisha.send(nisha.find_form(nisha.open("/jobs/several/cancel"), "/jobs/several/cancel"))
        assert look.get(Job, other.id).status == "pending"
        assert statuses(look) == ["cancelled", "pending"]

    def test_files_go_with_their_jobs(self, mira, made, files):
        paths = [files(f"exports/{name}.csv") for name in ("a", "b")]
        for name in ("a", "b"):
            made(make_job, status="succeeded", result_file=f"exports/{name}.csv")
        mira.send(mira.find_form(mira.open("/jobs/several/delete"), "/jobs/several/delete"))
        assert not any(path.exists() for path in paths)


class TestCauses:
    def failed(self, made, count, message="Refused by mx1.example.com after {} tries", **fields):
        return [
            made(
                make_job,
                type="notification",
                status="failed",
                error={"code": "MESSAGE_REFUSED", "message": message.format(n + 1)},
                **fields,
            )
            for n in range(count)
        ]

    def retry(self, person, **changes):
        return person.send(person.find_form(person.open("/jobs/failures"), "/jobs/failures/retry"), **changes)

    def test_one_mistake_many_times_over_is_one_cause(self, mira, made):
        self.failed(made, 3)
        made(make_job, status="failed")
        page = mira.open("/jobs/failures").text
        assert page.count('class="panel cause"') == 2
        assert ">3 jobs</a>" in page and ">1 job</a>" in page
        assert 'href="/jobs/failures"' in mira.open("/jobs").text

    def test_one_is_tried_before_the_rest(self, mira, made, look, engine):
        self.failed(made, 3)
        assert "The other 2 follow once one has worked" in mira.open("/jobs/failures").text
        self.retry(mira)
        trials = look.all(select(Job).where(Job.status == "pending"))
        assert len(trials) == 1
        assert "Reload when it has ended" in mira.open("/jobs/failures").text

        with engine.begin() as connection:
            connection.execute(Job.__table__.update().where(Job.id == trials[0].id).values(status="succeeded"))
        page = mira.open("/jobs/failures").text
        assert "Run the other 2 again" in page
        self.retry(mira, rest="1")
        assert len(look.all(select(Job).where(Job.status == "pending"))) == 2
        assert "All of them were run again." in mira.open("/jobs/failures").text

    def test_payouts_are_not_run_again_from_here(self, mira, made):
        made(make_job, type="refund_processing", status="failed")
        page = mira.open("/jobs/failures").text
        assert "open the refund and try its payment again" in page
        assert "Run it again" not in page


class TestExport:
    def test_it_starts_from_the_monitor(self, nisha, look):
        form = nisha.form("/jobs/export", partial=True)
        answer = nisha.send(
            form, partial=True, shown="/jobs", report_type="bookings", **{"from": "2026-10-01", "to": "2026-10-31", "format": "xlsx"}
        )
        job = look.all(select(Job))[0]
        assert answer.headers["HX-Redirect"] == f"/jobs/{job.id}"
        assert job.type == "analytics_export" and job.creator_id == nisha.admin.id
        assert job.payload == {"report_type": "bookings", "from": "2026-10-01", "to": "2026-10-31", "format": "xlsx"}

    def test_days_that_make_no_sense_are_said_beside_the_field(self, nisha):
        form = nisha.form("/jobs/export", partial=True)
        answer = nisha.send(form, partial=True, **{"from": "2026-11-02", "to": "2026-11-01"})
        assert answer.status_code == 422
        assert 'id="export-from-error"' in answer.text and 'value="2026-11-02"' in answer.text

    def test_from_the_queue_it_takes_the_present_filter_along(self, nisha, look):
        shown = "/refunds?status=pending&q=rao&min=5&cur=INR&priority=high&from=2026-10-01"
        assert 'id="export"' in nisha.open(shown).text
        dialog = nisha.open("/jobs/export/refunds", partial=True, shown=shown)
        assert "High" in dialog.text and "at least ₹5.00" in dialog.text
        nisha.send(nisha.find_form(dialog, "/jobs/export/refunds"), partial=True, shown=shown)
        told = look.all(select(Job))[0].payload
        assert told == {
            "report_type": "refunds", "from": "2026-10-01", "to": None, "format": "csv", "status": "pending", "q": "rao",
            "min_amount": 500, "currency": "INR", "priority": "high",
        }  # fmt: skip

    def test_without_javascript_the_link_carries_the_filter(self, nisha):
        link = nisha.open("/refunds?status=all&priority=high").text.split('id="export" href="')[1].split('"')[0].replace("&amp;", "&")
        page = nisha.open(link)
        assert 'name="priority" value="high"' in page.text

    def test_a_forged_filter_is_refused(self, nisha, look):
        form = nisha.form("/jobs/export/refunds", partial=True)
        answer = nisha.send(form, partial=True, status="lost", min_amount="1e3")
        assert answer.status_code == 422
        assert look.all(select(Job)) == []


class TestBulk:
    def ids(self, *refunds):
        return ",".join(str(refund.id) for refund in refunds)

    def test_the_selection_bar_leads_to_it(self, nisha, made):
        refunds = [made(make_refund) for _ in range(2)]
        bar = nisha.open(f"/refunds/selection?ids={self.ids(*refunds)}", partial=True).text
        assert "Approve 2…" in bar and "Reject 2…" in bar
        assert f"/jobs/decide/approve?ids={refunds[0].id}" in bar

    def test_those_for_two_admins_are_said_and_left(self, nisha, made, look):
        small, large, done = made(make_refund), made(make_refund, requested_amount_cents=LARGE), made(make_refund, status="rejected")
        dialog = nisha.open(f"/jobs/decide/approve?ids={self.ids(small, large, done)}", partial=True)
        assert "Approve 1 refund" in dialog.text
        assert "1 left for two admins" in dialog.text and "1 of the selected was decided already" in dialog.text
        answer = nisha.send(nisha.find_form(dialog, "/jobs/decide/approve"), partial=True, reason="Nobody came.")
        job = look.all(select(Job))[0]
        assert answer.headers["HX-Redirect"] == f"/jobs/{job.id}"
        assert (job.type, job.payload["action"], job.payload["refund_ids"]) == ("bulk_operation", "approve", [str(small.id)])
        assert job.payload["notify_user"] is True and job.payload["reason"] == "Nobody came."

    def test_one_admin_may_reject_large_ones(self, nisha, made, look):
        small, large = made(make_refund), made(make_refund, requested_amount_cents=LARGE)
        dialog = nisha.open(f"/jobs/decide/reject?ids={self.ids(small, large)}", partial=True)
        form = nisha.find_form(dialog, "/jobs/decide/reject")
        nisha.send(form, partial=True, reason="Photos show finished work.", offer_alternative="discount", notify_user=None)
        told = look.all(select(Job))[0].payload
        assert len(told["refund_ids"]) == 2
        assert (told["action"], told["offer_alternative"], told["notify_user"]) == ("reject", "discount", False)

    def test_the_reason_is_asked_for_and_kept(self, nisha, made):
        refund = made(make_refund)
        form = nisha.find_form(nisha.open(f"/jobs/decide/approve?ids={refund.id}", partial=True), "/jobs/decide/approve")
        answer = nisha.send(form, partial=True, reason="", admin_notes="Call 77")
        assert answer.status_code == 422
        assert 'id="reason-error"' in answer.text and 'value="Call 77"' in answer.text

    def test_a_double_click_starts_one_job(self, nisha, made, look):
        refund = made(make_refund)
        form = nisha.find_form(nisha.open(f"/jobs/decide/approve?ids={refund.id}", partial=True), "/jobs/decide/approve")
        for _ in range(2):
            nisha.send(form, partial=True, reason="Nobody came.")
        assert len(look.all(select(Job))) == 1

    def test_nothing_to_decide_has_no_button(self, nisha, made):
        dialog = nisha.open(f"/jobs/decide/approve?ids={made(make_refund, status='rejected').id}", partial=True)
        assert "Nothing of what you selected can be decided this way." in dialog.text
        assert "button--primary" not in dialog.text

    def test_only_these_two_acts_exist(self, nisha):
        assert nisha.open("/jobs/decide/burn").status_code == 404
