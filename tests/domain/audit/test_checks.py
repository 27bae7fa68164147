"""Verifying the log is itself told in the log."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from domain import audit
from domain.access import SYSTEM
from domain.audit import checks
from domain.audit.models import AuditEntry
from domain.audit.verification import Break, Finding, Link, verify
from domain.db import now
from domain.errors import Forbidden
from domain.jobs.models import Job, JobStatus
from tests.factories import make_actor, make_job


@pytest.fixture
def reader(session):
    return make_actor(session, "audit:list")


def test_the_last_finding_is_read_back(session, reader):
    assert checks.last_verification(session, reader) is None
    assert checks.last_whole_end(session) is None
    audit.record(session, SYSTEM, "thing.changed")
    session.commit()

    whole = verify(session, reader)
    checks.record(session, SYSTEM, whole)
    session.commit()
    last = checks.last_verification(session, reader)
    assert (last.whole, last.entries, last.by, last.broken_at, last.what) == (True, 1, "System", None, None)
    assert checks.last_whole_end(session) == whole.head
    assert verify(session, reader, checks.last_whole_end(session)).whole

    checks.record(session, reader, Finding(7, Link(7, "0" * 64), Break(8, "it was removed")))
    session.commit()
    last = checks.last_verification(session, reader)
    assert (last.whole, last.entries, last.broken_at, last.what, last.by) == (False, 7, 8, "it was removed", reader.name)
    assert checks.last_whole_end(session) == whole.head


def test_it_is_wanted_once_a_day(session):
    job = checks.request(session)
    session.commit()
    assert job.type == "audit_verify" and job.creator_id is None
    assert checks.request(session) is None

    for status, wanted_again in ((JobStatus.SUCCEEDED, False), (JobStatus.FAILED, False)):
        session.execute(update(Job).values(status=JobStatus.CANCELLED, finished_at=now()))
        made = make_job(session, type="audit_verify", status=status, created_at=now() - timedelta(hours=23))
        assert checks.wanted(session) is wanted_again
        made.created_at = made.finished_at = now() - timedelta(hours=25)
        session.flush()
        assert checks.wanted(session)


def test_whoever_reads_the_log_may_have_it_verified_one_at_a_time(session, reader):
    job = checks.ask(session, reader)
    session.commit()

    assert (job.type, job.creator_id) == ("audit_verify", reader.admin_id)
    entry = session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.object_id, entry.details) == ("job.started", str(job.id), {"type": "audit_verify"})
    with pytest.raises(checks.VerificationUnderWay):
        checks.ask(session, reader)
    with pytest.raises(Forbidden):
        checks.ask(session, make_actor(session, "refunds:list"))
