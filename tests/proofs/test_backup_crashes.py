"""Backups that are killed, whose disk runs full, whose database goes away: nothing half done is left, and what there was is as it was."""

import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.errors import DomainError
from tests.adapters.backups.conftest import FULL, INCREMENTAL, left_in, new_key, silent, wish
from tests.factories import make_refund
from tests.proofs.attempts import Vault, attempt

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def vault(database_url, engine, tmp_path):
    """With a key, files in the storage, and two backups, of which the second is incremental where that can be."""
    new_key(tmp_path)
    storage = tmp_path / "storage"
    for number in range(6):
        file = storage / "exports" / f"{number}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(30_000))
    vault = Vault(database_url, tmp_path / "backups", tmp_path / "backup.key", storage)
    with Session(engine) as session:
        for _ in range(20):
            make_refund(session)
        session.commit()
    opened = vault.open()
    opened.create(asked(FULL), silent)
    change(engine, storage)
    opened.create(asked(other_type(opened)), silent)
    change(engine, storage)
    return vault


def asked(type):
    return replace(wish(type), uploads=True)


def other_type(opened):
    return INCREMENTAL if opened.engine == "sqlite" else FULL


def change(engine, storage):
    with Session(engine) as session:
        audit.record(session, SYSTEM, "test.happened")
        session.commit()
    (storage / "exports" / "changing.csv").write_bytes(os.urandom(30_000))


def digests(folder: Path, of):
    """What is on disk of these backups, the blobs among it."""
    mine = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0].removesuffix(".json") in of]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in mine}


def names(opened):
    return {str(manifest.id) for manifest in opened.list()}


@pytest.fixture
def type(request, database_url):
    """PostgreSQL's have no incremental ones here."""
    return request.param if database_url.startswith("sqlite") else FULL


@pytest.mark.parametrize(
    ("database_url", "type"),
    [("sqlite", FULL), ("sqlite", INCREMENTAL), ("postgresql", FULL)],
    indirect=True,
    ids=["sqlite-full", "sqlite-incremental", "postgresql-full"],
)
def test_killed_at_any_step_it_is_whole_or_not_there(vault, type, engine):
    opened = vault.open()
    before = names(opened)
    bytes_before = digests(vault.folder, before)
    survived, steps = 0, 0
    for steps in range(1, MANY, stride(opened)):
        known = names(opened)
        change(engine, vault.storage)
        outcome = attempt(vault, "create", asked(type), die_at=steps)
        if not outcome.died:
            assert outcome.error is None
            break
        assert not opened.busy()
        assert opened.damaged() == []
        new = names(opened) - known
        survived += len(new)
        for backup_id in new:
            assert opened.verify(UUID(backup_id), silent).verified.ok
    assert 30 < steps < MANY - 1
    again = opened.create(asked(type), silent)
    assert len(names(opened)) == len(before) + survived + 2
    assert before | {str(again.id)} <= names(opened)
    assert digests(vault.folder, before) == bytes_before
    nothing_more_is_left(opened)
    print(f"killed at each of {steps - 1} steps; after {survived} of them the backup had come to be")


MANY = 200


def stride(opened):
    """Each step, of which SQLite takes some in a millisecond; every fourth where each try takes a second."""
    return 1 if opened.engine == "sqlite" else 4


@pytest.mark.parametrize(
    ("database_url", "type"), [("sqlite", INCREMENTAL), ("postgresql", FULL)], indirect=True, ids=["sqlite", "postgresql"]
)
def test_killed_while_old_ones_are_removed_what_is_listed_is_whole(vault, type, engine, monkeypatch):
    monkeypatch.setattr("domain.backups.retention.KEPT_FULLS", 1)
    opened = vault.open()
    opened.create(asked(FULL), silent)  # what there was before goes
    for steps in range(1, MANY, stride(opened)):
        change(engine, vault.storage)
        if not attempt(vault, "create", asked(FULL), die_at=30 + steps, kept=1).died:
            break
        assert opened.damaged() == []
        for listed in opened.list():
            assert opened.verify(listed.id, silent).verified.ok
        opened.prune()
        assert len(opened.list()) == 1
        nothing_more_is_left(opened)
    assert 15 < steps < MANY - 1
    nothing_more_is_left(opened)


