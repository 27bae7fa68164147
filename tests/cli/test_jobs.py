import json
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.jobs import leases
from domain.jobs.commands import enqueue
from domain.jobs.models import Job
from domain.jobs.outcomes import Done, Failed
from tests.cli.test_admin import refused
from tests.factories import make_admin


@pytest.fixture
def run(app):
    """Runs `flask jobs ...` inside this process."""
    runner = app.test_cli_runner()
    return lambda *line: runner.invoke(args=["jobs", *map(str, line)])


@pytest.fixture
def job(session):
    """Makes a job, ended as `outcome` says."""

    def job(outcome=None, type="notification", **fields):
        made = enqueue(session, type, **fields)
        session.commit()
        if outcome is not None:
            leases.claim(session, made.id, "a worker")
            leases.finish(session, made.id, "a worker", outcome)
            session.commit()
        return made

    return job


def stored(engine, job_id):
    with Session(engine) as session:
        return session.get_one(Job, job_id)


def test_list_shows_the_newest_first_and_counts_all(run, job, session):
    admin = make_admin(session, name="Asha Rao")
    job(Failed("SMTP", "The mail server\x1b[2J hung up"))
    job(type="analytics_export", creator_id=admin.id)

    shown = run("list")

    first, second, counts = shown.stdout.splitlines()
    assert "analytics_export" in first and "Asha Rao" in first and "pending" in first
    assert "hung up" in second and "System" in second
    assert "\x1b" not in shown.stdout
    assert counts == "1 pending, 0 processing, 0 succeeded, 1 failed, 0 cancelled"


def test_list_can_be_narrowed_and_read_by_a_script(run, job):
    job(Done())
    failed = job(Failed("SMTP", "The mail server hung up"))
    job(type="cleanup")

    shown = json.loads(run("list", "--status", "failed", "--status", "cancelled", "--type", "notification", "--limit", 1, "--json").stdout)

    [row] = shown["jobs"]
    assert (row["id"], row["error"]["code"], row["creator"]) == (str(failed.id), "SMTP", None)
    assert (shown["total"], shown["summary"]["succeeded"]) == (1, 1)


def test_show_tells_the_life_of_a_job(run, job):
    made = job(Failed("SMTP", "The mail server hung up"), metadata={"notice": "refund_failed"})

    shown = run("show", made.id).stdout
    told = json.loads(run("show", made.id, "--json").stdout)

    assert "refund_failed" in shown and "a worker" in shown and "SMTP: The mail server hung up" in shown
    assert [event["event"] for event in told["events"]] == ["claimed", "failed"]


def test_cancel_cancels_and_is_audited(run, job, engine):
    made = job()

    result = run("cancel", made.id, "--reason", "Started twice")

    assert (result.exit_code, result.stdout) == (0, f"notification {made.id} is cancelled.\n")
    left = stored(engine, made.id)
    assert (left.status, left.cancel_reason, left.cancelled_by) == ("cancelled", "Started twice", None)
    with Session(engine) as session:
        entry = session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.actor_name) == ("job.cancelled", "operator at the command line")


def test_delete_removes_the_job_and_its_file(run, job, app, engine, session, tmp_path):
    made = job(Done())
    (tmp_path / "rows.csv").write_text("rows")
    app.extensions["storage"].save("exports/rows.csv", tmp_path / "rows.csv")
    session.refresh(made)
    made.result_file = "exports/rows.csv"
    session.commit()

    assert json.loads(run("delete", made.id, "--json").stdout) == {"id": str(made.id), "deleted": True}

    assert stored(engine, made.id).deleted_at is not None
    with pytest.raises(FileNotFoundError):
        app.extensions["storage"].open("exports/rows.csv")
    refused(run("show", made.id), "no job with this id")


def test_retry_asks_for_a_failed_job_once_more(run, job, engine):
    made = job(Failed("SMTP", "The mail server hung up"), metadata={"notice": "refund_failed"})

    again = json.loads(run("retry", made.id, "--json").stdout)

    assert again["retry_of"] == str(made.id)
    assert stored(engine, UUID(again["id"])).payload["notice"] == "refund_failed"


@pytest.mark.parametrize("act", ["show", "cancel", "delete", "retry"])
def test_what_is_not_there_is_said_in_one_line(run, act):
    refused(run(act, uuid4()), "There is no job with this id.")


def test_what_cannot_be_done_is_said_in_one_line(run, job):
    done, waiting = job(Done()), job()
    refused(run("cancel", done.id), "already completed")
    refused(run("retry", done.id), "Only a failed job")
    refused(run("delete", waiting.id), "Can only delete completed")


@pytest.mark.parametrize(
    "line", [["show", "7"], ["list", "--status", "lost"], ["list", "--type", "dance"], ["list", "--limit", "0"], ["stop"]]
)
def test_wrong_usage_is_said_as_such(run, line):
    refused(run(*line), "Usage:", exit_code=2)


@pytest.mark.parametrize("act", ["list", "show", "cancel", "delete", "retry"])
def test_each_help_has_an_example(run, act):
    assert f"Example: flask jobs {act}" in run(act, "--help").stdout
