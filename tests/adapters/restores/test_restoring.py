"""A whole restore on each engine, by the parts that the portal uses."""

import json
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import delete, func, inspect, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, joinedload, sessionmaker

import config
import migrations
from adapters.backups import make_vault
from adapters.backups.archive.watching import watching
from adapters.restores import make_restorer
from adapters.restores.journal import Journal
from adapters.restores.postgres import rename
from adapters.storage import make_storage
from domain import audit
from domain.access import operator
from domain.audit.models import AuditEntry
from domain.audit.verification import verify
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, DatabaseDamaged, EngineUnavailable, SchemaNewer
from domain.backups.manifest import BackupType
from domain.backups.retention import KEPT_FULLS
from domain.backups.vault import Wish
from domain.db import make_engine, now
from domain.identity.models import Admin
from domain.jobs.models import Job
from domain.marketplace.models import Booking, User, Vendor
from domain.refunds import commands
from domain.refunds.commands.decision import NotPending
from domain.refunds.models import Refund
from domain.refunds.policy import RefundPolicy
from domain.refunds.settlement import settle
from domain.restores.errors import ApprovalsFrozen, NothingToRollBack, RestoreFailed
from domain.restores.models import Restore
from domain.restores.restorer import Order
from tests.domain.gateways import ScriptedGateway
from tests.factories import actor_of, make_admin, make_booking, make_job, make_refund, make_user
from tests.waiting import within

POLICY = RefundPolicy(dual_limits={"INR": 8_500_000, "USD": 100_000})


@pytest.fixture
def settings(database_url, tmp_path):
    return config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": database_url})


@pytest.fixture
def vault(settings):
    return make_vault(settings)


@pytest.fixture
def restorer(settings, vault):
    return make_restorer(settings, vault)


@pytest.fixture
def way(request, monkeypatch):
    """How the live data are replaced on SQLite: by the rows that differ, as where they are few, or by all pages."""
    if request.param == "pages":
        monkeypatch.setattr("adapters.restores.merging.LEAST_ROWS", 0)
        monkeypatch.setattr("adapters.restores.merging.ROWS_PER_PAGE", 0)
        monkeypatch.setattr("adapters.restores.merging.Merging.merge", the_other_way)
    else:
        monkeypatch.setattr("adapters.restores.merging.LEAST_ROWS", 1_000_000)  # on a slow machine others write more meanwhile
        monkeypatch.setattr("adapters.restores.sqlite.SqliteSwap.copy_pages", the_other_way)


def the_other_way(*_):
    raise AssertionError("it went the other way")


ALL_WAYS = pytest.mark.parametrize(
    ("database_url", "way"),
    [("sqlite", "rows"), ("sqlite", "pages"), ("postgresql", "rename")],
    indirect=True,
    ids=["sqlite-rows", "sqlite-pages", "postgresql"],
)


def back_up(vault):
    return vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao"), silent)


def silent(percent, stage):
    pass


def nothing():
    pass


def pay(session, engine, refund, admin, gateway):
    commands.approve(session, actor_of(admin), POLICY, refund.id, reason="Nobody came")
    session.commit()
    settle(sessionmaker(engine, expire_on_commit=False).begin, {"sandbox": gateway}, refund.id)


@ALL_WAYS
def test_records_go_back_and_money_does_not(session, engine, vault, restorer, way):
    admin = make_admin(session)
    paid, waiting = make_refund(session), make_refund(session)
    name = session.get_one(User, waiting.user_id).name
    session.commit()
    manifest = back_up(vault)
    pay(session, engine, paid, admin, ScriptedGateway())
    session.get_one(User, waiting.user_id).name = "Somebody else"
    newcomer = make_refund(session)
    session.commit()
    session.close()
    engine.dispose()

    order = Order(uuid4(), "Asha Rao", admin.id, backup_id=manifest.id)
    restorer.restore(order, silent, nothing)

    with Session(engine) as after:
        assert after.get_one(User, waiting.user_id).name == name
        assert after.get(Refund, newcomer.id) is None
        assert after.get_one(Refund, paid.id).status == "processed"
        row = after.get_one(Restore, order.id)
        assert (row.backup_id, row.reached_at, row.requested_by) == (manifest.id, manifest.snapshot_at, "Asha Rao")
        assert row.carried["refunds"] == 1
        admin = after.get_one(Admin, admin.id, options=[joinedload(Admin.role)])
        assert verify(after, operator()).whole
        with pytest.raises(ApprovalsFrozen):
            commands.approve(after, actor_of(admin), POLICY, waiting.id, reason="Nobody came")
        after.rollback()
        with pytest.raises(NotPending):
            commands.approve(after, actor_of(admin), POLICY, paid.id, reason="Nobody came")
        assert not any("restore_written" in name for name in inspect(after.connection()).get_table_names())
    assert restorer.can_roll_back(order.id)

    engine.dispose()
    back = Order(uuid4(), "Asha Rao", admin.id, undone_id=order.id)
    restorer.roll_back(back, silent, nothing)
    with Session(engine) as after:
        assert after.get_one(User, waiting.user_id).name == "Somebody else"
        assert after.get_one(Refund, newcomer.id).status == "pending"
        assert after.get_one(Restore, order.id).rolled_back_at is not None
        assert verify(after, operator()).whole
    assert not restorer.can_roll_back(order.id)
    assert restorer.can_roll_back(back.id)


