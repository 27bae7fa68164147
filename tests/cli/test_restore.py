"""`flask backup restore`, `rollback`, `recover`, `report` and `acknowledge`."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters.restores.journal import Journal
from domain.audit.models import AuditEntry
from domain.db import now
from domain.marketplace.models import User
from domain.restores.models import Restore
from tests.cli.test_admin import refused
from tests.factories import make_refund


@pytest.fixture
def run(app, engine):
    """Runs `flask backup ...` inside this process."""
    runner = app.test_cli_runner()

    def invoke(*line, **options):
        engine.dispose()
        return runner.invoke(args=["backup", *map(str, line)], **options)

    return invoke


@pytest.fixture
def changed(session, run):
    """A backup, and a customer renamed since: answers the backup's id and the customer's."""
    user_id = make_refund(session).user_id
    session.get_one(User, user_id).name = "Meera"
    session.commit()
    backup_id = json.loads(run("create", "--json").stdout)["id"]
    session.get_one(User, user_id).name = "Somebody else"
    session.commit()
    session.close()
    return backup_id, user_id


def name_of(engine, user_id):
    engine.dispose()
    with Session(engine) as session:
        return session.get_one(User, user_id).name


def test_stored_files_can_be_left_out(run, settings, session):
    session.close()
    file = Path(settings["DATA_DIR"]) / "storage" / "photo.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"a photo")
    backup_id = json.loads(run("create", "--uploads", "--json").stdout)["id"]
    file.unlink()
    assert json.loads(run("restore", backup_id, "--without-uploads", "--yes", "--json").stdout)["uploads"] is None
    assert not file.exists()
    assert json.loads(run("restore", backup_id, "--yes", "--json").stdout)["uploads"]["added"] == 1
    assert file.read_bytes() == b"a photo"


def test_restore_report_acknowledge_and_roll_back(run, changed, engine):
    backup_id, user_id = changed
    rehearsed = run("restore", backup_id, "--dry-run")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert "users" in rehearsed.stdout
    assert "Stays:" in rehearsed.stdout
    code = json.loads(run("restore", backup_id, "--dry-run", "--json").stdout)["confirmation_code"]
    mistyped = run("restore", backup_id, input="RESTORE-1999-01-01\n")
    assert mistyped.exit_code == 1
    assert "nothing was changed" in mistyped.stderr
    assert name_of(engine, user_id) == "Somebody else"

    done = run("restore", backup_id, input=f"{code}\n")
    assert done.exit_code == 0, done.output
    assert name_of(engine, user_id) == "Meera"
    assert "flask backup acknowledge" in done.stdout
    with Session(engine) as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "restore.completed")).one()
        assert entry.actor_name == "operator at the command line"
        restore_id = entry.object_id

    refused(run("acknowledge", restore_id), "still being compared")
    noted = {"gateway": "stripe", "transaction_id": "re_lost", "payment_id": "pi_kept", "amount_cents": 4000, "currency": "INR"}
    with Session(engine) as session, session.begin():
        counts = {"uncertain": 0, "differs": 0, "noted": 1, "noted_refunds": [noted], "unread": ["No answer"], "refunds": []}
        session.execute(update(Restore).values(report=counts))
    said = run("report", restore_id).stdout
    assert "re_lost  noted  stripe has paid 4000 minor units of INR of payment pi_kept" in said
    assert "could be listed: No answer" in said
    report = json.loads(run("report", restore_id, "--compare", "--json").stdout)
    assert (report["report"]["nothing_found"], report["acknowledged_at"], report["left_out"]) == (1, None, [])
    hostile = "\x00 \udcff \u202e looked up by hand"
    assert json.loads(run("acknowledge", restore_id, "--note", hostile, "--json").stdout)["acknowledged_at"]
    assert "Compared with the gateways" in run("report", restore_id).stdout

    back = run("rollback", restore_id, "--yes", "--json")
    assert back.exit_code == 0, back.output
    assert json.loads(back.stdout)["kind"] == "rollback"
    assert name_of(engine, user_id) == "Somebody else"
    refused(run("rollback", restore_id, "--yes"), "put back already")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_does_not_fit_is_refused_before_anything_changes(run, changed, engine):
    backup_id, user_id = changed
    for wrong in ("yesterday", "2025-11-12T10:00:00", "9999-12-31T23:59:59-01:00"):
        assert "write it as in" in run("restore", backup_id, "--at", wrong).stderr
    refused(run("restore", backup_id, "--at", (now() - timedelta(days=2)).isoformat(), "--yes"), "Only moments from")
    refused(run("restore", "550e8400-e29b-41d4-a716-446655440000", "--yes"), "no backup with this id")
    refused(run("rollback", "550e8400-e29b-41d4-a716-446655440000", "--yes"), "no restore with this id")
    refused(run("report", "550e8400-e29b-41d4-a716-446655440000"), "no restore with this id")
    assert name_of(engine, user_id) == "Somebody else"


def test_recover_says_on_which_side_a_dead_restore_stands(run, changed, app, engine):
    backup_id, _ = changed
    assert "No restore was interrupted" in run("recover").stdout
    restore_id = json.loads(run("restore", backup_id, "--yes", "--json").stdout)["restore_id"]
    folder = app.extensions["restorer"].folder
    lost = folder / "550e8400-e29b-41d4-a716-446655440000"
    Journal(lost).step("carrying")
    Journal(folder / restore_id).step("swapping")

    rows = {row["restore_id"]: row for row in json.loads(run("recover", "--json").stdout)["recovered"]}
    assert (rows[lost.name]["swapped"], rows[lost.name]["step"]) == (False, "carrying")
    assert (rows[restore_id]["swapped"], rows[restore_id]["step"]) == (True, "swapping")
    assert "No restore was interrupted" in run("recover").stdout
    with Session(engine) as session:
        assert len(session.scalars(select(AuditEntry).where(AuditEntry.action == "restore.recovered")).all()) == 2
