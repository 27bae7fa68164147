"""/system/restores: asked for in three steps, followed to its report, acknowledged, taken back."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import config
from domain.audit.models import AuditEntry
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import now
from domain.jobs.models import Job
from domain.refunds.models import Refund
from domain.restores.models import Quarantined, Restore
from portal.restores.asking import in_utc
from tasks.context import make_context
from tasks.runner import Runner
from tests.factories import make_admin, make_job, make_refund

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # restoring itself is tested on both, in tests/adapters


@pytest.fixture
def backup(app):
    return app.extensions["vault"].create(Wish(uuid4(), BackupType.FULL, "Before it", "Asha Rao"), lambda *told: None)


@pytest.fixture
def work(settings, look):
    """Does what a worker would with the jobs of these types that wait."""
    context = make_context(config.load(settings))

    def run(*types):
        for job in look.all(select(Job).where(Job.status == "pending", Job.type.in_(types)).order_by(Job.created_at)):
            Runner(context).run(job.id)

    yield run
    context.engine.dispose()


def steps_of(backup):
    return f"/system/backups/{backup.id}/restore"


@pytest.fixture
def restored(mira, backup, work, look):
    """A restore that came to be, with its page."""
    mira.send(mira.form(f"{steps_of(backup)}?step=3"), confirmation_code=f"RESTORE-{backup.snapshot_at:%Y-%m-%d}")
    work("restore")
    [restore] = look.all(select(Restore))
    return f"/system/restores/{restore.id}"


def test_three_steps_say_what_comes_back_what_is_lost_and_what_stays(mira, made, backup):
    made(make_refund, requested_at=now())
    made(make_refund, status="approved", approved_at=now(), approved_amount_cents=100)
    made(make_refund, status="rejected", rejected_at=now())
    assert f'href="{steps_of(backup)}"' in mira.open(f"/system/backups/{backup.id}").text
    first = mira.open(steps_of(backup)).text
    assert in_utc(backup.snapshot_at) in first and 'aria-current="step"' in first
    second = mira.open(f"{steps_of(backup)}?step=2").text
    assert "1 refund request that nobody has decided yet" in second and "1 rejection: that refund waits" in second
    assert "1 refund that was approved since" in second and "New since" in second
    third = mira.open(f"{steps_of(backup)}?step=3").text
    assert f"Type RESTORE-{backup.snapshot_at:%Y-%m-%d}" in third
    assert mira.open(f"/system/backups/{uuid4()}/restore").status_code == 404


def test_stored_files_can_be_left_out(mira, app, look):
    wish = Wish(uuid4(), BackupType.FULL, "With files", "Asha Rao", uploads=True)
    backup = app.extensions["vault"].create(wish, lambda *told: None)
    form = mira.form(f"{steps_of(backup)}?step=3")
    mira.send(form, confirmation_code=f"RESTORE-{backup.snapshot_at:%Y-%m-%d}", without_uploads="true")
    [job] = look.all(select(Job).where(Job.type == "restore"))
    assert job.payload["include_uploads"] is False


def test_a_moment_that_cannot_be_reached_is_said_at_the_first_step(mira, backup):
    earlier = backup.snapshot_at - timedelta(days=2)
    answer = mira.open(f"{steps_of(backup)}?step=2&moment={earlier:%Y-%m-%dT%H:%M:%S}")
    assert answer.status_code == 422
    assert "This moment cannot be reached" in answer.text or "This backup was made later" in answer.text
    for wrong in ("yesterday", "9999-12-31T23:59:59-01:00"):
        answer = mira.open(f"{steps_of(backup)}?step=2&moment={wrong}")
        assert (answer.status_code, "Write the moment in UTC" in answer.text) == (422, True)
    later = backup.snapshot_at + timedelta(seconds=1)
    found = mira.open(f"/system/backups/moment?moment={later:%Y-%m-%dT%H:%M:%S}").location
    assert found.startswith(f"{steps_of(backup)}?step=2&moment=")
    before_all = mira.open(mira.open("/system/backups/moment?moment=2001-01-01").location)
    assert (before_all.status_code, "This moment cannot be reached" in before_all.text) == (422, True)
    assert mira.open("/system/backups/moment?moment=").location == "/system/backups"


def test_it_takes_the_code_and_a_fresh_second_factor(enrolled, sign_in, code, backup, look):
    ravi = sign_in(enrolled(name="Ravi", email="ravi@example.com", role="super_admin"))
    form = ravi.form(f"{steps_of(backup)}?step=3")
    refused = ravi.send(form, confirmation_code="RESTORE-2001-01-01")
    assert refused.status_code == 403 and "Enter a fresh code" in refused.text
    refused = ravi.send(ravi.find_form(refused, steps_of(backup)), confirmation_code="RESTORE-2001-01-01", mfa_code=code())
    assert refused.status_code == 422
    assert "The confirmation code is RESTORE-" in refused.text and 'value="RESTORE-2001-01-01"' in refused.text
    sent = ravi.send(ravi.find_form(refused, steps_of(backup)), confirmation_code=f"RESTORE-{backup.snapshot_at:%Y-%m-%d}")
    [job] = look.all(select(Job))
    assert (sent.status_code, sent.location) == (303, f"/system/restores/{job.id}")
    page = ravi.open(sent.location).text
    assert "Waits for a worker" in page and 'id="live"' in page
    assert "See the restore" in ravi.open("/system/backups").text


def test_the_report_is_there_at_the_end_and_approvals_are_frozen_until_it_is_acknowledged(mira, made, restored, work, look):
    page = mira.open(restored).text
    assert "Approvals are frozen" in page and "being compared with the gateways" in page
    work("restore_check")
    refund = made(make_refund)
    assert "Approvals are frozen" in mira.open("/refunds").text and restored in mira.open("/refunds").text
    assert "Approvals are frozen" in mira.open(f"/refunds/{refund.id}").text
    refused = mira.send(mira.form(f"/refunds/{refund.id}/approve"), reason="Confirmed with the vendor.")
    assert (refused.status_code, "Approvals are frozen" in refused.text) == (409, True)

    page = mira.open(restored).text
    assert "Agrees" in page and "Carried forward" in page and "The backup of what was replaced" in page
    poll = mira.open(f"{restored}/now", partial=True, shown=restored)
    assert "Approvals are frozen" in poll.text and "<html" not in poll.text
    assert mira.open(f"{restored}/now").location == restored
    sent = mira.send(mira.form(f"{restored}/acknowledge", partial=True), partial=True, note="Looked at each")
    assert sent.headers["HX-Redirect"] == restored
    page = mira.open(restored).text
    assert "Acknowledged by Mira Sen" in page and "Looked at each" in page
    assert "Approvals are frozen" not in mira.open("/refunds").text
    assert "Acknowledged" in mira.open("/system/backups").text
    assert mira.open(f"/audit?object=restores&id={restored.rpartition('/')[2]}").text.count(restored) > 0
    assert "restore.acknowledged" in look.all(select(AuditEntry.action))


def test_what_is_uncertain_takes_a_note_and_what_was_left_out_is_named(mira, restored, work, engine, look):
    work("restore_check")
    [restore] = look.all(select(Restore))
    line = {"refund_id": str(uuid4()), "refund_number": "RF-2026-000007", "ruling": "uncertain", "amount_cents": 5000, "currency": "INR"}
    line |= {"gateway": "stripe", "transaction_id": None, "message": "No answer"}
    counts = {"agrees": 3, "taken_over": 0, "nothing_found": 2, "differs": 0, "uncertain": 1, "looked_at": 6, "refunds": [line]}
    with Session(engine) as session, session.begin():
        files = {
            "added": 3,
            "same": 7,
            "changed": 1,
            "missing": 0,
            "changed_names": ["exports/a.csv"],
            "missing_names": [],
            "problem": None,
        }
        session.execute(update(Restore).values(report=counts, left_out=1, uploads=files))
        contents = {"id": str(uuid4()), "refund_number": "RF-2026-000009"}
        session.add(Quarantined(restore_id=restore.id, table_name="refund_requests", contents=contents, reason="No such payment"))
    page = mira.open(restored).text
    assert "RF-2026-000007" in page and "The gateway could not tell" in page and "And 3 more that are not named here" in page
    assert "RF-2026-000009" in page and "No such payment" in page
    assert "Brought back" in page and "With another content: exports/a.csv" in page
    refused = mira.send(mira.form(f"{restored}/acknowledge"))
    assert refused.status_code == 422 and "say in a note" in refused.text
    assert mira.send(mira.find_form(refused, f"{restored}/acknowledge"), note="Called them").location == restored
    assert mira.send(mira.find_form(mira.open(restored), f"{restored}/check")).location == restored


def test_what_only_the_gateway_knows_is_named_and_a_list_that_broke_off_takes_a_note(mira, restored, work, engine):
    work("restore_check")
    noted = {"gateway": "stripe", "transaction_id": "re_lost", "payment_id": "pi_kept", "amount_cents": 4000, "currency": "INR"}
    counts = {"agrees": 0, "taken_over": 0, "nothing_found": 0, "differs": 0, "uncertain": 0, "looked_at": 0, "refunds": []}
    unread = ["Stripe asks us to slow down"]
    with Session(engine) as session, session.begin():
        session.execute(update(Restore).values(report=counts | {"noted": 1, "noted_refunds": [noted], "unread": unread}))
    page = mira.open(restored).text
    assert "One paid since is of no refund here" in page and "re_lost" in page and "pi_kept" in page and "₹40.00" in page
    assert "Not all that was paid since could be listed" in page and unread[0] in page
    refused = mira.send(mira.form(f"{restored}/acknowledge"))
    assert refused.status_code == 422 and "say in a note how you made sure of what was paid since" in refused.text


def test_it_is_taken_back_with_its_own_code(mira, made, restored, work, look):
    form = mira.form(f"{restored}/rollback")
    refused = mira.send(form, confirmation_code="yes")
    assert refused.status_code == 422 and "ROLLBACK-" in refused.text
    sent = mira.send(mira.find_form(refused, f"{restored}/rollback"), confirmation_code=f"ROLLBACK-{now():%Y-%m-%d}")
    work("backup", "restore")
    page = mira.open(sent.location).text
    assert "Rollback" in page and restored in page
    assert "Taken back" in mira.open(restored).text


def test_one_that_failed_says_that_nothing_was_changed(mira, made):
    job = made(make_job, type="restore", status="failed", finished_at=now(), error={"code": "BACKUP_CORRUPT", "message": "It is damaged"})
    page = mira.open(f"/system/restores/{job.id}").text
    assert "Nothing was changed" in page and "It is damaged" in page and 'id="live"' not in page
    assert mira.open(f"/system/restores/{uuid4()}").status_code == 404


def test_who_may_only_make_backups_reads_the_report_and_does_nothing(sign_in, made, restored, look):
    reader = sign_in(made(make_admin, "system:backup"))
    page = reader.open(restored).text
    assert "Approvals are frozen" in page and "Acknowledge…" not in page and "Roll back…" not in page
    assert reader.open(f"{restored}/rollback").status_code == 403
    assert look.all(select(Refund)) == []
