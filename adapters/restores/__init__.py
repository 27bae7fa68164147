"""Putting a backup in place of the live data: what `domain/restores/restorer.py` asks for, for SQLite and for PostgreSQL."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url

from adapters.backups.vault import FolderVault
from adapters.restores.postgres import PostgresSwap
from adapters.restores.restorer import LiveRestorer
from adapters.restores.sqlite import SqliteSwap
from adapters.restores.swap import Swap
from config import Config
from domain.cache import REDIS_PREFIX
from domain.db import driver_url

log = logging.getLogger(__name__)

REDIS_SECONDS = 2.0


def make_restorer(config: Config, vault: FolderVault) -> LiveRestorer:
    folder = config.backup_dir / "restores"
    url = make_url(driver_url(config.database_url))
    swap: Swap = (
        PostgresSwap(config.database_url) if url.get_backend_name() == "postgresql" else SqliteSwap(Path(url.database or ""), folder)
    )
    return LiveRestorer(config.database_url, folder, vault, swap, partial(forget_cached, config.redis_url))


def forget_cached(redis_url: str | None) -> None:
    """What Redis keeps of sums was made from the replaced data. Where it is away, they are a few minutes old and say so."""
    if redis_url is None:
        return
    try:
        with Redis.from_url(redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=None) as redis:
            for name in redis.scan_iter(f"{REDIS_PREFIX}*", count=1000):
                redis.delete(name)
    except (RedisError, OSError) as error:
        log.warning("redis is away, sums made from the replaced data are kept there for some minutes: %s", type(error).__name__)