def test_killed_while_it_verifies_it_says_what_it_said_before_or_what_was_found(vault):
    opened = vault.open()
    newest = opened.list()[0]
    for steps in range(1, MANY, stride(opened)):
        if not attempt(vault, "verify", newest.id, die_at=steps).died:
            break
        assert replace(opened.get(newest.id), verified=newest.verified) == newest
        assert opened.get(newest.id).verified.ok
    assert 10 < steps < MANY - 1
    opened.prune()
    nothing_more_is_left(opened)


def test_a_file_that_may_not_grow_fails_the_backup_in_words(vault, engine):
    """What `ulimit -f` does: at each size a backup either is there, or says that there is no room and leaves nothing."""
    opened = vault.open()
    type = other_type(opened)
    most = max(path.stat().st_size for path in vault.folder.rglob("*") if path.is_file()) * 4
    refused = 0
    for size in [*range(0, 20_000, 1_500), *range(20_000, most, most // 12)]:
        change(engine, vault.storage)
        before, files = names(opened), left_in(vault.folder)
        error = attempt(vault, "create", asked(type), most_bytes=size).error
        assert error in (None, "INSUFFICIENT_STORAGE"), (size, error)
        if error:
            refused += 1
            assert left_in(vault.folder) == files
            assert names(opened) == before
    assert refused > 10
    assert opened.create(asked(type), silent)
    nothing_more_is_left(opened)


def test_a_disk_that_runs_full_fails_the_backup_in_words(vault, engine):
    opened = vault.open()
    type, refused = other_type(opened), 0
    with small_disk(vault.folder) as resize:
        for free in [int(4096 * 1.2**number) for number in range(38)]:
            change(engine, vault.storage)
            before, files = names(opened), left_in(vault.folder)
            most = resize(free)
            error = attempt(vault, "create", asked(type), most_bytes=most).error
            assert error in (None, "INSUFFICIENT_STORAGE"), (free, error)
            if error:
                refused += 1
                assert left_in(vault.folder) == files
                assert names(opened) == before
        resize(200_000_000)
        assert 10 < refused < 38
        for backup_id in names(opened):
            assert opened.verify(UUID(backup_id), silent).verified.ok
        assert opened.create(asked(type), silent)
        nothing_more_is_left(opened)


@contextmanager
def small_disk(folder):
    """A disk of its own for the folder, which can be made to have so many bytes free. Where that takes more than we may, a limit on the
    size of files has to do: `resize` answers it."""
    if os.geteuid() != 0:
        yield lambda free: free
        return
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)

        def resize(free):
            found = os.statvfs(folder)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            subprocess.run(["mount", "-o", f"remount,size={used + free}", folder], check=True)

        yield resize
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_lost_connection_fails_the_backup_and_leaves_nothing(vault, engine):
    """The server ends every connection to the database, and every one to the database beside it, at each stage in turn."""
    opened = vault.open()
    stages = []
    opened.create(asked(FULL), lambda percent, stage: stages.append(stage))
    files = left_in(vault.folder)
    lost = []
    for stage in dict.fromkeys(stages):

        def told(percent, now, stage=stage):
            if now == stage:
                end_connections(engine)

        try:
            opened.create(asked(FULL), told)
        except DomainError as error:
            lost.append(error.code)
            assert left_in(vault.folder) == files
        else:  # there was none at that stage
            files = left_in(vault.folder)
    assert lost
    assert set(lost) == {"BACKUP_ENGINE_UNAVAILABLE"}
    assert opened.create(asked(FULL), silent)
    nothing_more_is_left(opened)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_check\\_%'")) == 0


def end_connections(engine):
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
        )


def nothing_more_is_left(opened):
    """The files of the backups there are, the blobs that they name, and nothing else."""
    kept = names(opened)
    assert set(left_in(opened.folder)) == kept | {f"{backup_id}.json" for backup_id in kept} | {"uploads"}
    with opened.catalog.unfinished(UUID(int=1)) as work:
        named = {each.blob for backup in opened.list() for each in opened.uploads.listed(backup, opened.catalog.files(backup.id), work)}
    assert {path.name.split(".")[0] for path in (opened.folder / "uploads").rglob("*") if path.is_file()} == named
