"""Backups in a browser: asked for, followed, verified again; by keyboard, in both themes, wide and narrow."""

import shutil
from uuid import uuid4

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters.backups import make_vault
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import now
from domain.jobs.commands import enqueue
from domain.jobs.models import Job
from domain.refunds.models import Refund
from domain.restores.models import Quarantined, Restore
from tasks.context import make_context
from tasks.runner import Runner
from tests.browser.conftest import code_of_now
from tests.browser.looks import breaches, too_small_to_touch
from tests.factories import make_refund

pytestmark = pytest.mark.browser


@pytest.fixture
def mira(house):
    return house.admin(name="Mira Sen", email="mira@example.com", role="super_admin")


@pytest.fixture
def vault(house):
    shutil.rmtree(house.settings.backup_dir, ignore_errors=True)
    yield make_vault(house.settings)
    shutil.rmtree(house.settings.backup_dir, ignore_errors=True)


@pytest.fixture
def work(house):
    """Does what a worker would with the job that waits."""
    context = make_context(house.settings)

    def run(type):
        [job] = house.all(select(Job).where(Job.status == "pending", Job.type == type))
        Runner(context).run(job.id)

    yield run
    context.engine.dispose()


@pytest.fixture
def restored(house, mira, vault, work):
    """The page of a restore whose report says all that one can say."""
    made = vault.create(Wish(uuid4(), BackupType.FULL, None, "System"), lambda *told: None)
    with Session(house.engine) as session, session.begin():
        enqueue(session, "restore", creator_id=mira.id, metadata={"backup_id": str(made.id)})
    work("restore")
    work("restore_check")
    [restore] = house.all(select(Restore))
    line = {"refund_id": str(uuid4()), "refund_number": "RF-2026-000121", "amount_cents": 1234500, "currency": "INR", "gateway": "razorpay"}
    rulings = ("agrees", "taken_over", "differs", "uncertain")
    lines = [{**line, "ruling": ruling, "transaction_id": "rfnd_9AfT2kQ", "message": "The bank account is closed"} for ruling in rulings]
    report = {**dict.fromkeys((*rulings, "nothing_found"), 1), "looked_at": 5, "refunds": lines}
    with Session(house.engine) as session, session.begin():
        session.execute(update(Restore).values(report=report, left_out=1))
        contents = {"refund_number": "RF-2026-000009"}
        session.add(Quarantined(restore_id=restore.id, table_name="refund_requests", contents=contents, reason="No such payment"))
    return f"/system/restores/{restore.id}"


def test_one_is_asked_for_by_keyboard_followed_to_its_end_and_verified_again(house, visit, mira, vault, work):
    page = visit(mira, stale=True)
    page.goto("/")
    page.keyboard.type("gb")
    expect(page.locator("#standing")).to_contain_text("There is no verified backup")
    page.locator("#make").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#backup_type")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("Before the update")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#mfa_code")).to_be_focused()
    page.keyboard.type(code_of_now())
    page.keyboard.press("Control+Enter")
    expect(page.locator(".job__state")).to_contain_text("Waits for a worker")

    with Session(house.engine) as session, session.begin():
        session.execute(update(Job).values(status="processing", started_at=now(), progress_percent=40, stage="Copying the database"))
    expect(page.get_by_role("progressbar", name="Progress of Backup")).to_have_attribute("value", "40")
    with Session(house.engine) as session, session.begin():
        session.execute(update(Job).values(status="pending", started_at=None, progress_percent=0))
    work("backup")
    row = page.locator("#results tbody tr")
    expect(row).to_contain_text("Before the update")
    expect(row).to_contain_text("Verified")
    expect(page.locator("#standing")).to_contain_text("The newest verified backup is")
    expect(page.locator(".job__state")).to_have_count(0)
    expect(page.get_by_role("img", name="The moment of one backup").or_(page.get_by_role("img", name="Any moment from"))).to_be_visible()

    row.locator("a.open").click()
    expect(page.get_by_role("heading", name="Can it be trusted?")).to_be_visible()
    page.get_by_role("button", name="Verify").click()
    expect(page.locator(".job__state")).to_contain_text("Backup verification")
    work("backup_verify")
    expect(page.locator(".job__state")).to_have_count(0)
    expect(page.locator(".timeline")).to_contain_text("Backup verified")

    page.goto("/system/backups")
    page.locator("#make").click()
    expect(page.get_by_role("dialog")).to_contain_text("One an hour")


def test_a_restore_goes_from_the_page_to_its_report_and_is_acknowledged(house, visit, mira, vault, work):
    made = vault.create(Wish(uuid4(), BackupType.FULL, None, "System"), lambda *told: None)
    lost, kept = house.make(make_refund, requested_at=now()), house.make(make_refund, requested_at=now())
    page = visit(mira, stale=True)
    page.goto(f"/system/backups/{made.id}")
    page.get_by_role("link", name="Restore…").click()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("main")).to_contain_text("2 refund requests that nobody has decided yet")
    with Session(house.engine) as session, session.begin():  # meanwhile the money of one moves
        change = {"status": "processed", "approved_at": now(), "approved_amount_cents": 100, "processing_state": "done"}
        session.execute(update(Refund).where(Refund.id == kept.id).values(**change))
    page.get_by_role("link", name="Next").click()
    page.keyboard.press("Tab")
    page.locator("#confirmation_code").focus()
    page.keyboard.type(f"RESTORE-{made.snapshot_at:%Y-%m-%d}")
    page.keyboard.press("Tab")
    page.keyboard.type(code_of_now())
    page.keyboard.press("Enter")
    expect(page.locator(".job__state")).to_contain_text("Waits for a worker")
    work("restore")
    expect(page.locator("#restore")).to_contain_text("Approvals are frozen")
    work("restore_check")
    page.locator("#acknowledge").click()
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.type("Looked at each")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#restore")).to_contain_text("Acknowledged by Mira Sen")
    expect(page.locator("#live-words")).to_have_count(0)
    assert [refund.id for refund in house.all(select(Refund))] == [kept.id] != [lost.id]


def test_no_view_breaks_wcag_or_scrolls_sideways(house, visit, mira, vault, restored):
    page = visit(mira)
    made = [vault.create(Wish(uuid4(), BackupType.FULL, "Before the update of the price lists", "Mira Sen"), lambda *told: None)]
    made.append(vault.create(Wish(uuid4(), BackupType.INCREMENTAL, None, "System"), lambda *told: None))
    vault.catalog.write(made[0].with_verification(False, "It is not what was stored.", now()))
    vault.catalog.document(uuid4()).write_text("{}")
    whole = vault.create(Wish(uuid4(), BackupType.FULL, None, "System"), lambda *told: None)
    views = {
        "list": lambda: page.goto("/system/backups"),
        "one": lambda: page.goto(f"/system/backups/{made[1].id}"),
        "dialog": lambda: (page.goto("/system/backups"), page.locator("#make").click(), expect(page.get_by_role("dialog")).to_be_visible()),
        "step one": lambda: page.goto(f"/system/backups/{whole.id}/restore?step=2&moment=x"),
        "step two": lambda: page.goto(f"/system/backups/{whole.id}/restore?step=2"),
        "step three": lambda: page.goto(f"/system/backups/{whole.id}/restore?step=3"),
        "report": lambda: page.goto(restored),
        "rollback": lambda: (page.goto(restored), page.locator("#rollback").click(), expect(page.get_by_role("dialog")).to_be_visible()),
    }
    assert breaches(page, views) == {}
    page.goto("/system/backups")
    assert too_small_to_touch(page) == []
