"""/system/backups: what people see of backups, and what they do with them."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

import config
from domain.backups.errors import EngineUnavailable
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import now
from domain.jobs.models import Job
from tasks.context import make_context
from tasks.runner import Runner
from tests.factories import make_admin, make_job

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the rules are tested on both, in tests/api
PAGE = "/system/backups"


@pytest.fixture
def vault(app):
    return app.extensions["vault"]


@pytest.fixture
def make(vault):
    def one(type=BackupType.FULL, description=None):
        return vault.create(Wish(uuid4(), type, description, "Asha Rao"), lambda percent, stage: None)

    return one


@pytest.fixture
def work(settings, look):
    context = make_context(config.load(settings))

    def run():
        [job] = look.all(select(Job).where(Job.status == "pending"))
        Runner(context).run(job.id)
        return look.get(Job, job.id)

    yield run
    context.engine.dispose()


def test_a_portal_that_was_never_backed_up_says_so(mira):
    page = mira.open(PAGE).text
    assert "There is no verified backup" in page and "None was made yet" in page
    assert "No moment can be reached." in page and "Backups are not encrypted" in page


def test_a_folder_that_cannot_be_written_is_said_where_it_matters(mira, vault):
    vault.folder.write_text("a file where the folder was to be")
    assert "cannot be used: File exists" in mira.open(PAGE).text
    assert "cannot be used: File exists" in mira.open(f"{PAGE}/new").text


def test_one_is_made_followed_and_verified_again(mira, work, look):
    form = mira.form(f"{PAGE}/new", partial=True)
    sent = mira.send(form, partial=True, backup_type="incremental", description="Before the update")
    assert (sent.status_code, sent.headers["HX-Redirect"]) == (204, PAGE)
    page = mira.open(PAGE)
    assert 'id="live"' in page.text and "Waits for a worker" in page.text
    assert "Something is under way" not in page.text
    assert "One an hour" in mira.open(f"{PAGE}/new").text

    assert work().status == "succeeded"
    poll = mira.open(f"{PAGE}/now", partial=True, shown=PAGE)
    assert "Before the update" in poll.text and 'id="live"' not in poll.text and "<html" not in poll.text
    assert "incremental asked for" in poll.text and "Verified" in poll.text
    assert mira.open(f"{PAGE}/now").status_code == 302
    [shown] = re.findall(r'class="open" href="([^"]+)"', mira.open(PAGE).text)

    detail = mira.open(shown).text
    assert "no verified backup that an incremental one could stand on" in detail
    assert "zstd -dc BACKUP_DIR/" in detail and "admin_users" in detail and "Backup made" in detail
    assert mira.send(mira.find_form(mira.open(shown), f"{shown}/verify")).location == shown
    assert mira.open(f"{shown}/now", partial=True, shown=shown).text.count('id="live"') == 1
    job = work()
    assert (job.type, job.status) == ("backup_verify", "succeeded")
    assert shown in mira.open(f"/jobs/{job.id}").text
    assert "Backup verified" in mira.open(shown).text


def test_what_is_damaged_is_named_and_so_is_what_stands_on_it(mira, make, vault):
    full, part = make(), make(BackupType.INCREMENTAL)
    stored = vault.folder / str(full.id)
    for file in stored.iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(Exception, match="not what was stored"):
        vault.verify(full.id, lambda percent, stage: None)
    page = mira.open(PAGE).text
    assert "Damaged" in page and "Cut off" in page and "None that was made can be put together again" in page
    detail = mira.open(f"{PAGE}/{part.id}").text
    assert "Cut off" in detail and "Damaged" in detail and "flask backup restore" in detail
    assert "One backup stands" in mira.open(f"{PAGE}/{full.id}").text

    (vault.folder / f"{full.id}.json").write_text("{}")
    page = mira.open(PAGE).text
    assert "One backup cannot be read" in page and str(full.id) in page
    assert mira.open(f"{PAGE}/{full.id}").status_code == 409
    assert "Gone" in mira.open(f"{PAGE}/{part.id}").text
    assert mira.open(f"{PAGE}/{uuid4()}").status_code == 404


def test_one_that_failed_is_told_until_another_succeeds(mira, made):
    made(
        make_job, type="backup", status="failed", finished_at=now(), error={"code": "INSUFFICIENT_STORAGE", "message": "The disk ran full"}
    )
    assert "Backup failed" in mira.open(PAGE).text and "The disk ran full" in mira.open(PAGE).text
    made(make_job, type="backup_verify", status="succeeded", finished_at=now() + timedelta(seconds=1))
    assert "Backup failed" in mira.open(PAGE).text
    made(make_job, type="backup", status="succeeded", finished_at=now() + timedelta(seconds=1))
    assert "Backup failed" not in mira.open(PAGE).text


def test_it_asks_for_a_fresh_code_and_says_when_the_next_may_be_made(enrolled, sign_in, code, made, look):
    ravi = sign_in(enrolled(name="Ravi", email="ravi@example.com", role="super_admin"))
    form = ravi.form(f"{PAGE}/new")
    refused = ravi.send(form, description="Typed")
    assert refused.status_code == 403
    assert "Enter a fresh code" in refused.text and 'value="Typed"' in refused.text
    assert ravi.send(ravi.find_form(refused, f"{PAGE}/new"), mfa_code=code()).location == PAGE
    [job] = look.all(select(Job))
    assert (job.type, job.payload["description"]) == ("backup", "Typed")
    late = ravi.send(ravi.form(f"{PAGE}/new"), backup_type="full")
    assert (late.status_code, "One backup an hour" in late.text) == (429, True)


def test_who_may_only_restore_sees_them_and_makes_none(sign_in, made, make):
    make()
    reader = sign_in(made(make_admin, "system:restore"))
    page = reader.open(PAGE).text
    assert "Verified" in page and "Back up now" not in page and f'href="{PAGE}"' in page
    assert reader.open(f"{PAGE}/new").status_code == 403


def test_the_line_of_time_is_a_sentence_and_a_table_too(mira, make):
    make()
    page = mira.open(f"{PAGE}?days=30").text
    assert "The last 30 days" in page and page.count('class="chart__single"') + page.count('class="chart__main"') >= 1
    assert "The moment of one backup" in page or "Any moment from" in page
    assert "Moments that can be reached, newest first" in page
    assert mira.open(f"{PAGE}?days=x&page=99").status_code == 200


def test_while_nobody_can_tell_what_can_be_reached_the_rest_is_there(mira, make, vault, monkeypatch):
    made = make()

    def away():
        raise EngineUnavailable("pgBackRest cannot be found.")

    monkeypatch.setattr(vault, "coverage", away)
    page = mira.open(PAGE).text
    assert "It cannot be told now: pgBackRest cannot be found." in page and str(made.id) in page
    assert "It cannot be told now" in mira.open(f"{PAGE}/{made.id}").text
