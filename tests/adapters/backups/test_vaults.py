"""What holds of every backup, of SQLite and of PostgreSQL, with a key and without."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from uuid import UUID

import psycopg2
import pytest
from psycopg2 import sql
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

import migrations
from adapters.backups.lock import is_held, one_operation
from adapters.backups.postgres import DumpVault, connected
from adapters.databases import drop
from adapters.restores.postgres import PostgresSwap
from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditHead
from domain.backups.errors import (
    BackupCorrupt,
    BackupKeyMismatch,
    BackupNotFound,
    EngineMismatch,
    EngineUnavailable,
    FolderUnusable,
    InsufficientStorage,
    OperationInProgress,
)
from domain.db import driver_url
from tests.adapters.backups.conftest import FULL, left_in, new_key, silent, vault_of, wish
from tests.factories import make_refund
from tests.waiting import wait_until


@pytest.fixture
def backup(vault, session):
    """A backup of a database with something in it."""
    make_refund(session)
    audit.record(session, SYSTEM, "test.happened")
    session.commit()
    return vault.create(wish(description="Before the update"), silent)


def test_it_is_put_together_again_before_it_counts_and_says_what_is_in_it(backup, vault, session):
    head = session.get_one(AuditHead, 1)
    assert backup.verified.ok
    assert backup.row_counts["refund_requests"] == 1
    assert (backup.audit_sequence, backup.audit_hash) == (head.sequence, head.hash)
    assert (backup.created_by, backup.description, backup.app_version) == ("Asha Rao", "Before the update", "1.2.3")
    assert backup.encrypted == (vault.key is not None)
    assert backup.started_at <= backup.snapshot_at <= backup.finished_at
    assert vault.list() == [backup] == [vault.get(backup.id)]
    assert vault.verify(backup.id, silent).verified.at > backup.verified.at
    assert left_in(vault.folder) == [str(backup.id), f"{backup.id}.json"]


def stored_files(vault, backup):
    return [vault.catalog.files(backup.id) / stored.name for stored in backup.files]


def test_asked_for_again_by_whoever_never_heard_of_it_it_is_made_once(vault, session):
    asked = wish()
    session.close()
    assert vault.create(asked, silent) == vault.create(asked, silent)
    assert [each.id for each in vault.list()] == [asked.id]


def test_nothing_of_the_data_can_be_read_without_the_key(backup, vault):
    stored = b"".join(path.read_bytes() for path in stored_files(vault, backup))
    assert stored.startswith(b"age-encryption.org/v1") == (vault.key is not None)


def test_any_flipped_byte_and_any_cut_is_found(backup, vault):
    files = stored_files(vault, backup)
    dice = random.Random(7)
    for number in range(60):
        file = files[number % len(files)]
        whole = file.read_bytes()
        spoil(file, whole, dice, cut=number % 2 == 0)
        with pytest.raises(BackupCorrupt, match=file.name):
            vault.verify(backup.id, silent)
        assert not vault.get(backup.id).verified.ok
        file.write_bytes(whole)
    assert vault.verify(backup.id, silent).verified.ok


def spoil(file: Path, whole: bytes, dice: random.Random, cut: bool) -> None:
    at = dice.randrange(len(whole))
    file.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])


def test_a_file_that_is_gone_is_found(backup, vault):
    stored_files(vault, backup)[0].unlink()
    with pytest.raises(BackupCorrupt, match="is not there"):
        vault.verify(backup.id, silent)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts | {"snapshot_at": "2020-01-01T00:00:00.000000Z"},
        lambda facts: facts | {"files": []},
        lambda facts: facts | {"signature": "0" * 64},
        lambda facts: {name: value for name, value in facts.items() if name != "signature"},
        lambda facts: [facts],
    ],
    ids=["another moment", "no files", "another signature", "no signature", "another shape"],
)
def test_a_changed_manifest_is_no_manifest(backup, vault, change):
    file = vault.folder / f"{backup.id}.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(BackupCorrupt):
        vault.get(backup.id)
    assert vault.list() == []
    assert vault.damaged() == [str(backup.id)]
    assert not next(finding for finding in vault.examine() if finding.name == "backups").ok


def test_a_lost_manifest_is_entered_again_from_its_copy_and_a_forged_one_is_not(backup, vault):
    other = vault.create(wish(), silent)
    lost = vault.folder / f"{backup.id}.json"
    lost.unlink()
    (vault.folder / f"{other.id}.json").write_text("{")
    assert vault.damaged() == sorted([str(backup.id), str(other.id)])
    vault.prune()
    rebuilt = vault.rebuild_catalog()
    assert {each.id for each in rebuilt.entered} == {backup.id, other.id}
    assert list(vault.list()) == [other, backup]
    assert (vault.damaged(), vault.rebuild_catalog().entered) == ([], [])
    copy = vault.catalog.files(backup.id) / "manifest.json"
    lost.unlink()
    genuine = copy.read_text()
    for content in (genuine.replace("Before", "Behind"), (vault.catalog.files(other.id) / "manifest.json").read_text()):
        copy.write_text(content)
        assert list(vault.rebuild_catalog().refused) == [str(backup.id)]
    copy.write_text(genuine)
    stored_files(vault, backup)[0].write_bytes(b"nothing of it")
    assert "is not what was stored" in vault.rebuild_catalog().refused[str(backup.id)]


def test_a_manifest_under_another_backups_name_is_not_believed(backup, vault):
    other = vault.create(wish(), silent)
    (vault.folder / f"{other.id}.json").write_bytes((vault.folder / f"{backup.id}.json").read_bytes())
    with pytest.raises(BackupCorrupt, match="another backup's"):
        vault.get(other.id)


def test_another_key_opens_nothing_and_changes_nothing(backup, vault, database_url, tmp_path):
    other = vault_of(database_url, vault.folder, new_key(tmp_path, "other.key"))
    said = f"another key.*{vault.fingerprint}" if vault.key else "without a key"
    with pytest.raises(BackupKeyMismatch, match=said):
        other.verify(backup.id, silent)
    assert (other.list(), other.damaged()) == ([], [str(backup.id)])
    assert said.split(".*")[0] in other.rebuild_catalog().refused[str(backup.id)]
    assert vault.get(backup.id) == backup


def test_stopped_anywhere_it_leaves_nothing(vault, session):
    make_refund(session)
    session.commit()
    stages = {}
    vault.create(wish(), lambda percent, stage: stages.setdefault(stage.split()[0], percent))
    before = left_in(vault.folder)
    assert len(stages) > 4
    for first_word in stages:

        def told(percent, stage, first_word=first_word):
            if stage.startswith(first_word):
                raise StopHere

        with pytest.raises(StopHere):
            vault.create(wish(), told)
        assert left_in(vault.folder) == before
    assert not vault.busy()


class StopHere(Exception):
    pass


def test_two_at_once_are_one_too_many(vault, session):
    session.commit()
    begun, go_on = Event(), Event()

    def told(percent, stage):
        begun.set()
        assert go_on.wait(30)

    thread = Thread(target=vault.create, args=(wish(), told))
    thread.start()
    assert begun.wait(30)
    assert vault.busy()
    for attempt in (lambda: vault.create(wish(), silent), lambda: vault.check_wish(wish()), vault.prune):
        with pytest.raises(OperationInProgress):
            attempt()
    go_on.set()
    thread.join()
    assert len(vault.list()) == 1
    assert not vault.busy()


def test_too_little_space_is_said_before_the_first_byte(vault, session, monkeypatch):
    session.commit()
    monkeypatch.setattr(type(vault), "free_bytes", lambda self: 1000)
    with pytest.raises(InsufficientStorage) as refused:
        vault.create(wish(), silent)
    assert refused.value.details["free"] == 1000 < refused.value.details["need"]
    assert left_in(vault.folder) == []


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_begun(vault):
    vault.folder.write_text("a file where the folder was to be")
    assert not vault.busy()
    for refused in (lambda: vault.check_wish(wish()), lambda: vault.create(wish(), silent), vault.prune):
        with pytest.raises(FolderUnusable, match="BACKUP_DIR .* cannot be used: File exists"):
            refused()
    assert "cannot be used" in next(finding.found for finding in vault.examine() if finding.name == "backup space" and not finding.ok)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_archive_that_cannot_be_read_is_said(vault):
    """As one is that belongs to another user, or lies on a disk that fails."""
    (vault.folder / "wal").mkdir(parents=True)
    (vault.folder / "wal" / "20261124T023502556873-340dd591").symlink_to("x" * 300)
    for look in (vault.archiving, vault.coverage):
        with pytest.raises(FolderUnusable, match="cannot be used: File name too long"):
            look()
    assert [finding.name for finding in vault.examine() if "File name too long" in finding.found] == ["archiver"]


def test_an_unknown_backup_is_not_found(vault):
    with pytest.raises(BackupNotFound):
        vault.get(wish().id)


HOLD = """
import sys, time
from pathlib import Path
import migrations
from adapters.backups.lock import one_operation
folder = Path(sys.argv[1])
with one_operation(folder):
    (folder / "11111111-1111-4111-8111-111111111111.unfinished").mkdir()
    (folder / "held").touch()
    time.sleep(600)
