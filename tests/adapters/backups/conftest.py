from pathlib import Path
from uuid import uuid4

import pyrage
import pytest
from sqlalchemy.engine import make_url

from adapters.backups.postgres import DumpVault
from adapters.backups.sealing import read_key
from adapters.backups.sqlite import SqliteVault
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.db import driver_url

FULL, INCREMENTAL = BackupType.FULL, BackupType.INCREMENTAL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture(params=["without a key", "with a key"])
def key(request, tmp_path):
    return None if request.param == "without a key" else new_key(tmp_path)


def new_key(folder, name="backup.key"):
    file = folder / name
    file.write_text(f"# made for a test\n{pyrage.x25519.Identity.generate()}\n")
    return read_key(file)


@pytest.fixture
def vault(database_url: str, folder: Path, key):
    return vault_of(database_url, folder, key)


def vault_of(database_url, folder, key):
    if database_url.startswith("sqlite"):
        return SqliteVault(folder, key, "1.2.3", Path(make_url(driver_url(database_url)).database))
    return DumpVault(folder, key, "1.2.3", database_url)


def wish(type=FULL, description=None):
    return Wish(uuid4(), type, description, "Asha Rao")


def silent(percent, stage):
    pass


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "operation.lock")
