"""Whatever is damaged, changed or another's of what a restore reads: it is refused before the live data, or anything else, change."""

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from domain import audit
from domain.access import SYSTEM
from domain.backups import manifest as manifests
from domain.backups.manifest import Engine
from domain.db import now
from domain.errors import DomainError
from domain.marketplace.models import User
from domain.restores.models import Restore
from domain.restores.restorer import Order
from tests.adapters.backups.conftest import FULL, INCREMENTAL, new_key, silent, wish
from tests.archives import start_archiver
from tests.factories import make_refund, make_user
from tests.proofs.attempts import Vault
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EACH = 60
FILES = 8
ZSTD_WINDOW = (4, 5)
DAMAGE = {"BACKUP_CORRUPT"}
CHANGED = {"BACKUP_CORRUPT", "BACKUP_KEY_MISMATCH"}
"""What becomes of a manifest: one that names another key is not read with ours."""
BEHIND_THE_END = {"PITR_OUT_OF_RANGE", "PITR_GAP"}
"""Where the archive's own word for how far it goes is gone: the moment is not offered any more."""


class Site:
    """A portal's data that have gone on since they were backed up, and a storage that lacks all that the backup has of it."""

    def __init__(self, vault: Vault, engine, server, newest, moment, user_id):
        self.vault, self.engine, self.server, self.newest, self.moment, self.user_id = vault, engine, server, newest, moment, user_id
        engine.dispose()
        self.before = self.state()

    @property
    def chain(self):
        return self.vault.open().chain(self.newest)

    def orders(self):
        moments = [None] if self.moment is None else [None, self.moment]
        return [Order(uuid4(), "Asha Rao", backup_id=self.newest.id, moment=moment) for moment in moments]

    def state(self):
        """Every row of every table, which databases there are, and the names of all files but of the backups' own."""
        whole = hashlib.sha256()
        with self.engine.connect() as connection:
            tables = sorted(connection.dialect.get_table_names(connection))
            for table in tables:
                rows = sorted(str(row) for row in connection.execute(text(f'SELECT * FROM "{table}"')))
                whole.update("\n".join([table, *rows]).encode())
        self.engine.dispose()
        return whole.hexdigest(), self.databases(), self.names()

    def databases(self):
        if self.server is None:
            file = Path(make_url(self.vault.database_url).database)
            return sorted(each.name for each in file.parent.glob(f"{file.name}*"))
        with self.server.connect("postgres") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database ORDER BY datname")
            return [name for (name,) in cursor.fetchall()]

    def names(self):
        folders = [self.vault.folder, self.vault.storage]
        return sorted(str(path) for folder in folders for path in folder.rglob("*") if path.name != "operation.lock")

    def refuse(self, order):
        """The code with which the restore is refused; nothing whatever has changed."""
        with pytest.raises(DomainError) as refused:
            self.vault.restorer().restore(order, silent, nothing)
        assert len(refused.value.message) > 20
        assert self.state() == self.before
        return refused.value.code

    def restore(self, order):
        self.vault.restorer().restore(order, silent, nothing)
        with Session(self.engine) as session:
            found = session.get_one(User, self.user_id).name
            report = session.get_one(Restore, order.id).uploads
        self.engine.dispose()
        return found, report["added"], report["problem"]


def nothing():
    pass


@pytest.fixture(params=["with a key", "without a key"])
def site(request, database_url, engine, tmp_path) -> Iterator[Site]:
    """On SQLite a full backup, two incremental ones and an archive that goes on from the last alone; on PostgreSQL a dump."""
    key_file = tmp_path / "backup.key" if request.param == "with a key" else None
    if key_file:
        new_key(tmp_path)
    vault = Vault(database_url, tmp_path / "backups", key_file, tmp_path / "storage")
    opened, lite = vault.open(), database_url.startswith("sqlite")
    dice = random.Random(5)

    def act(name, user_id=None):
        with Session(engine) as session:
            user = session.get(User, user_id) if user_id else make_user(session)
            user.name = name
            for _ in range(5):
                make_refund(session)
            audit.record(session, SYSTEM, "test.happened")
            session.commit()
            user_id = user.id
        file = vault.storage / "exports" / f"{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(dice.randbytes(500) + b"a,b,c\n" * 2000)
        for number in range(FILES // 4):
            (vault.storage / f"{name}-{number}.jpg").write_bytes(dice.randbytes(9000))
        return user_id

    user_id, moment = act("first"), None
    newest = opened.create(replace(wish(FULL), uploads=True), silent)
    if lite:
        act("second", user_id)
        opened.create(replace(wish(INCREMENTAL), uploads=True), silent)
        engine.dispose()
        file = Path(make_url(database_url).database)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what is archived begins after the earlier backups: no way around it
        archiver = start_archiver(file, vault.folder, key_file, tmp_path / "archiver.log")
        try:
            wait_until(lambda: opened.archiving().running, "it watches", seconds=30)
            act("third", user_id)
            newest = opened.create(replace(wish(INCREMENTAL), uploads=True), silent)
            for name in ("fourth", "fifth"):
                act(name, user_id)
                engine.dispose()
                moment = archived(opened)
        finally:
            archiver.kill_group()
    act("live", user_id)
    shutil.rmtree(vault.storage)
    server = request.getfixturevalue("postgres") if not lite else None
    yield Site(vault, engine, server, newest, moment, user_id)


def archived(opened):
    """A moment after all that was written, so that the archive's own word for how far it goes is needed to reach it."""
    written = now()
    return wait_until(lambda: (until := opened.archiving().until) > written and until, "it is archived", seconds=30)


def read_by(site, order):
    """All files that the restore reads."""
    opened = site.vault.open()
    folder = site.vault.folder
    found = [opened.catalog.document(each.id) for each in site.chain]
    found += [opened.catalog.files(each.id) / stored.name for each in site.chain for stored in each.files]
    found += [path for path in (folder / "uploads").rglob("*") if path.is_file()]
    if order.moment is not None:
        found += sorted((folder / "wal").glob("*/*.wal.*"))
        found += (folder / "wal").glob("*/alive")
    return found


def spoil(file: Path, whole: bytes, dice: random.Random, *, cut: bool) -> None:
    """Not in the blanks at the end of what is text, nor where zstd says how much memory it takes to read: they say nothing."""
    end = len(whole.rstrip()) if file.suffix == ".json" or file.name == "alive" else len(whole)
    at = dice.choice([at for at in range(end) if not (file.suffix == ".zst" and at in ZSTD_WINDOW)])
    file.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])


