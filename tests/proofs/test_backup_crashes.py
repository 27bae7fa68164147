"""Backups that are killed, whose disk runs full, whose database goes away: nothing half done is left, and what there was is as it was."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from tests.adapters.backups.conftest import FULL, INCREMENTAL, left_in, new_key, silent, wish
from tests.factories import make_refund
from tests.proofs import disks
from tests.proofs.attempts import CHANGING, Vault, assert_all_reached, attempt, part_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


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


ENGINES = pytest.mark.parametrize(
    ("database_url", "type"),
    [("sqlite", FULL), ("sqlite", INCREMENTAL), ("postgresql", FULL)],
    indirect=True,
    ids=["sqlite-full", "sqlite-incremental", "postgresql-full"],
)
PARTS = 2
"""Of the steps, which several processes share."""


class Folder:
    """The backups that there are; `put_back` makes them again what they were."""

    def __init__(self, vault):
        self.vault, self.opened, self.aside = vault, vault.open(), vault.folder.with_name("aside")
        shutil.copytree(vault.folder, self.aside)
        self.names, self.files = names(self.opened), left_in(vault.folder)
        self.digests = digests(vault.folder, self.names)
        self.seen = set()

    def put_back(self):
        disks.put_back(self.vault.folder, self.aside)

    def tries(self, part, act, about, fault, parts=PARTS, **more):
        """Each step of the part with what came of it; everything is as it was before each."""
        whole = attempt(self.vault, act, about, **more)
        assert whole.error is None
        self.put_back()
        chosen = part_of(whole.asking() if fault == "cut_at" else whole.changing(), part, parts)
        missed = []
        for step in chosen:
            outcome = attempt(self.vault, act, about, **{fault: step}, **more)
            if outcome.struck:
                yield step, outcome
            else:
                missed.append(step)
            self.put_back()
        assert_all_reached(missed)
        print(f"{fault} at each of {len(chosen) - len(missed)} of {len(whole.steps)} steps")

    def as_before(self):
        """What there was is as it was; answers what is new, which is whole."""
        assert not self.opened.busy()
        assert self.opened.damaged() == []
        assert digests(self.vault.folder, self.names) == self.digests
        new = names(self.opened) - self.names
        for backup_id in new:
            assert self.opened.verify(UUID(backup_id), silent).verified.ok
        return new

    def again(self, type):
        """Another one can be made at once, and nothing else is left then: tried once for each kind of rests."""
        left = tuple(sorted(CHANGING.sub("*", str(path.relative_to(self.vault.folder))) for path in self.vault.folder.rglob("*")))
        if left not in self.seen:
            self.seen.add(left)
            new = names(self.opened)
            made = self.opened.create(asked(type), silent)
            assert names(self.opened) == new | {str(made.id)}
            nothing_more_is_left(self.opened)


@ENGINES
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_step_it_is_whole_or_not_there(vault, type, part):
    folder, survived = Folder(vault), 0
    for _ in folder.tries(part, "create", asked(type), "die_at"):
        survived += len(folder.as_before())
        folder.again(type)
    assert survived
    print(f"after {survived} of them the backup had come to be")


@pytest.mark.parametrize(
    ("database_url", "type"), [("sqlite", INCREMENTAL), ("postgresql", FULL)], indirect=True, ids=["sqlite", "postgresql"]
)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_while_old_ones_are_removed_what_is_listed_is_whole(vault, type, part, monkeypatch):
    monkeypatch.setattr("domain.backups.retention.KEPT_FULLS", 1)
    folder, removed = Folder(vault), 0
    for _ in folder.tries(part, "create", asked(FULL), "die_at", kept=1):
        assert folder.opened.damaged() == []
        if names(folder.opened) >= folder.names:
            continue  # it died before that
        removed += 1
        for listed in folder.opened.list():
            assert folder.opened.verify(listed.id, silent).verified.ok
        folder.opened.prune()
        assert len(folder.opened.list()) == 1
        nothing_more_is_left(folder.opened)
    assert removed


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_while_it_verifies_it_says_what_it_said_before_or_what_was_found(vault, part):
    folder = Folder(vault)
    newest = folder.opened.list()[0]
    for _ in folder.tries(part, "verify", newest.id, "die_at"):
        assert folder.opened.damaged() == []
        assert replace(folder.opened.get(newest.id), verified=newest.verified) == newest
        assert folder.opened.get(newest.id).verified.ok
        folder.opened.prune()
        nothing_more_is_left(folder.opened)


@ENGINES
@pytest.mark.parametrize("part", range(PARTS))
def test_a_disk_full_from_any_step_on_fails_the_backup_in_words(vault, type, part):
    """Of the steps that ask PostgreSQL something, none asks our disk."""
    folder, failed = Folder(vault), 0
    with disks.own_disk(vault.folder) as own:
        folder.put_back()
        for step, outcome in folder.tries(part, "create", asked(type), "full_at", disks=(vault.folder,) * own):
            disks.free_again(vault.folder)
            assert outcome.error in (None, "INSUFFICIENT_STORAGE"), (step, outcome.error)
            new = folder.as_before()
            assert len(new) == (outcome.error is None), step
            if outcome.error:
                failed += 1
                assert left_in(vault.folder) == folder.files, step
            folder.again(type)
    assert failed
    print(f"{failed} of them failed")


@pytest.mark.parametrize(("database_url", "type"), [("postgresql", FULL)], indirect=True)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_connection_lost_at_any_step_fails_the_backup_and_leaves_nothing(vault, type, engine, part):
    folder, failed = Folder(vault), 0
    for step, outcome in folder.tries(part, "create", asked(type), "cut_at"):
        assert outcome.error in (None, "BACKUP_ENGINE_UNAVAILABLE"), (step, outcome.error)
        new = folder.as_before()
        assert len(new) == (outcome.error is None), step
        if outcome.error:
            failed += 1
            assert left_in(vault.folder) == folder.files, step
        folder.again(type)
    assert failed
    print(f"{failed} of them failed")
    assert folder.opened.create(asked(type), silent)
    nothing_more_is_left(folder.opened)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_check\\_%'")) == 0


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


def test_a_disk_that_runs_full_fails_the_backup_in_words(vault):
    """At each size of what is left to it."""
    folder, refused = Folder(vault), 0
    type = other_type(folder.opened)
    with disks.own_disk(vault.folder) as own:
        first, *_ = attempt(vault, "create", asked(type)).steps
        for room in [int(4096 * 1.2**number) for number in range(38)]:
            folder.put_back()
            error = attempt(vault, "create", asked(type), full_at=first, disks=(vault.folder,) * own, room=room).error
            disks.free_again(vault.folder)
            assert error in (None, "INSUFFICIENT_STORAGE"), (room, error)
            assert len(folder.as_before()) == (error is None)
            if error:
                refused += 1
                assert left_in(vault.folder) == folder.files
        assert 10 < refused < 38
        folder.again(type)


def nothing_more_is_left(opened):
    """The files of the backups there are, the blobs that they name, and nothing else."""
    kept = names(opened)
    assert set(left_in(opened.folder)) == kept | {f"{backup_id}.json" for backup_id in kept} | {"uploads"}
    with opened.catalog.unfinished(UUID(int=1)) as work:
        named = {each.blob for backup in opened.list() for each in opened.uploads.listed(backup, opened.catalog.files(backup.id), work)}
    assert {path.name.split(".")[0] for path in (opened.folder / "uploads").rglob("*") if path.is_file()} == named