@ALL_WAYS
def test_nothing_that_was_acknowledged_is_lost_while_others_write(session, engine, database_url, vault, restorer, way):
    """Three writers note acts all the while: each is in the log afterwards, or its writer was told that it is not."""
    make_refund(session)
    manifest = back_up(vault)
    session.close()
    stop, acknowledged, refused = threading.Event(), [], []

    def write(number):
        own = make_engine(database_url)
        count = 0
        while not stop.is_set():
            count += 1
            try:
                with Session(own) as mine:
                    audit.record(mine, operator(), "test.happened", mark=f"{number}-{count}")
                    mine.commit()
                acknowledged.append(f"{number}-{count}")
            except OperationalError as error:
                refused.append(error)
        own.dispose()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    try:
        order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
        restorer.restore(order, silent, nothing)
        before = len(acknowledged)
        within(10, lambda: len(acknowledged) > before + 20)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    engine.dispose()
    with Session(engine) as after:
        marks = [entry["mark"] for entry in after.scalars(select(AuditEntry.details).where(AuditEntry.action == "test.happened"))]
        assert set(acknowledged) <= set(marks)
        assert len(marks) == len(set(marks))
        assert verify(after, operator()).whole
        assert after.get_one(Restore, order.id).frozen_ms > 0


def test_stored_files_that_are_gone_come_back_and_none_is_changed(session, engine, settings, vault, restorer, tmp_path):
    storage, source = make_storage(settings), tmp_path / "source"

    def keep(name, content):
        source.write_text(content)
        storage.save(name, source)

    for name in ("exports/kept.csv", "exports/gone.csv", "exports/changed.csv"):
        keep(name, name)
    session.close()
    manifest = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao", uploads=True), silent)
    storage.delete("exports/gone.csv")
    keep("exports/changed.csv", "written since")

    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    restorer.restore(order, silent, nothing)

    engine.dispose()
    with Session(engine) as after:
        report = after.get_one(Restore, order.id).uploads
    assert (report["added"], report["same"], report["changed"], report["problem"]) == (1, 1, 1, None)


def test_a_backup_of_an_older_schema_is_brought_up_to_date_first(session, engine, database_url, vault, restorer):
    user_id = make_refund(session).user_id
    session.commit()
    session.close()
    engine.dispose()
    migrations.downgrade(database_url, "0017")
    manifest = back_up(vault)
    assert manifest.schema_revision == "0017"
    migrations.upgrade(database_url)

    restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), silent, nothing)

    with Session(engine) as after:
        assert after.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == migrations.newest()
        assert after.get_one(User, user_id)


def test_on_a_new_machine_the_backup_becomes_the_portal(session, engine, database_url, vault, request, tmp_path):
    """All is lost but the folder of backups: a new database, a first admin, and the restore."""
    old, refund = make_admin(session, email="asha@example.com"), make_refund(session)
    pay(session, engine, refund, old, ScriptedGateway())
    manifest = back_up(vault)
    on_sqlite = database_url.startswith("sqlite")
    url = f"sqlite:///{tmp_path / 'new.db'}" if on_sqlite else request.getfixturevalue("postgres").new_database()
    migrations.upgrade(url)
    new = {"APP_ENV": "test", "DATA_DIR": str(tmp_path / "new"), "DATABASE_URL": url, "BACKUP_DIR": str(vault.folder)}
    settings = config.load(new)
    order = Order(uuid4(), "operator at the command line", backup_id=manifest.id)
    make_restorer(settings, make_vault(settings)).restore(order, silent, nothing)

    restored = make_engine(url)
    with Session(restored) as after:
        assert after.get_one(Admin, old.id).email == "asha@example.com"
        assert after.get_one(Refund, refund.id).status == "processed"
        assert after.get_one(Restore, order.id).acknowledged_at is None
        assert verify(after, operator()).whole
    restored.dispose()