@contextmanager
def harmed(file: Path) -> Iterator[bytes]:
    whole = file.read_bytes()
    yield whole
    file.write_bytes(whole)


def restores_all(site):
    """Unharmed again, each restore works."""
    added = len({path.name for path in (site.vault.folder / "uploads").rglob("*.zst*")})
    for order, name in zip(site.orders(), ["third" if site.server is None else "first", "fifth"], strict=False):
        assert site.restore(order) == (name, added, None)
        added = 0


def test_any_flipped_byte_and_any_cut_is_refused_before_anything_changes(site):
    """Each file is hit several times, and each hit is followed by a restore of the backup, and by one to a later moment."""
    dice, refused = random.Random(7), 0
    for cut in (False, True):
        hits = 0
        while hits < EACH:
            for order in site.orders():
                files = read_by(site, order)
                dice.shuffle(files)
                for file in files:
                    with harmed(file) as whole:
                        spoil(file, whole, dice, cut=cut)
                        code = site.refuse(order)
                        assert code in (BEHIND_THE_END if file.name == "alive" else CHANGED if file.suffix == ".json" else DAMAGE), file
                    hits += 1
        refused += hits
    print(f"{refused} damaged backups refused, of {len(files)} files")
    restores_all(site)


def test_a_manifest_that_was_changed_is_refused_whichever_word_of_it_it_is(site):
    opened = site.vault.open()
    for each in {each.id: each for each in (site.chain[0], site.newest)}.values():
        document = opened.catalog.document(each.id)
        with harmed(document) as whole:
            facts = json.loads(whole)
            for name, value in facts.items():
                document.write_text(json.dumps(facts | {name: another(value)}, indent=1))
                for order in site.orders():
                    assert site.refuse(order) in CHANGED, name
                document.write_text(json.dumps({key: facts[key] for key in facts if key != name}, indent=1))
                for order in site.orders():
                    assert site.refuse(order) in CHANGED, name
    restores_all(site)


def another(value):
    match value:
        case str():
            return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}"
        case bool() | None:
            return "1"
        case int() | float():
            return value + 1
        case list():
            return value[:-1]
        case dict():
            return value | {"more": 1}


def test_another_key_and_none_are_refused(site, tmp_path):
    """Also a key where there was none."""
    mine = site.vault
    new_key(tmp_path, "other.key")
    for key_file in {None, tmp_path / "other.key"} - {mine.key_file}:
        site.vault = replace(mine, key_file=key_file)
        for order in site.orders():
            assert site.refuse(order) == "BACKUP_KEY_MISMATCH"
    site.vault = mine
    restores_all(site)


def test_another_version_engine_page_size_and_parent_are_refused(site):
    """As whoever holds the key would have signed them."""
    lite = site.server is None
    other = Engine.POSTGRESQL if lite else Engine.SQLITE
    harms = [
        ({"schema_revision": "9999", "app_version": "99.0.0"}, "BACKUP_SCHEMA_NEWER"),
        ({"key_fingerprint": "0123456789abcdef"}, "BACKUP_KEY_MISMATCH"),
        ({"engine": other}, "ENGINE_MISMATCH"),
        ({"parent_id": uuid4()}, "BACKUP_CORRUPT"),
        ({"format": 2}, "BACKUP_CORRUPT"),
        ({"files": ()}, "BACKUP_CORRUPT"),
        ({"page_size": 1024} if lite else {"archive": {"tool": "pgbackrest"}}, "ENGINE_MISMATCH"),
    ]
    document = site.vault.open().catalog.document(site.newest.id)
    signing = site.vault.open().catalog.signing
    for changed, code in harms:
        with harmed(document):
            document.write_bytes(manifests.write(replace(site.newest, **changed), signing))
            assert site.refuse(site.orders()[0]) == code, changed
    restores_all(site)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_whose_pages_have_another_size_by_now_is_not_written_over(site):
    file = make_url(site.vault.database_url).database
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        make_pages_of(connection, 2 * size)
        site.before = site.state()
        assert [site.refuse(order) for order in site.orders()] == ["ENGINE_MISMATCH"] * 2
        make_pages_of(connection, size)
    restores_all(site)


def make_pages_of(connection, size):
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute(f"PRAGMA page_size={size}")
    connection.execute("VACUUM")
    assert connection.execute("PRAGMA page_size").fetchone() == (size,)
    connection.execute("PRAGMA journal_mode=WAL")


def test_stored_files_that_are_damaged_can_be_left_out_of_a_restore(site):
    blob = max((site.vault.folder / "uploads").rglob("*.zst*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-9])
    [order, *_] = site.orders()
    assert site.refuse(order) == "BACKUP_CORRUPT"
    site.vault.restorer().restore(replace(order, uploads=False), silent, nothing)
    with Session(site.engine) as session:
        assert session.get_one(Restore, order.id).uploads is None
    assert not site.vault.storage.exists()
