"""Putting a backup in place of the live data: what `domain/restores/restorer.py` asks for, for SQLite and for PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url

from adapters.backups.vault import FolderVault
from adapters.restores.postgres import PostgresSwap
from adapters.restores.restorer import LiveRestorer
from adapters.restores.sqlite import SqliteSwap
from adapters.restores.swap import Swap
from config import Config
from domain.db import driver_url


def make_restorer(config: Config, vault: FolderVault) -> LiveRestorer:
    folder = config.backup_dir / "restores"
    url = make_url(driver_url(config.database_url))
    swap: Swap = (
        PostgresSwap(config.database_url) if url.get_backend_name() == "postgresql" else SqliteSwap(Path(url.database or ""), folder)
    )
    return LiveRestorer(config.database_url, folder, vault, swap)