def test_folders_may_be_called_anything(tmp_path):
    settings = config.load({"APP_ENV": "test", "DATA_DIR": str(tmp_path / "100% of #1 & é")})
    migrations.upgrade(settings.database_url)
    vault, engine = make_vault(settings), make_engine(settings.database_url)
    restorer = make_restorer(settings, vault)
    with watching(settings.data_dir / "portal.db", vault.archive.store) as watch, Session(engine) as session:
        watch.tick()
        manifest = back_up(vault)
        make_user(session)
        session.commit()
        watch.tick()
        moment = now()
        watch.tick()
        session.execute(delete(User))
        session.commit()
        for at, users in ((moment, 1), (None, 0)):
            restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id, moment=at), silent, nothing)
            assert session.scalar(select(func.count()).select_from(User)) == users
            session.commit()
            watch.tick()
    engine.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_oldest_backup_of_those_that_are_kept_can_be_restored(session, engine, vault, restorer):
    session.close()
    oldest = back_up(vault)
    for _ in range(KEPT_FULLS - 1):
        back_up(vault)
    engine.dispose()
    restorer.restore(Order(uuid4(), "Asha Rao", backup_id=oldest.id), silent, nothing)
    assert len(vault.list()) == KEPT_FULLS + 1
    back_up(vault)
    assert len(vault.list()) == KEPT_FULLS


class Stop(Exception):
    pass


@pytest.mark.parametrize("stage", ["Checking key", "Comparing", "Migrating", "Carrying", "Waiting for the swap"])
def test_stopped_anywhere_before_the_swap_it_leaves_all_as_it_was(session, engine, vault, restorer, stage):
    user_id = make_refund(session).user_id
    session.commit()
    manifest = back_up(vault)
    session.get_one(User, user_id).name = "Somebody else"
    session.commit()
    session.close()
    tables = inspect(engine).get_table_names()
    engine.dispose()

    def stopping(percent, words):
        if words.startswith(stage):
            raise Stop

    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    with pytest.raises(Stop):
        restorer.restore(order, stopping, nothing)

    with Session(engine) as after:
        assert after.get_one(User, user_id).name == "Somebody else"
        assert after.scalars(select(Restore)).all() == []
    assert not restorer.recover()
    assert stages_of(engine, restorer) == []
    assert inspect(engine).get_table_names() == tables
    restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), silent, nothing)


def spoil(engine, words):
    """Overwrite each page of the live database that has these words."""
    file = Path(engine.url.database)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    content, at, spoilt = bytearray(file.read_bytes()), -1, 0
    while (at := content.find(words.encode(), at + 1)) > 0:
        content[at // 4096 * 4096 : (at // 4096 + 1) * 4096] = b"\x5a" * 4096
        spoilt += 1
    assert spoilt
    file.write_bytes(content)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_damaged_database_is_replaced_by_a_whole_one(session, engine, vault, restorer):
    """What is damaged need not be carried here: a vendor's name, which goes back with the backup."""
    admin, paid, vendor = make_admin(session), make_refund(session), session.scalars(select(Vendor)).one()
    session.commit()
    manifest = back_up(vault)
    pay(session, engine, paid, admin, ScriptedGateway())
    vendor.name = "Spoilt & Sons"
    session.commit()
    session.close()
    engine.dispose()
    spoil(engine, "Spoilt & Sons")
    with pytest.raises(DatabaseDamaged):
        back_up(vault)

    order = Order(uuid4(), "Asha Rao", admin.id, backup_id=manifest.id)
    restorer.restore(order, silent, nothing)

    with Session(engine) as after:
        assert after.scalar(text("PRAGMA integrity_check")) == "ok"
        assert after.scalars(select(Vendor)).one().name != "Spoilt & Sons"
        assert after.get_one(Refund, paid.id).status == "processed"
        assert after.get_one(Restore, order.id).safety_backup_id is None
        assert verify(after, operator()).whole


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_damage_that_is_only_met_while_comparing_is_replaced_too(session, engine, vault, restorer):
    make_refund(session)
    user, vendor = session.scalars(select(User)).one(), session.scalars(select(Vendor)).one()
    name = user.name
    session.commit()
    manifest = back_up(vault)
    user.name, vendor.name = "Somebody else", "Spoilt & Sons"
    session.commit()
    user_id = user.id
    session.close()
    engine.dispose()

    def told(percent, stage):
        if stage == "Comparing with the live data":
            spoil(engine, "Spoilt & Sons")

    restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), told, nothing)

    with Session(engine) as after:
        assert after.scalar(text("PRAGMA integrity_check")) == "ok"
        assert after.get_one(User, user_id).name == name


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_damage_in_what_must_be_carried_stops_the_restore_in_words(session, engine, vault, restorer):
    admin, refund = make_admin(session), make_refund(session)
    session.commit()
    manifest = back_up(vault)
    commands.approve(session, actor_of(admin), POLICY, refund.id, reason="These words are spoilt")
    session.commit()
    session.close()
    engine.dispose()
    spoil(engine, "These words are spoilt")
    tables = inspect(engine).get_table_names()
    with pytest.raises(DatabaseDamaged, match=r"sqlite3 OLD \.recover"):
        restorer.restore(Order(uuid4(), "Asha Rao", admin.id, backup_id=manifest.id), silent, nothing)
    assert not restorer.recover()
    assert inspect(engine).get_table_names() == tables
    with Session(engine) as after:
        assert after.scalars(select(Restore)).all() == []


