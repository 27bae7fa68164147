"""/audit: who did what, as people read it."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.audit import checks, recording
from domain.audit.models import AuditEntry
from domain.audit.verification import Break, Finding, Link
from domain.db import now
from domain.jobs.models import Job
from tests.factories import actor_for, make_admin, make_job, make_refund


@pytest.fixture
def write(engine):
    """Writes an entry of an admin's, or of the system's, and answers it."""

    def write(action, subject=None, actor=SYSTEM, **told):
        with Session(engine, expire_on_commit=False) as session:
            audit.record(session, actor, action, subject, **told)
            session.commit()
            return session.scalars(select(AuditEntry).order_by(AuditEntry.sequence.desc()).limit(1)).one()

    return write


@pytest.fixture
def ravi(engine):
    with Session(engine, expire_on_commit=False) as session:
        admin = make_admin(session, name="Ravi Iyer", email="ravi@example.com")
        session.commit()
        return actor_for(admin, ip="203.0.113.7", request_id="request-1")


def entries_on(page):
    return re.findall(r'<tr id="entry-([0-9a-f-]+)"', page.text)


class TestTheLog:
    def test_it_tells_who_did_what_to_which_and_what_it_changed(self, mira, made, write, ravi):
        refund = made(make_refund)
        entry = write(
            "refund.rejected", refund, ravi, before={"status": "pending"}, after={"status": "rejected"}, reason="Photos show it done"
        )

        page = mira.open("/audit").text

        assert all(words in page for words in ("Refund rejected", "Photos show it done", "Ravi Iyer", "203.0.113.7", f"/audit/{entry.id}"))
        assert f'<a class="a-link truncate" href="/refunds/{refund.id}">{refund.refund_number}</a>' in page
        assert "was </span>pending</del>" in page and "now </span>rejected</ins>" in page
        assert "1 entry" in page and "Not verified yet" in page

    def test_it_leads_only_to_what_its_reader_may_open(self, sign_in, made, write):
        refund, reader = made(make_refund), sign_in(made(make_admin, "audit:list"))
        write("refund.rejected", refund)

        page = reader.open("/audit").text

        assert refund.refund_number in page and f"/refunds/{refund.id}" not in page

    def test_each_filter_is_a_chip_that_can_be_taken_away(self, mira, made, write, ravi):
        refund = made(make_refund)
        ours = write("refund.rejected", refund, ravi)
        write("job.cancelled", made(make_job))
        write("session.sign_in_refused", object_type="email_sha256", object_id="a" * 64)
        address = f"/audit?by={ravi.admin_id}&group=refunds&object=refund_requests&id={refund.id}&ip=203.0.113.7&request=request-1&q=reject"

        page = mira.open(address)

        assert entries_on(page) == [str(ours.id)]
        for word in (
            "By <b>Ravi Iyer",
            "What <b>Refunds",
            f"Object <b>Refund {refund.refund_number}",
            "From <b>203.0.113.7",
            "Request <b>request-1",
        ):
            assert word in page.text
        assert "group=refunds" not in re.findall(r'href="([^"]*)"[^>]*aria-label="Remove filter: What', page.text)[0]
        assert len(entries_on(mira.open("/audit?by=system"))) == 2
        assert len(entries_on(mira.open("/audit?group=jobs"))) == 1
        assert "No match" in mira.open("/audit?action=no.such").text
        partial = mira.open("/audit?action=job.cancelled", partial=True, shown="/audit").text
        assert "<html" not in partial and "Job cancelled" in partial

    @pytest.mark.parametrize(
        "query", ["by=nobody-such", "group=nothing", "before=x", "after=-1", "from=x", "from=2025-02-02&to=2025-02-01"]
    )
    def test_an_address_that_makes_no_sense_is_told_so(self, mira, query):
        page = mira.open(f"/audit?{query}")

        assert page.status_code == 422
        assert "This filter was not understood" in page.text

    def test_it_is_turned_from_entry_to_entry_and_a_number_opens_one(self, mira, write):
        written = [str(write("thing.changed", number=number).id) for number in range(60)][::-1]
        first = mira.open("/audit")
        older = re.findall(r'id="page-next"[^>]*href="([^"]*)"', first.text)[0]
        second = mira.open(older)
        third = mira.open(re.findall(r'id="page-next"[^>]*href="([^"]*)"', second.text)[0])

        assert [entries_on(page) for page in (first, second, third)] == [written[:25], written[25:50], written[50:]]
        assert 'id="page-next"' not in third.text and "60 entries" in third.text
        newer = mira.open(re.findall(r'id="page-previous"[^>]*href="([^"]*)"', third.text)[0])
        assert entries_on(newer) == written[25:50]
        assert mira.open(re.findall(r'id="page-previous"[^>]*href="([^"]*)"', newer.text)[0]).status_code == 200
        assert mira.open("/audit?after=50").location == "/audit"  # fewer than a page are newer: the newest page shows them
        assert mira.open("/audit?q=%2317").location == f"/audit/{written[60 - 17]}"
        assert "No match" in mira.open("/audit?q=%23999").text

    def test_hostile_text_is_shown_as_text(self, mira, write, ravi):
        hostile = "<script>alert(1)</script>\u202e" + "x" * 10_000
        entry = write("thing.<b>", actor=ravi, object_type="<i>", object_id=hostile[:90], before={hostile: hostile}, reason=hostile)

        for path in ("/audit", f"/audit/{entry.id}", "/audit?q=%3Cscript%3E", "/audit?object=%3Ci%3E&id=%3Cscript%3E"):
            page = mira.open(path)
            assert page.status_code == 200
            assert "<script>alert" not in page.text and "<i>" not in page.text and "thing.<b>" not in page.text


class TestAnEntry:
    def test_it_shows_the_difference_field_by_field_and_all_around_it(self, mira, made, write, ravi):
        refund = made(make_refund)
        earlier = write("refund.requested", refund, actor=SYSTEM)
        before = {"permissions": ["jobs:list", "jobs:cancel"], "note": "Looks after the night shift on weekdays", "gone": True, "same": 1}
        after = {"permissions": ["jobs:list", "refunds:list"], "note": "Looks after the day shift on weekdays", "came": None, "same": 1}
        entry = write("role.changed", refund, ravi, before=before, after=after, code="X")

        page = mira.open(f"/audit/{entry.id}").text

        assert (
            '<del class="item wrap" dir="auto">jobs:cancel</del>' in page and '<ins class="item wrap" dir="auto">refunds:list</ins>' in page
        )
        assert "1 stayed" in page
        assert "Looks after the <del>night</del> shift" in page and "Looks after the <ins>day</ins> shift" in page
        assert "<del>yes</del>" in page
        for word in ("Added", "Changed", "Removed", "Same"):
            assert f"</svg>{word}</span>" in page
        for fact in ("203.0.113.7", "tests", "request-1", entry.hash, entry.previous_hash, refund.refund_number, f"/audit/{earlier.id}"):
            assert fact in page
        assert "Holds" in page and "does not hold" not in page
        assert mira.open("/audit/00000000-0000-4000-8000-000000000000").status_code == 404

    def test_one_that_was_tampered_with_says_so(self, mira, write, monkeypatch):
        monkeypatch.setattr(recording, "digest", lambda entry: "0" * 64)
        entry = write("thing.changed")
        monkeypatch.undo()

        page = mira.open(f"/audit/{entry.id}").text

        assert "The chain does not hold here" in page and "Broken" in page and "it was changed" in page


class TestTheSeal:
    def test_it_says_what_the_last_verification_found(self, mira, engine, monkeypatch):
        def found(finding, at=None):
            with Session(engine) as session:
                checks.record(session, SYSTEM, finding)
                if at:
                    monkeypatch.setattr(recording, "now", lambda: at)
                session.commit()
            monkeypatch.undo()
            return mira.open("/audit").text

        assert "pill--success" in found(Finding(5, Link(5, "0" * 64))) and "Whole, 5 entries" in mira.open("/audit").text
        broken = found(Finding(5, Link(5, "0" * 64), Break(6, "it was removed")))
        assert "The audit log is broken at entry 6" in broken and "It was removed." in broken
        assert "not verified lately" in found(Finding(9, Link(9, "0" * 64)), at=now() - timedelta(days=3))

    def test_whoever_reads_the_log_may_have_it_verified(self, mira, look):
        form = mira.find_form(mira.open("/audit"), "/audit/verify")
        answer = mira.send(form)

        job = look.all(select(Job))[0]
        assert (job.type, answer.location) == ("audit_verify", f"/jobs/{job.id}")
        assert "Audit verification" in mira.open(f"/jobs/{job.id}").text
        again = mira.send(mira.find_form(mira.open("/audit"), "/audit/verify"))
        assert again.status_code == 409 and "Already under way" in again.text


def test_an_export_takes_the_filters_of_the_list(mira, look, ravi):
    shown = f"/audit?by={ravi.admin_id}&group=refunds&from=2025-01-01&q=half%25"
    dialog = mira.open("/audit/export", partial=True, shown=shown)
    assert "Ravi Iyer" in dialog.text and "half%" in dialog.text
    refused = mira.send(mira.find_form(dialog, "/audit/export"), partial=True, shown=shown, to="2024-01-01")
    assert refused.status_code == 422 and "swap the two" in refused.text and str(ravi.admin_id) in refused.text

    answer = mira.send(mira.find_form(refused, "/audit/export"), partial=True, shown=shown, to="2025-12-31", format="xlsx")

    job = look.all(select(Job))[0]
    assert answer.headers["HX-Redirect"] == f"/jobs/{job.id}"
    assert job.type == "audit_export"
    actions = job.payload.pop("action")
    assert "refund.approved" in actions and all(action.startswith("refund.") for action in actions)
    assert job.payload == {"from": "2025-01-01", "to": "2025-12-31", "format": "xlsx", "actor": str(ravi.admin_id), "q": "half%"}
    assert "Audit log, 1 Jan – 31 Dec 2025, XLSX" in mira.open(f"/jobs/{job.id}").text


def test_a_refunds_page_leads_to_all_that_the_log_holds_of_it(mira, nisha, made):
    refund = made(make_refund)

    assert f"/audit?object=refund_requests&amp;id={refund.id}" in mira.open(f"/refunds/{refund.id}").text
    assert "/audit" not in nisha.open(f"/refunds/{refund.id}").text
