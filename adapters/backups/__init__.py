"""Making and keeping backups: what `domain/backups/vault.py` asks for, for SQLite and for PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url

from adapters.backups.pgbackrest import PgBackRestVault
from adapters.backups.postgres import DumpVault
from adapters.backups.sealing import read_key
from adapters.backups.sqlite import SqliteVault
from adapters.backups.vault import FolderVault
from adapters.storage import make_storage
from config import VERSION, Config
from domain.db import driver_url


def make_vault(config: Config) -> FolderVault:
    """Raises ConfigError where BACKUP_KEY_FILE holds no key."""
    return vault_of(config).with_uploads(make_storage(config))


def vault_of(config: Config) -> FolderVault:
    key = read_key(config.backup_key_file)
    url = make_url(driver_url(config.database_url))
    if url.get_backend_name() == "postgresql":
        if config.pgbackrest_stanza is None:
            return DumpVault(config.backup_dir, key, VERSION, config.database_url)
        return PgBackRestVault(
            config.backup_dir,
            key,
            VERSION,
            config.database_url,
            stanza=config.pgbackrest_stanza,
            config=config.pgbackrest_config,
            restore_config=config.pgbackrest_restore_config,
            user=config.pgbackrest_user,
        )
    return SqliteVault(config.backup_dir, key, VERSION, Path(url.database or ""))