def stages_of(engine, restorer):
    """What was put together and is still there."""
    if engine.dialect.name == "sqlite":
        return list(restorer.folder.glob("*/side.db*"))
    with Session(engine) as session:
        return session.scalars(text("SELECT datname FROM pg_database WHERE datname LIKE '%\\_stage\\_%'")).all()


def test_replaced_data_are_kept_for_three_days(session, engine, vault, restorer):
    session.close()
    manifest = back_up(vault)
    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    engine.dispose()
    restorer.restore(order, silent, nothing)
    assert restorer.forget_old() == []
    assert restorer.can_roll_back(order.id)
    with Session(engine) as after:
        after.get_one(Restore, order.id).kept_until = now() - timedelta(seconds=1)
        after.commit()
    assert restorer.forget_old() == [order.id]
    assert not restorer.can_roll_back(order.id)
    with pytest.raises(NothingToRollBack):
        restorer.roll_back(Order(uuid4(), "Asha Rao", undone_id=order.id), silent, nothing)


def test_the_journal_of_a_restore_goes_with_what_it_replaced_and_never_before_its_job(session, engine, vault, restorer):
    """What says that a restore was begun stays for as long as its job might be handed to a worker once more."""
    session.close()
    manifest = back_up(vault)
    engine.dispose()
    made, failed, waiting, dead = (Order(uuid4(), "Asha Rao", backup_id=manifest.id) for _ in range(4))
    restorer.restore(made, silent, nothing)
    for order in (failed, waiting):
        with pytest.raises(Stop):
            restorer.restore(order, stop_while("Carrying"), nothing)
    Journal(restorer.folder / str(dead.id)).step("begun")
    with Session(engine) as after, after.begin():
        make_job(after, id=failed.id, type="restore", status="failed", finished_at=now())
        make_job(after, id=waiting.id, type="restore", status="pending")
    engine.dispose()

    def begun():
        restorer.forget_old()
        return {order.id for order in (made, failed, waiting, dead) if restorer.was_begun(order.id)}

    assert begun() == {made.id, failed.id, waiting.id, dead.id}
    for order in (made, failed, waiting, dead):
        grow_old(Journal(restorer.folder / str(order.id)))
    assert begun() == {made.id, waiting.id, dead.id}  # what the one replaced can still be put back
    with Session(engine) as after, after.begin():
        after.get_one(Restore, made.id).kept_until = now() - timedelta(seconds=1)
        job = after.get_one(Job, waiting.id)
        job.status, job.finished_at, job.cancelled_at, job.cancel_acknowledged_at = "cancelled", now(), now(), now()
    engine.dispose()
    assert begun() == {dead.id}
    assert [side.restore_id for side in restorer.recover()] == [dead.id]
    assert begun() == {dead.id}
    assert [path.name for path in restorer.folder.iterdir()] == [str(dead.id)]


def stop_while(stage):
    def told(percent, words):
        if words.startswith(stage):
            raise Stop

    return told


def grow_old(journal):
    file = journal.folder / "journal.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    early = (now() - timedelta(hours=73)).isoformat()
    file.write_text("".join(json.dumps(line | {"at": early}) + "\n" for line in lines))