"""


@pytest.mark.processes
def test_a_process_that_is_killed_leaves_no_lock_and_its_rests_are_removed(vault, session):
    session.commit()
    vault.folder.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", HOLD, vault.folder])
    try:
        wait_until((vault.folder / "held").exists, "it holds the lock")
        assert is_held(vault.folder)
    finally:
        process.kill()
        process.wait()
    (vault.folder / "held").unlink()
    assert left_in(vault.folder) == ["11111111-1111-4111-8111-111111111111.unfinished"]
    made = vault.create(wish(), silent)
    assert left_in(vault.folder) == sorted([str(made.id), f"{made.id}.json"])


def test_writers_go_on_while_it_is_made_and_it_holds_one_moment(engine, vault, session):
    """The number of entries in the backup is the number at its head: a copy of two moments would have others."""
    session.commit()
    stop, written = Event(), []

    def write():
        while not stop.is_set():
            with Session(engine) as own:
                audit.record(own, SYSTEM, "test.happened", number=len(written))
                own.commit()
            written.append(time.monotonic())

    thread = Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            count = len(written)
            made = vault.create(wish(), silent)
            assert made.row_counts["audit_entries"] == made.audit_sequence
            assert len(written) > count
    finally:
        stop.set()
        thread.join()


def test_a_backup_of_another_engine_is_refused(backup, vault, tmp_path, database_url):
    other = "postgresql://nobody@/nowhere" if database_url.startswith("sqlite") else f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(EngineMismatch):
        vault_of(other, vault.folder, vault.key).verify(backup.id, silent)
    assert vault.get(backup.id) == backup


def test_a_backup_made_with_a_key_says_which_when_it_is_not_set(database_url, folder, session, tmp_path):
    session.commit()
    made = vault_of(database_url, folder, new_key(tmp_path)).create(wish(FULL), silent)
    without = vault_of(database_url, folder, None)
    for ask in (lambda: without.get(made.id), lambda: without.check_stored(made)):
        with pytest.raises(BackupKeyMismatch, match=made.key_fingerprint):
            ask()


def test_a_look_refuses_nobody_who_begins_at_that_moment(folder):
    stop = Event()

    def look():
        while not stop.is_set():
            is_held(folder)

    lookers = [Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            with one_operation(folder):
                pass
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_while_one_runs_the_lock_is_seen_from_elsewhere(folder):
    assert not is_held(folder)
    with one_operation(folder):
        assert is_held(folder)
    assert not is_held(folder)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_databases_that_a_killed_process_left_are_dropped(vault, session, postgres):
    """Each would take up as much of the server's disk as the portal's own."""
    session.commit()
    database = vault.url.database
    postgres.execute(f'CREATE DATABASE "{database}_check_{"0" * 32}"')
    others = {f"{database}_checks_of_somebody_else", f"{database}_check_results"}
    for other in others:
        postgres.execute(f'CREATE DATABASE "{other}"')
    vault.create(wish(), silent)
    with vault.connected() as connection:
        names = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
    for other in others:
        postgres.execute(f'DROP DATABASE "{other}"')
    assert {name for name in names if name.startswith(f"{database}_check")} == others


def test_portals_of_like_names_on_one_server_check_their_backups_in_databases_of_different_ones(folder):
    vaults = [DumpVault(folder, None, "1", f"postgresql:///marketplace_production{ending}") for ending in ("", "_east", "_west", "ा" * 13)]
    names = {vault.named_aside("0" * 32) for vault in vaults}
    assert len({name[:24] for name in names}) == 4
    assert all(len(name.encode()) <= 63 for name in names)


@pytest.mark.parametrize(("database_url", "key"), [("postgresql", "with a key")], indirect=True)
def test_somebody_who_stays_where_it_was_checked_does_not_spoil_a_backup(vault, session, postgres, monkeypatch):
    """As a superuser's monitoring may, whom the portal's role cannot send away: that one is dropped when the next is made."""
    session.commit()
    restore, staying = vault.restore, []

    def visited(manifest, folder, url):
        restore(manifest, folder, url)
        staying.append(psycopg2.connect(host=str(postgres.folder), port=postgres.port, user="postgres", dbname=url.database))

    def checked_in():
        with vault.connected() as connection:
            ours = text("SELECT count(*) FROM pg_database WHERE starts_with(datname, :name)")
            return connection.execute(ours, {"name": f"{vault.url.database}_check_"}).scalar_one()

    with monkeypatch.context() as patched:
        patched.setattr(vault, "restore", visited)
        patched.setattr("adapters.databases.send_away", lambda cursor, database: False)
        assert vault.create(wish(), silent).verified.ok
    assert checked_in() == 1
    staying[0].close()
    assert vault.create(wish(), silent).verified.ok
    assert checked_in() == 0


@pytest.fixture
def plain_url(postgres):
    """A portal's database of a role that may create databases and nothing else."""
    postgres.execute("create role plain login createdb")
    url = postgres.new_database(name="plain").replace("//postgres@", "//plain@")
    postgres.execute("alter database plain owner to plain")
    migrations.upgrade(url)
    yield url
    postgres.drop_database(url)
    postgres.execute("drop role plain")


