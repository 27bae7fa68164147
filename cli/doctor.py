"""`flask doctor`: is everything there that the portal needs, and is it well?"""

import json
import shutil
import smtplib
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from uuid import uuid4

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import migrations
from adapters.mail import SmtpMailer, make_mailer, trouble
from adapters.probes import LITTLE_SPACE, TOO_LITTLE_SPACE, ask_redis
from config import Config
from domain.access import operator
from domain.backups.vault import Vault
from domain.db import address_of, driver_url, make_brief_engine, read_only
from domain.health.checks import Check, Level, examine
from domain.health.report import Status
from domain.marketplace import demo
from domain.restores.guard import frozen_by
from domain.storage import Storage, StorageError
from web.backups import vault
from web.jobs import storage as storage_in_use

SECONDS = 3.0
"""How long any check may take: whatever is away must not keep the others from being told."""
PROBE_SECONDS = 2


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Check everything the portal needs, and say what to do where something is wrong. Exit 1 if any check fails.

    \b
    Example: flask doctor
             flask doctor --json | jq '.checks[] | select(.level != "ok")'
    """
    settings: Config = current_app.config["PORTAL"]
    found = checks(settings, storage_in_use())
    well = all(check.level is not Level.FAIL for check in found)
    if as_json:
        click.echo(json.dumps({"ok": well, "checks": [asdict(check) for check in found]}, ensure_ascii=False))
    else:
        for check in found:
            click.echo(f"{check.level:<5} {check.name:<13} {check.found}" + (f". {check.advice}." if check.advice else ""))
    if not well:
        click.get_current_context().exit(1)


def checks(settings: Config, storage: Storage) -> list[Check]:
    """All at once, since one that is away takes its time; in their order."""
    vault_in_use = vault()
    probes: list[tuple[str, Callable[[], list[Check]]]] = [
        ("settings", lambda: about_settings(settings)),
        ("data folder", lambda: [data_folder(settings.data_dir)]),
        ("database", lambda: database(settings)),
        ("queue", lambda: [queue(settings)]),
        ("storage", lambda: [kept_files(storage, settings.data_dir)]),
        ("mail", lambda: [mail(settings)]),
        ("backups", lambda: backups(vault_in_use)),
    ]
    ends = time.monotonic() + SECONDS
    answers = [(name, begin(name, probe)) for name, probe in probes]
    return [check for name, answer in answers for check in taken(name, answer, ends)]


def begin(name: str, probe: Callable[[], list[Check]]) -> "SimpleQueue[list[Check]]":
    answer: SimpleQueue[list[Check]] = SimpleQueue()

    def run() -> None:
        try:
            answer.put(probe())
        except Exception as error:  # noqa: BLE001  -- one broken check must not hide the others
            answer.put([Check(name, Level.FAIL, f"the check itself failed ({type(error).__name__}: {first_line(error)})", "Report this")])

    Thread(target=run, name=name, daemon=True).start()
    return answer


def taken(name: str, answer: "SimpleQueue[list[Check]]", ends: float) -> list[Check]:
    try:
        return answer.get(timeout=max(ends - time.monotonic(), 0.01))
    except Empty:
        return [Check(name, Level.FAIL, f"no answer within {SECONDS:g} s", "See whether it runs and can be reached from here")]


def about_settings(settings: Config) -> list[Check]:
    found = [Check("settings", Level.OK, f"all can be read; APP_ENV is {settings.app_env}")]
    kept = settings.data_dir / "secret.key"
    if kept.is_file() and kept.read_text().strip() == settings.secret_key:
        found.append(Check("secret key", Level.OK, f"kept in {kept}: back it up with the database"))
    else:
        found.append(Check("secret key", Level.OK, "set as SECRET_KEY"))
    if settings.secure_cookies or not settings.production:
        found.append(Check("address", Level.OK, settings.public_url))
    else:
        advice = "Put the portal behind HTTPS and set PUBLIC_URL=https://..."
        found.append(Check("address", Level.FAIL, f"{settings.public_url} is not HTTPS: cookies could be read on the way", advice))
    return found


def backups(vault: Vault) -> list[Check]:
    """A portal without a backup works, so what is missing is a warning; `flask backup check` ends with 1 over it."""
    return [Check(each.name, Level.OK if each.ok else Level.WARN, each.found, "" if each.ok else each.advice) for each in vault.examine()]


def data_folder(folder: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        advice = "Let the portal's user write there, or set DATA_DIR"
        return Check("data folder", Level.FAIL, f"{folder} cannot be written ({error.strerror})", advice)
    found = f"{folder} can be written, {free / 1e9:.1f} GB free"
    level = Level.FAIL if free < TOO_LITTLE_SPACE else Level.WARN if free < LITTLE_SPACE else Level.OK
    return Check("data folder", level, found, "" if level is Level.OK else "Make room on this disk")


def database(settings: Config) -> list[Check]:
    """The database, and all that it tells."""
    file = driver_url(settings.database_url).removeprefix("sqlite:///")
    if settings.database_url.startswith("sqlite:") and not Path(file).is_file():
        return [Check("database", Level.FAIL, f"there is no file {file}", "Make it: flask db upgrade")]
    engine = make_brief_engine(settings.database_url, PROBE_SECONDS)
    try:
        with read_only(), Session(engine) as session:
            revision = revision_of(session)
            if revision != migrations.newest():
                found = f"it is at revision {revision or 'none'}, this version needs {migrations.newest()}"
                return [Check("database", Level.FAIL, found, "Run flask db upgrade")]
            found = f"{engine.dialect.name} answers, at the newest revision ({revision})"
            told = examine(session, operator(), gateways_with_keys(settings), production=settings.production)
            return [Check("database", Level.OK, found), *told, *restored(session), *demo_data(session, settings)]
    except SQLAlchemyError as error:
        reason = first_line(getattr(error, "orig", None) or error)
        return [Check("database", Level.FAIL, f"it does not answer ({reason})", "Start it, or correct DATABASE_URL")]
    finally:
        engine.dispose()


def revision_of(session: Session) -> str | None:
    try:
        found: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
        return found
    except SQLAlchemyError as error:
        if "alembic_version" in first_line(getattr(error, "orig", error)):
            return None  # never migrated
        raise


def gateways_with_keys(settings: Config) -> list[str]:
    keys = {
        "sandbox": True,
        "stripe": bool(settings.stripe_api_key),
        "razorpay": bool(settings.razorpay_key_id and settings.razorpay_key_secret),
    }
    return [name for name, there in keys.items() if there]


def restored(session: Session) -> list[Check]:
    restore_id = frozen_by(session)
    if restore_id is None:
        return []
    found = "data were restored and the report is not acknowledged: no refund is approved or paid"
    return [Check("restore", Level.WARN, found, f"Read it: flask backup report {restore_id}; then: flask backup acknowledge {restore_id}")]


def demo_data(session: Session, settings: Config) -> list[Check]:
    if not settings.production or not demo.is_loaded(session):
        return []
    advice = "Never use this database in production: everybody who has this program can sign in"
    return [Check("demo", Level.FAIL, "the demo's admins are in the database, and their passwords are public", advice)]


def queue(settings: Config) -> Check:
    later = "Jobs wait meanwhile, and none is lost"
    if settings.redis_url:
        told = ask_redis(settings.redis_url)
        if told.status is Status.UNHEALTHY:
            return Check("queue", Level.FAIL, f"Redis does not answer ({told.error})", f"Start it, or correct REDIS_URL. {later}")
        if not told.well:
            return Check("queue", Level.WARN, f"Redis answers. {told.error}", "Raise its maxmemory")
        return Check("queue", Level.OK, "Redis answers")
    file = settings.data_dir / "queue.db"
    if not file.exists():
        return Check("queue", Level.OK, "no file yet: the first job or worker makes it")
    try:
        with closing(sqlite3.connect(address_of(file, "mode=rw"), uri=True, timeout=PROBE_SECONDS)) as opened:
            opened.execute("PRAGMA quick_check(1)").fetchone()
            [waiting] = opened.execute("SELECT count(*) FROM task").fetchone()
    except sqlite3.Error as error:
        advice = f"Stop the workers, remove {file} and start them again. {later}"
        return Check("queue", Level.FAIL, f"{file} cannot be used ({first_line(error)})", advice)
    return Check("queue", Level.OK, f"{file} can be used, {waiting} bells to be answered")


def kept_files(storage: Storage, data_dir: Path) -> Check:
    """A file goes in, comes out and is removed."""
    name, content = f"doctor/{uuid4()}.txt", b"Written by flask doctor, to be removed at once.\n"
    try:
        with tempfile.NamedTemporaryFile(dir=data_dir, delete=False) as draft:
            draft.write(content)
        try:
            storage.save(name, Path(draft.name))
            pieces, _ = storage.open(name)
            read = b"".join(pieces)
        finally:
            Path(draft.name).unlink(missing_ok=True)
            storage.delete(name)
    except (StorageError, OSError) as error:
        return Check("storage", Level.FAIL, f"it does not keep files ({first_line(error)})", "Correct STORAGE_URL and its keys")
    if read != content:
        return Check("storage", Level.FAIL, "it gave back other bytes than it was given", "Use another store: see STORAGE_URL")
    return Check("storage", Level.OK, f"{storage.provider} takes, gives back and removes files")


def mail(settings: Config) -> Check:
    mailer = make_mailer(settings)
    if not isinstance(mailer, SmtpMailer):
        found = f"messages are kept in {settings.data_dir / 'outbox'} and reach nobody"
        return Check("mail", Level.WARN if settings.production else Level.OK, found, "Set SMTP_URL" if settings.production else "")
    try:
        connection = SmtpMailer(mailer.server, mailer.sender, timeout=PROBE_SECONDS).connect()
        with suppress(smtplib.SMTPException, OSError):
            connection.quit()
    except smtplib.SMTPAuthenticationError:
        return Check("mail", Level.FAIL, "the mail server refused our user and password", "Correct SMTP_URL")
    except (smtplib.SMTPException, OSError) as error:
        reason = trouble(error).reason.rstrip(".")
        return Check("mail", Level.FAIL, reason[0].lower() + reason[1:], "Correct SMTP_URL. Messages wait meanwhile")
    return Check("mail", Level.OK, "the mail server takes our messages")


def first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