def flip(vault, manifest):
    file = vault.catalog.files(manifest.id) / manifest.files[0].name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(vault, manifest):
    file = vault.catalog.files(manifest.id) / manifest.files[0].name
    file.write_bytes(file.read_bytes()[:-10])


def change_the_manifest(vault, manifest):
    document = vault.catalog.document(manifest.id)
    document.write_text(document.read_text().replace("Asha Rao", "Asha Roy"))


def lose_the_key(vault, manifest):
    vault.catalog.write(replace(manifest, key_fingerprint="0123456789abcdef"))


def come_from_the_future(vault, manifest):
    vault.catalog.write(replace(manifest, schema_revision="9999"))


@pytest.mark.parametrize(
    ("harm", "refusal"),
    [
        (flip, BackupCorrupt),
        (cut, BackupCorrupt),
        (change_the_manifest, BackupCorrupt),
        (lose_the_key, BackupKeyMismatch),
        (come_from_the_future, SchemaNewer),
    ],
)
def test_what_is_not_fit_is_refused_before_anything_is_begun(session, engine, vault, restorer, harm, refusal):
    session.close()
    manifest = back_up(vault)
    harm(vault, manifest)
    engine.dispose()
    with pytest.raises(refusal):
        restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), silent, nothing)
    assert not restorer.folder.exists()
    assert len(vault.list()) + len(vault.damaged()) == 1
    assert stages_of(engine, restorer) == []


def test_a_stored_file_that_is_damaged_refuses_the_restore_unless_files_are_left_out(session, engine, settings, vault, restorer):
    session.close()
    storage = settings.data_dir / "storage"
    storage.mkdir(parents=True)
    (storage / "photo.jpg").write_bytes(b"a photo" * 999)
    manifest = vault.create(Wish(uuid4(), BackupType.FULL, None, "Asha Rao", uploads=True), silent)
    [blob] = (path for path in (vault.folder / "uploads").rglob("*") if path.is_file())
    blob.write_bytes(blob.read_bytes()[:-5])
    (storage / "photo.jpg").unlink()
    engine.dispose()
    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    with pytest.raises(BackupCorrupt, match=r"photo\.jpg.*--without-uploads"):
        restorer.restore(order, silent, nothing)
    assert not restorer.folder.exists()
    assert len(vault.list()) == 1
    restorer.restore(replace(order, uploads=False), silent, nothing)
    with Session(engine) as after:
        assert after.get_one(Restore, order.id).uploads is None
    assert list(storage.iterdir()) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_settings_of_the_database_and_what_others_may_do_stay(session, engine, database_url, vault, restorer, postgres):
    session.close()
    manifest = back_up(vault)
    engine.dispose()
    postgres.execute("create role reporting")
    try:
        with postgres.connect(engine.url.database) as connection, connection.cursor() as cursor:
            cursor.execute("grant select on refund_requests to reporting")
            cursor.execute(f'alter database "{engine.url.database}" set application_name to portal')
        restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), silent, nothing)
        with postgres.connect(engine.url.database) as connection, connection.cursor() as cursor:
            for table, granted in (("refund_requests", True), ("payments", False)):
                cursor.execute("select has_table_privilege('reporting', %s, 'select')", (table,))
                assert cursor.fetchone() == (granted,)
            cursor.execute("show application_name")
            assert cursor.fetchone() == ("portal",)
    finally:
        for name in databases_like(postgres, engine.url.database):
            with postgres.connect(name) as connection, connection.cursor() as cursor:
                cursor.execute("drop owned by reporting")
        postgres.execute("drop role reporting")


def databases_like(postgres, name):
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("select datname from pg_database where starts_with(datname, %s)", (name,))
        return [found for (found,) in cursor.fetchall()]