def test_a_superusers_own_things_in_the_database_are_left_out_and_the_rest_is_backed_up(postgres, plain_url, folder):
    """Its role could make none of them anew: monitoring in nearly every database there is, and a stream of changes to elsewhere."""
    with postgres.connect("plain") as connection, connection.cursor() as cursor:
        cursor.execute('create extension citext; create extension pg_stat_statements; create extension "uuid-ossp"')
        cursor.execute("create publication changes for all tables")
        cursor.execute("create subscription from_elsewhere connection '' publication p with (connect = false, slot_name = none)")
        cursor.execute("set role plain; create table notes (words citext); insert into notes values ('A')")
        cursor.execute("create unlogged table seen as select 1")
        made = DumpVault(folder, None, "1.2.3", plain_url).create(wish(), silent)
        cursor.execute("reset role; drop subscription from_elsewhere")
    assert made.verified.ok
    assert made.row_counts["notes"] == 1
    assert "seen" not in made.row_counts


def test_no_limit_that_its_role_has_ends_a_backup_halfway(postgres, plain_url, folder):
    """They are for those who forget to end what they began; a dump takes as long as the database is large."""
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        postgres.execute(f"alter role plain set {limit} to '20ms'")
    assert DumpVault(folder, None, "1.2.3", plain_url).create(wish(), silent).verified.ok


