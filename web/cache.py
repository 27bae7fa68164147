"""Where the answers are kept that may be a few minutes old: in Redis where REDIS_URL is set, else in the database.

Either is shared by all processes. What is in the way of keeping one (Redis away, a long writer on SQLite) costs the next caller the
making of it, and this one nothing.
"""

import json
import logging
import time
from datetime import datetime, timedelta

from flask import Flask, Response, after_this_request, current_app
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from domain.cache import REDIS_PREFIX, Cache, Kept, read_entry, write_entry
from domain.db import dump_json, impatient
from web.db import db, writing

log = logging.getLogger(__name__)

REDIS_SECONDS = 0.25
REDIS_PAUSE_SECONDS = 5.0
PATIENCE_SECONDS = 0.1


def register(app: Flask) -> None:
    redis_url = app.config["PORTAL"].redis_url
    app.extensions["cache"] = RedisCache(redis_url, DatabaseCache()) if redis_url else DatabaseCache()


def cache() -> Cache:
    found: Cache = current_app.extensions["cache"]
    return found


class DatabaseCache:
    """A table. It is written once the request's answer is made, in a transaction of its own."""

    def get(self, name: str) -> Kept | None:
        return read_entry(db.session(), name)

    def put(self, name: str, kept: Kept, lasts: timedelta) -> None:
        @after_this_request
        def write(response: Response) -> Response:
            try:
                with impatient(PATIENCE_SECONDS), writing() as session:
                    write_entry(session, name, kept, lasts)
            except SQLAlchemyError as error:
                log.info("the database does not take it, a summary is not kept: %s", type(error).__name__)
            return response


class RedisCache:
    """While Redis is away its stand-in is asked."""

    def __init__(self, redis_url: str, otherwise: Cache):
        self.redis = Redis.from_url(redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=None)
        self.otherwise = otherwise
        self.again_at = 0.0

    def get(self, name: str) -> Kept | None:
        if time.monotonic() >= self.again_at:
            try:
                text = self.redis.get(REDIS_PREFIX + name)
                return read(text) if text else None
            except (RedisError, OSError) as error:
                self.step_aside(error)
        return self.otherwise.get(name)

    def put(self, name: str, kept: Kept, lasts: timedelta) -> None:
        if time.monotonic() >= self.again_at:
            try:
                self.redis.set(REDIS_PREFIX + name, dump_json({"made_at": kept.made_at.isoformat(), "value": kept.value}), ex=lasts)
                return
            except (RedisError, OSError) as error:
                self.step_aside(error)
        self.otherwise.put(name, kept, lasts)

    def step_aside(self, error: Exception) -> None:
        self.again_at = time.monotonic() + REDIS_PAUSE_SECONDS
        log.warning("redis is away, summaries are kept in the database: %s", type(error).__name__)


def read(text: str | bytes) -> Kept | None:
    """None for what another version has written."""
    try:
        found = json.loads(text)
        return Kept(found["value"], datetime.fromisoformat(found["made_at"]))
    except (ValueError, KeyError, TypeError):
        return None
