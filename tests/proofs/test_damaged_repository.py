"""Whatever is damaged in pgBackRest's repository: a restore from it is refused and the live data stay as they are, or it restores exactly
what was backed up, where pgBackRest has another copy of what was spoilt, or nothing that is restored stood in it."""

import hashlib
import random
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

import config
from adapters.backups import make_vault
from adapters.restores import make_restorer
from domain.errors import DomainError
from domain.restores.restorer import Order
from tests.adapters.backups.archived import Archived, rests
from tests.adapters.backups.conftest import FULL, INCREMENTAL, silent, wish
from tests.servers.pgbackrest import STANZA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

REFUSALS = {"BACKUP_CORRUPT", "PITR_GAP", "PITR_OUT_OF_RANGE", "BACKUP_ENGINE_UNAVAILABLE"}


@pytest.fixture(scope="module")
def portal(archived):
    portal = Archived(archived)
    yield portal
    portal.close()


@pytest.fixture
def settings(portal, tmp_path):
    return config.load(
        {
            "APP_ENV": "test",
            "DATA_DIR": str(tmp_path),
            "BACKUP_DIR": str(portal.server.folder / "restored-from-damaged"),
            "DATABASE_URL": portal.url,
            "PGBACKREST_STANZA": STANZA,
            "PGBACKREST_CONFIG": str(portal.server.config),
        }
    )


@pytest.fixture
def vault(settings):
    return make_vault(settings)


def test_whatever_file_is_flipped_or_cut_the_live_data_stay_or_go_back_exactly(portal, settings, vault):
    """What was copied of the cluster, flipped and cut; and of every other kind of file that was there one, flipped or cut: of the lists of
    both backups and of the archive, of their copies, and of the log."""
    full = vault.create(wish(FULL), silent)
    portal.mark("kept")
    backup = vault.create(wish(INCREMENTAL), silent)
    portal.mark("archived")
    portal.server.pgbackrest("check")
    portal.mark("live")
    repository = portal.server.repository
    files = stood_on(repository, {each.archive["label"] for each in (full, backup)})
    dice, found = random.Random(7), Counter()
    for number, file in enumerate(one_of_each_kind(files, repository, dice)):
        whole = file.read_bytes()
        for cut in (False, True) if "bundle" in file.parts else (number % 2 == 1,):
            at = dice.randrange(len(whole))
            file.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
            before = state(portal)
            try:
                restore(settings, portal, backup)
            except DomainError as error:
                assert error.code in REFUSALS, (file, error.code)
                assert len(error.message) > 20
                assert state(portal) == before, (file, at)
                found[kind_of(file, repository), "refused"] += 1
            else:
                assert portal.markers() == {"kept"}, (file, at)
                portal.mark("live")
                found[kind_of(file, repository), "restored"] += 1
            finally:
                if not file.exists() or file.read_bytes() != whole:
                    file.write_bytes(whole)
            assert rests(vault) == []
    assert found["bundle", "refused"] > max(found["bundle", "restored"], 4)  # some of a full one is in the incremental one by now
    restore(settings, portal, backup)
    assert portal.markers() == {"kept"}


def stood_on(repository, labels):
    """The files of these backups, and those that are everybody's."""
    files = sorted(path for path in repository.rglob("*") if path.is_file())
    return [file for file in files if label_of(file, repository) in {None, *labels}]


def label_of(file, repository):
    tree, _, *below = file.relative_to(repository).parts
    return below[0] if tree == "backup" and len(below) > 1 else None


def one_of_each_kind(files, repository, dice):
    """Each restore takes as long as a backup and a restore of a cluster."""
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kinds.setdefault(kind_of(file, repository), []).append(file)
    return [file for kind, alike in kinds.items() for file in (alike if kind == "bundle" else [dice.choice(alike)])]


def kind_of(file: Path, repository: Path) -> str:
    """`bundle` is what was copied of the cluster; of all lists there is another copy."""
    parts = file.relative_to(repository).parts
    return parts[3] if parts[0] == "backup" and len(parts) > 3 else file.suffix if parts[0] == "archive" else parts[-1]


def restore(settings, portal, backup):
    portal.engine.dispose()
    restorer = make_restorer(settings, make_vault(settings))
    restorer.restore(Order(uuid4(), "Asha Rao", backup_id=backup.id), silent, lambda: None)
    portal.engine.dispose()


def state(portal):
    """Every row of every table, and the portal's databases."""
    whole = hashlib.sha256()
    with portal.engine.connect() as connection:
        for table in sorted(connection.dialect.get_table_names(connection)):
            rows = sorted(str(row) for row in connection.execute(text(f'SELECT * FROM "{table}"')))
            whole.update("\n".join([table, *rows]).encode())
        names = connection.execute(text("SELECT datname FROM pg_database ORDER BY datname")).scalars().all()
    portal.engine.dispose()
    return whole.hexdigest(), names