def test_a_table_that_its_role_may_not_read_is_named(postgres, plain_url, folder):
    with postgres.connect("plain") as connection, connection.cursor() as cursor:
        cursor.execute("create table of_somebody_else ()")
    with pytest.raises(EngineUnavailable, match="GRANT SELECT ON of_somebody_else"):
        DumpVault(folder, None, "1.2.3", plain_url).create(wish(), silent)


def test_a_table_that_was_moved_to_another_disk_is_backed_up_by_who_may_put_none_there(postgres, plain_url, folder):
    with postgres.connect("plain") as connection, connection.cursor() as cursor:
        cursor.execute("set allow_in_place_tablespaces to on")
        cursor.execute("create tablespace elsewhere location ''")
        cursor.execute("alter table audit_entries set tablespace elsewhere")
        assert DumpVault(folder, None, "1.2.3", plain_url).create(wish(), silent).verified.ok
        cursor.execute("alter table audit_entries set tablespace pg_default")
        cursor.execute("drop tablespace elsewhere")


def test_a_role_that_acts_as_the_owner_of_the_database_backs_it_up_as_such(postgres, plain_url, folder):
    """One owner for several logins, and each becomes it by a setting of the database."""
    with postgres.connect("plain") as connection, connection.cursor() as cursor:
        cursor.execute("create role login login createdb; grant plain to login; alter database plain set role to plain")
        assert DumpVault(folder, None, "1.2.3", plain_url.replace("//plain@", "//login@")).create(wish(), silent).verified.ok
        cursor.execute("drop role login")


def test_any_name_of_a_database_and_all_that_its_url_asks_for_is_passed_on(postgres, folder):
    name = 'Sea\'s "Best" = a/b?c#d:e%41+é'
    url = make_url(driver_url(postgres.new_database()))
    with postgres.connect() as connection, connection.cursor() as cursor:
        rename = sql.SQL("alter database {} rename to {}")
        cursor.execute(rename.format(sql.Identifier(url.database), sql.Identifier(name)))
    options = {**url.query, "options": "-c statement_timeout=9s -c application_name=asked\\ for", "channel_binding": "prefer"}
    url = url.set(database=name, password="p@ss w%rd:/?#[]+&='é\"\\", query=options)
    written = url.render_as_string(hide_password=False)
    migrations.upgrade(written)
    vault, swap = DumpVault(folder, None, "1.2.3", written), PostgresSwap(written)
    staged = swap.make_stage(UUID(int=7))
    try:
        made = vault.create(wish(), silent)
        vault.stage(made, None, staged, silent)
        with connected(make_url(staged)) as connection:
            assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
            assert connection.scalar(text("SHOW application_name")) == "asked for"
    finally:
        swap.drop_stage(UUID(int=7))
        with swap.administering() as cursor:
            drop(cursor, name)
