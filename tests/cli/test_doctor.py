"""What `flask doctor` says of a portal that is well, and of one that is not."""

import json
import os
import socket
import subprocess
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text, update

import config
from domain.audit.models import AuditHead
from domain.db import now
from domain.jobs import workers
from domain.jobs.commands import enqueue
from domain.marketplace.demo import LOADED
from tests.cli.test_admin import FLASK, refused
from tests.factories import actor_of, make_admin, make_payment, make_refund, make_restore
from tests.servers.smtp import Smtp
from tests.waiting import within
from wsgi import create_app

PASSWORD = "s3cret-hidden"


@pytest.fixture
def examine(settings, tmp_path):
    """Runs `flask doctor --json` and answers its exit status and each check by its name; `more` are settings."""

    def run(**more):
        app = create_app(config.load({**settings, **more}))
        result = app.test_cli_runner().invoke(args=["doctor", "--json"])
        told = json.loads(result.stdout)
        assert told["ok"] == (result.exit_code == 0)
        return {check["name"]: check for check in told["checks"]} | {"exit": result.exit_code}

    return run


@pytest.fixture(autouse=True)
def well(session):
    """Two people who may approve, and a worker."""
    for _ in range(2):
        make_admin(session, totp_confirmed_at=now())
    workers.beat(session, uuid4(), host="here", pid=7, threads=4, jobs_running=1)
    session.commit()


@pytest.fixture
def silent():
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def levels(found):
    """What is not well; of backups another test asks."""
    others = {name: check for name, check in found.items() if name not in ("exit", "archiver") and "backup" not in name}
    return {name: check["level"] for name, check in others.items() if check["level"] != "ok"}


def test_a_portal_that_is_well(examine, app):
    found = examine()
    assert (found["exit"], levels(found)) == (0, {})
    assert found["workers"]["found"] == "1 alive (here:7), 4 threads, 1 jobs running"
    printed = app.test_cli_runner().invoke(args=["doctor"])
    assert printed.exit_code == 0
    words = [line[:5].strip() for line in printed.stdout.splitlines()]
    lacking = {name for name, check in found.items() if name != "exit" and check["level"] == "warn"}
    assert lacking - {"archiver"} == {"backups", "backup key"}
    assert sorted(words) == ["ok"] * (len(found) - 1 - len(lacking)) + ["warn"] * len(lacking)


def test_a_portal_without_a_backup_or_a_key_is_warned(examine, settings, tmp_path):
    found = examine()
    assert [found[name]["level"] for name in ("backup engine", "backup key", "backup space", "backups")] == ["ok", "warn", "ok", "warn"]
    app = create_app(config.load(settings))
    app.test_cli_runner().invoke(args=["backup", "key", str(tmp_path / "backup.key")])
    with_key = create_app(config.load({**settings, "BACKUP_KEY_FILE": str(tmp_path / "backup.key")}))
    assert with_key.test_cli_runner().invoke(args=["backup", "create"]).exit_code == 0
    found = examine(BACKUP_KEY_FILE=str(tmp_path / "backup.key"))
    assert [found[name]["level"] for name in ("backup engine", "backup key", "backup space", "backups")] == ["ok"] * 4


def test_no_worker_is_a_failure(examine, session):
    session.execute(text("DELETE FROM worker_heartbeats"))
    session.commit()
    found = examine()
    assert (found["exit"], levels(found)) == (1, {"workers": "fail"})
    assert "flask worker" in found["workers"]["advice"]


@pytest.mark.parametrize(("minutes", "level"), [(0, None), (3, "warn"), (30, "fail")])
def test_the_oldest_job_that_waits_is_told(examine, session, minutes, level):
    enqueue(session, "notification", run_after=now() - timedelta(minutes=minutes))
    enqueue(session, "notification", run_after=now() + timedelta(hours=1))
    session.commit()
    found = examine()
    assert levels(found) == ({"waiting jobs": level} if level else {})
    assert found["waiting jobs"]["found"].startswith("1, the oldest for")


def test_failed_jobs_of_the_last_day_are_told(examine, session):
    for hours in (1, 2, 30):
        job = enqueue(session, "notification")
        job.status, job.finished_at = "failed", now() - timedelta(hours=hours)
    session.commit()
    found = examine()
    assert (found["exit"], levels(found)) == (0, {"failed jobs": "warn"})
    assert found["failed jobs"]["found"] == "2 in the last 24 hours (notification 2)"


def test_refunds_that_need_a_person_are_told(examine, session):
    for state in ("failed", "unknown", "unknown", "queued"):
        make_refund(session, status="approved", processing_state=state)
    session.commit()
    assert examine()["refunds"]["found"] == "1 payouts failed, of 2 nobody knows the outcome"


def test_payments_of_a_gateway_without_keys_are_a_failure(examine, session):
    make_payment(session, provider="razorpay")
    make_payment(session, provider="stripe")
    session.commit()
    assert "razorpay, whose keys" in examine(STRIPE_API_KEY="sk_test_1")["gateways"]["found"]
    assert levels(examine(STRIPE_API_KEY="sk_test_1", RAZORPAY_KEY_ID="rzp_1", RAZORPAY_KEY_SECRET="x")) == {}


