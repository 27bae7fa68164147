"""Failed jobs by cause, and the same act on many."""

import pytest

from domain.access import Permission
from domain.jobs import several
from domain.jobs.failures import group_failures, normalised
from domain.jobs.models import JobStatus
from domain.jobs.queries import JobFilters
from tests.factories import make_actor, make_job


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("part 41 of 50 was refused", "part 7 of 1,250 was refused"),
        ("refund 550e8400-e29b-41d4-a716-446655440000 is gone", "refund 6ba7b810-9dad-11d1-80b4-00c04fd430c8 is gone"),
        ("RF-2026-001234: declined", "RF-2025-000001: declined"),
        ("no answer after 12:30:01.5", "no answer after 07:02:59"),
        ("object 9f86d081884c7d65 is locked", "object e3b0c44298fc1c14 is locked"),
        ("charge ch_3PqS8x2eZvKYlo2C failed", "charge ch_1AbC9d failed"),
    ],
)
def test_messages_that_differ_in_numbers_and_ids_are_alike(one, other):
    assert normalised(one) == normalised(other)


def test_messages_that_differ_in_words_are_not():
    assert normalised("the mailbox is full") != normalised("the mailbox is unknown")
    assert normalised("deadline exceeded") == "deadline exceeded"


def failed(session, count, **fields):
    return [
        make_job(session, type="notification", status="failed", error={"code": "X", "message": f"try {number}"}, **fields)
        for number in range(count)
    ]


def test_causes_are_told_apart_by_type_code_and_message(session):
    actor = make_actor(session, Permission.JOBS_LIST, Permission.JOBS_LIST_ALL, Permission.JOBS_RETRY)
    failed(session, 3)
    make_job(session, type="notification", status="failed", error={"code": "Y", "message": "try 1"})
    make_job(session, type="refund_processing", status="failed", error={"code": "X", "message": "try 1"})
    causes = group_failures(session, actor, JobFilters())
    assert [(cause.type, cause.code, cause.count, len(cause.ids)) for cause in causes][0] == ("notification", "X", 3, 3)
    assert sorted(cause.count for cause in causes) == [1, 1, 3]
    assert [cause.ids for cause in causes if cause.type == "refund_processing"] == [[]]


def test_what_was_tried_again_is_a_trial_and_no_longer_open(session):
    actor = make_actor(session, Permission.JOBS_LIST, Permission.JOBS_LIST_ALL, Permission.JOBS_RETRY)
    jobs = failed(session, 3)
    tally = several.retry_each(session, actor, [jobs[0].id])
    trial = tally.done[0]
    [cause] = group_failures(session, actor, JobFilters())
    assert cause.trial is trial and set(cause.ids) == {jobs[1].id, jobs[2].id}

    trial.status, trial.error = JobStatus.FAILED, {"code": "X", "message": "try 9"}
    [cause] = group_failures(session, actor, JobFilters())
    assert cause.count == 3 and cause.trial is trial


def test_whoever_may_only_look_is_offered_nothing(session):
    actor = make_actor(session, Permission.JOBS_LIST, Permission.JOBS_LIST_ALL)
    failed(session, 2)
    assert group_failures(session, actor, JobFilters())[0].ids == []
    assert several.find_deletable(session, actor, JobFilters()).count == 0


def test_what_refuses_is_left_and_counted(session):
    actor = make_actor(session, "*")
    pending = make_job(session, type="analytics_export")
    ended = make_job(session, type="analytics_export", status="succeeded")
    tally = several.cancel_each(session, actor, [pending.id, ended.id], "Enough")
    assert [job.id for job in tally.done] == [pending.id]
    assert dict(tally.left) == {"Job has already completed": 1}
    assert pending.cancel_reason == "Enough" and ended.status == "succeeded"
