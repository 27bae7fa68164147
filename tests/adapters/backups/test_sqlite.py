"""Backups of SQLite by changed pages."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pyrage
import pytest
import zstandard

from domain.backups.errors import BackupCorrupt
from tests.adapters.backups.conftest import FULL, INCREMENTAL, silent, vault_of, wish


@pytest.fixture
def database(sqlite_template, tmp_path) -> Path:
    file = Path(shutil.copy(sqlite_template, tmp_path / "portal.db"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE filler (id INTEGER PRIMARY KEY, words BLOB)")
        connection.executemany("INSERT INTO filler (words) VALUES (randomblob(3000))", [()] * 500)
        connection.commit()
    return file


@pytest.fixture
def vault(database, folder, key):
    return vault_of(f"sqlite:///{database}", folder, key)


def change(database, *statements):
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def content(database):
    """Every row, whatever page it is on."""
    with closing(sqlite3.connect(database)) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


def test_an_incremental_one_holds_what_changed(vault, database):
    full = vault.create(wish(FULL), silent)
    change(database, "UPDATE filler SET words = randomblob(3000) WHERE id = 77")
    second = vault.create(wish(INCREMENTAL), silent)
    third = vault.create(wish(INCREMENTAL), silent)
    assert (second.parent_id, third.parent_id) == (full.id, second.id)
    assert second.file("pages").bytes < full.file("database").bytes / 20
    assert third.file("pages").bytes < 500


def test_without_one_to_stand_on_it_is_full_and_says_so(vault):
    made = vault.create(wish(INCREMENTAL), silent)
    assert (made.type, made.effective_type) == (INCREMENTAL, FULL)
    assert "no verified backup" in made.note


def test_the_chain_gives_back_each_of_its_moments(vault, database, tmp_path):
    said = []
    for statements in (
        (),
        ("DELETE FROM filler WHERE id > 400", "CREATE TABLE late (x)"),
        ("INSERT INTO late SELECT id FROM filler", "UPDATE filler SET words = x'00' WHERE id % 7 = 0"),
        ("DROP TABLE filler",),
    ):
        change(database, *statements)
        said.append((vault.create(wish(INCREMENTAL), silent), content(database)))
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM")  # fewer pages than before
    said.append((vault.create(wish(INCREMENTAL), silent), content(database)))
    assert [made.effective_type for made, _ in said] == [FULL, *[INCREMENTAL] * 4]
    assert said[-1][0].pages < said[0][0].pages
    for number, (made, expected) in enumerate(said):
        target = tmp_path / f"again-{number}.db"
        vault.put_together(made, target, {}, silent)
        assert content(target) == expected


def test_damage_anywhere_in_the_chain_is_damage_of_all_that_stands_on_it(vault, database):
    full = vault.create(wish(FULL), silent)
    second = vault.create(wish(INCREMENTAL), silent)
    file = vault.catalog.files(full.id) / full.file("database").name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BackupCorrupt):
        vault.verify(second.id, silent)
    assert vault.create(wish(INCREMENTAL), silent).effective_type is FULL  # nothing new stands on what is damaged


def test_a_chain_ends_somewhere(vault, monkeypatch):
    monkeypatch.setattr("adapters.backups.vault.LONGEST_CHAIN", 3)
    types = [vault.create(wish(INCREMENTAL), silent).effective_type for _ in range(4)]
    assert types == [FULL, INCREMENTAL, INCREMENTAL, FULL]


def test_a_full_one_needs_nothing_of_ours_to_be_opened(vault, database, tmp_path, key):
    made = vault.create(wish(FULL), silent)
    stored = (vault.catalog.files(made.id) / made.file("database").name).read_bytes()
    opened = pyrage.decrypt(stored, [key.identity]) if key else stored
    plain = tmp_path / "plain.db"
    plain.write_bytes(zstandard.ZstdDecompressor().decompressobj().decompress(opened))
    assert content(plain) == content(database)


def test_old_chains_go_and_the_newest_verified_one_stays(vault, database, monkeypatch):
    monkeypatch.setattr("domain.backups.retention.KEPT_FULLS", 2)
    made = [vault.create(wish(type), silent) for type in (FULL, INCREMENTAL, FULL, INCREMENTAL)]
    assert vault.prune() == []
    newest = vault.create(wish(FULL), silent)
    kept = {manifest.id for manifest in vault.list()}
    assert kept == {made[2].id, made[3].id, newest.id}
    assert {path.name for path in vault.folder.iterdir() if path.is_dir()} == {str(id) for id in kept}