@ALL_WAYS
def test_a_rollback_that_failed_leaves_nothing_to_the_next(session, engine, vault, restorer, way, monkeypatch):
    make_refund(session)
    session.commit()
    manifest = back_up(vault)
    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    session.close()
    engine.dispose()
    restorer.restore(order, silent, nothing)
    failed, again = Order(uuid4(), "Asha Rao", undone_id=order.id), Order(uuid4(), "Asha Rao", undone_id=order.id)

    with monkeypatch.context() as broken:
        broken.setattr("adapters.restores.postgres.rename", fails_at_last)
        broken.setattr("adapters.restores.merging.Merging.merge", fails)
        broken.setattr("adapters.restores.sqlite.SqliteSwap.copy_pages", fails)
        with pytest.raises(EngineUnavailable):
            restorer.roll_back(failed, silent, nothing)
    with Session(engine) as between:
        audit.record(between, operator(), "test.happened")
        between.commit()
        live_end = between.scalars(select(AuditEntry).order_by(AuditEntry.sequence.desc()).limit(1)).one()
        between.expunge_all()
    engine.dispose()
    with monkeypatch.context() as dying:
        dying.setattr(type(restorer.swap), "drop_previous", stops)
        with pytest.raises(Stop):
            restorer.roll_back(again, silent, nothing)
    with pytest.raises(NothingToRollBack):
        restorer.roll_back(Order(uuid4(), "Asha Rao", undone_id=order.id), silent, nothing)

    with Session(engine) as after:
        assert set(after.scalars(select(Restore.id))) == {order.id, again.id}
        assert after.scalar(select(AuditEntry.hash).where(AuditEntry.sequence == live_end.sequence)) == live_end.hash
        completed = after.scalars(select(AuditEntry.object_id).where(AuditEntry.action == "restore.completed")).all()
        assert sorted(completed) == sorted([str(order.id), str(again.id)])


def stops(*_):
    raise Stop


def fails(*_):
    raise psycopg2.OperationalError("the connection was lost")


def fails_at_last(cursor, before, after):
    if "_stage_" in before:
        fails()
    rename(cursor, before, after)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_table_may_take_longer_to_compare_than_the_portal_lets_a_transaction_be_idle(session, engine, vault, restorer, monkeypatch):
    session.close()
    manifest = back_up(vault)
    engine.dispose()
    monkeypatch.setattr("domain.db.POSTGRESQL_SETTINGS", "-c idle_in_transaction_session_timeout=1s -c timezone=UTC")
    compared = []

    def slowly(percent, stage):
        if stage.startswith("Carrying") and not compared:
            compared.append(stage)
            time.sleep(1.5)

    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    restorer.restore(order, slowly, nothing)
    assert compared
    assert restorer.row(order.id) is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("merged", [True, False], ids=["rows", "pages"])
def test_what_was_replaced_is_put_back_as_it_was_or_not_at_all(session, engine, vault, restorer, merged, monkeypatch):
    make_refund(session)
    session.commit()
    manifest = back_up(vault)
    order = Order(uuid4(), "Asha Rao", backup_id=manifest.id)
    session.close()
    engine.dispose()
    monkeypatch.setattr("adapters.restores.merging.Merging.is_worth_it", lambda self: merged)
    restorer.restore(order, silent, nothing)
    kept = restorer.folder / str(order.id) / "previous.db"
    whole, words = kept.read_bytes(), b"INR"
    at = whole.rindex(words)

    kept.write_bytes(whole[:at] + b"JPY" + whole[at + len(words) :])  # which SQLite takes for a row like any other
    with pytest.raises(RestoreFailed, match="restore the safety backup instead"):
        restorer.roll_back(Order(uuid4(), "Asha Rao", undone_id=order.id), silent, nothing)
    kept.write_bytes(whole)
    restorer.roll_back(Order(uuid4(), "Asha Rao", undone_id=order.id), silent, nothing)

    assert not list(kept.parent.glob("previous*"))
    with Session(engine) as after:
        assert after.get(Restore, order.id).rolled_back_at is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_index_that_lost_a_row_is_replaced_with_all_pages(session, engine, vault, restorer):
    """SQLite's quick check does not see it; whoever takes that row out of the table meets it."""
    make_refund(session)
    session.commit()
    manifest = back_up(vault)
    hidden = inspect(engine).get_indexes("bookings")[0]["name"]
    session.close()
    engine.dispose()
    with closing(sqlite3.connect(engine.url.database, isolation_level=None)) as connection:
        kept = connection.execute("SELECT * FROM sqlite_master WHERE name = ?", (hidden,)).fetchone()
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = ?", (hidden,))
    with Session(engine) as writer:
        booking_id = make_booking(writer).id
        writer.commit()
    engine.dispose()
    with closing(sqlite3.connect(engine.url.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
    with Session(engine) as before:
        assert before.scalar(text("PRAGMA quick_check")) == "ok" != before.scalar(text("PRAGMA integrity_check"))
    engine.dispose()

    restorer.restore(Order(uuid4(), "Asha Rao", backup_id=manifest.id), silent, nothing)

    with Session(engine) as after:
        assert after.scalar(text("PRAGMA integrity_check")) == "ok"
        assert after.get(Booking, booking_id) is None