def test_fewer_than_two_who_may_approve_is_a_warning(examine, session):
    session.execute(text("UPDATE admin_users SET totp_confirmed_at = NULL"))
    session.commit()
    assert levels(examine()) == {"approvers": "warn"}
    session.execute(text("UPDATE admin_users SET disabled_at = created_at"))
    make_admin(session, role="support_agent")
    session.commit()
    assert examine()["approvers"]["found"].startswith("0 admins may approve")


def test_an_audit_log_without_its_end_is_a_failure(examine, session):
    from domain import audit

    audit.record(session, actor_of(make_admin(session)), "refund.approved")
    session.commit()
    assert levels(examine()) == {}
    session.execute(update(AuditHead).values(sequence=5))
    session.commit()
    assert levels(examine()) == {"audit log": "fail"}
    session.execute(text("DELETE FROM audit_head"))
    session.commit()
    assert levels(examine()) == {"audit log": "fail"}


def test_a_database_of_another_version_is_a_failure(examine, session):
    session.execute(text("UPDATE alembic_version SET version_num = '0007'"))
    session.commit()
    assert examine()["database"]["found"].startswith("it is at revision 0007")
    session.execute(text("DROP TABLE alembic_version"))
    session.commit()
    found = examine()
    assert (found["exit"], levels(found)) == (1, {"database": "fail"})
    assert "flask db upgrade" in found["database"]["advice"]


def test_a_database_file_that_is_not_there_is_not_made(examine, tmp_path):
    file = tmp_path / "nowhere.db"
    assert "flask db upgrade" in examine(DATABASE_URL=f"sqlite:///{file}")["database"]["advice"]
    assert not file.exists()


def test_a_queue_file_that_cannot_be_read_is_a_failure(examine, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "queue.db").write_bytes(b"no database at all" * 100)
    assert levels(examine()) == {"queue": "fail"}


def test_redis_is_asked(examine, redis):
    assert examine(REDIS_URL=redis.url)["queue"]["found"] == "Redis answers"


def test_the_mail_server_is_asked(examine):
    with Smtp() as smtp:
        assert examine(SMTP_URL=smtp.url)["mail"]["level"] == "ok"
        assert smtp.messages == []
    found = examine(SMTP_URL=smtp.url)
    assert levels(found) == {"mail": "fail"}
    assert "cannot be reached" in found["mail"]["found"]


def test_production_wants_https_and_a_mail_server_and_no_demo(examine, session):
    from domain import audit

    production = {"APP_ENV": "production", "SECRET_KEY": "0" * 64}
    assert levels(examine(**production)) == {"address": "fail", "mail": "warn"}
    audit.record(session, actor_of(make_admin(session)), LOADED)
    session.commit()
    found = examine(**production, PUBLIC_URL="https://portal.example.com")
    assert levels(found) == {"mail": "warn", "demo": "fail"}


def test_whatever_is_away_takes_less_than_five_seconds_and_hides_nothing(examine, silent):
    away = {
        "DATABASE_URL": f"postgresql://portal:{PASSWORD}@127.0.0.1:{silent}/portal",
        "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{silent}/0",
        "SMTP_URL": f"smtp://portal:{PASSWORD}@127.0.0.1:{silent}",
    }
    found = within(5, lambda: examine(**away))
    assert (found["exit"], levels(found)) == (1, {"database": "fail", "queue": "fail", "mail": "fail"})
    assert found["storage"]["level"] == "ok"
    assert PASSWORD not in json.dumps(found)


def test_a_port_nobody_listens_on_is_said_at_once(examine):
    found = examine(DATABASE_URL="postgresql://portal@127.0.0.1:1/portal", REDIS_URL="redis://127.0.0.1:1/0")
    assert levels(found) == {"database": "fail", "queue": "fail"}


def test_a_storage_that_keeps_nothing_is_a_failure(examine, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "storage").write_text("a file where the folder belongs")
    assert levels(examine()) == {"storage": "fail"}


def test_nothing_is_left_behind(examine, tmp_path):
    examine()
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == ["secret.key"]


def test_wrong_settings_are_named_before_anything_is_checked(settings):
    environment = {"PATH": os.environ["PATH"], **settings, "TRUSTED_PROXIES": "many"}
    done = subprocess.run([FLASK, "doctor"], env=environment, timeout=60, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("TRUSTED_PROXIES:")


def test_help_has_an_example(app):
    runner = app.test_cli_runner()
    assert "Example: flask doctor" in runner.invoke(args=["doctor", "--help"]).stdout
    refused(runner.invoke(args=["doctor", "--fast"]), "No such option", exit_code=2)


def test_a_restore_whose_report_nobody_has_acknowledged(examine, session):
    restore = make_restore(session, acknowledged_at=None)
    session.commit()
    found = examine()["restore"]
    assert found["level"] == "warn"
    assert f"flask backup acknowledge {restore.id}" in found["advice"]
