"""The whole portal's health, asked for within three seconds whatever is away, and who may see it while the database is.

Whoever asks is found by their token or cookie on the connection that asks the database how it is, never on the request's own: a
database that hangs holds that thread and not the request. While it is away, the signature alone admits, and the caller is told no more
than who is ill.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

from flask import Flask, current_app, g
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import migrations
from adapters.probes import PROBE_SECONDS, Asked, Kept, ask_queue_file, ask_redis, ask_storage, gigabytes, milliseconds
from config import VERSION, Config
from domain.access import SYSTEM, Actor, Permission
from domain.db import driver_url, make_brief_engine, now, read_only
from domain.errors import Unauthenticated
from domain.health import backups, figures, storage_usage
from domain.health.report import NOT_CONFIGURED, Health, Service, Status, silent
from domain.health.tallies import Tallies, tally
from domain.identity import sessions
from domain.identity.models import AdminSession
from domain.patience import patience
from web import limits, traffic
from web.auth import Caller, Found
from web.requests import client_address

log = logging.getLogger(__name__)

SECONDS = 2.4
"""How long the answer waits for whoever is silent."""
STORAGE_KEPT_SECONDS = BACKUPS_KEPT_SECONDS = 10.0
UNTOLD = "The database did not tell in time"
OUTDATED = "Its schema is not the one this version needs"

View = Callable[..., Any]


def register(app: Flask) -> None:
    app.extensions["health"] = Probes(app)


def examine() -> Health:
    """How everything is, for somebody who may know: the caller has seen to that."""
    return probes().examine()[0]


def examine_for_metrics() -> tuple[Health, Tallies | None]:
    """The same for a monitor, with the numbers that only it wants; None while the database does not tell."""
    health = examine()
    asked = None if health.database_is_away else Asked("tallies", probes().tally, no_tallies)
    return health, asked.within(time.monotonic() + SECONDS) if asked else None


def no_tallies(error: Exception) -> None:
    log.warning("the database could not tell its tallies: %s", type(error).__name__)


def schema_revision() -> tuple[Service, str | None]:
    """How the database is, and the revision of its schema."""
    told = probes().examine_database()
    return told.database, told.revision


def even_without_database(find_caller: Callable[[], Caller], otherwise: Callable[[Health], ResponseReturnValue]) -> Callable[[View], View]:
    """The outermost decorator of a view that is answered also while the database is away: by `otherwise`, for whoever has a signature
    of ours. While it is there, the view finds the health in `g.health`, and `needs` whom it is to ask about."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                caller = find_caller()
            except Unauthenticated as error:
                g.unauthenticated = error
                return view(*args, **kwargs)
            health, told = probes().examine(caller)
            if health.database_is_away:
                limits.spend_stranger(client_address())
                return otherwise(health)
            g.health = health
            if told.refusal is not None:
                g.unauthenticated = told.refusal
            elif told.found is not None:
                setattr(g, "half_signed_in" if told.found.half else "actor", told.found.actor)
            return view(*args, **kwargs)

        guarded.finds_its_caller = True  # type: ignore[attr-defined]
        return guarded

    return decorate


@dataclass(frozen=True)
class Told:
    """What the database said: how it is, who asks, and what it knows of the others."""

    database: Service
    found: Found | None = None
    refusal: Unauthenticated | None = None
    revision: str | None = None
    queue: Service | None = None
    metrics: Service | None = None
    files: storage_usage.StorageMeasurement | None = None
    set_up_at: datetime | None = None
    backups_disk: backups.Disk = field(default_factory=dict)


def probes() -> "Probes":
    found: Probes = current_app.extensions["health"]
    return found


class Probes:
    def __init__(self, app: Flask):
        self.settings: Config = app.config["PORTAL"]
        self.storage = Kept("storage", lambda: ask_storage(app.extensions["storage"]), STORAGE_KEPT_SECONDS)
        self.backups = Kept("backups", lambda: backups.look(app.extensions["vault"]), BACKUPS_KEPT_SECONDS)
        self.traffic = traffic.of(app)
        self.engine = make_brief_engine(self.settings.database_url, round(PROBE_SECONDS))

    def examine(self, caller: Caller | None = None) -> tuple[Health, Told]:
        """Ask everybody at once; whoever is silent is told of as such."""
        self.traffic.write_where_nobody_does()
        ends = time.monotonic() + SECONDS
        database = self.begin_database(caller)
        redis = Asked("redis", self.ask_redis, broken)
        files = Asked("queue", self.ask_queue_file, lambda error: type(error).__name__)
        storage = self.storage.within(ends) or silent(SECONDS)
        kept = self.backups.within(ends)
        told = database(ends)
        health = Health(
            checked_at=now(),
            version=VERSION,
            environment=self.settings.app_env,
            services={
                "database": told.database,
                "redis": redis.within(ends) or silent(SECONDS),
                "storage": with_files(storage, told.files),
                "queue": with_trouble(told.queue or Service(Status.UNHEALTHY, UNTOLD), files.within(ends)),
                "backups": self.judge_backups(kept, told),
            },
            metrics=told.metrics or Service(Status.UNHEALTHY, UNTOLD),
        )
        return health, told

    def judge_backups(self, found: backups.Found | None, told: Told) -> Service:
        if found is None:
            return silent(SECONDS)
        return backups.judge(found, timedelta(hours=self.settings.backup_every_hours), told.set_up_at, told.backups_disk)

    def examine_database(self) -> Told:
        return self.begin_database(None)(time.monotonic() + SECONDS)

    def ask_redis(self) -> Service:
        return ask_redis(self.settings.redis_url) if self.settings.redis_url else NOT_CONFIGURED

    def ask_queue_file(self) -> str:
        return "" if self.settings.redis_url else ask_queue_file(self.settings.data_dir / "queue.db") or ""

    def begin_database(self, caller: Caller | None) -> Callable[[float], Told]:
        """Begin to ask; what comes back waits for the answer, or for what there is of it by then."""
        so_far: list[Told] = []
        asked = Asked("database", lambda: self.ask_database(caller, so_far.append), lambda error: Told(broken(error)))

        def answer(ends: float) -> Told:
            return asked.within(ends) or (so_far[-1] if so_far else Told(silent(SECONDS)))

        return answer

    def ask_database(self, caller: Caller | None, tell: Callable[[Told], None]) -> Told:
        file = driver_url(self.settings.database_url).removeprefix("sqlite:///")
        if self.engine.dialect.name == "sqlite" and not Path(file).is_file():
            return Told(Service(Status.UNHEALTHY, "Its file is missing"))  # which asking would make
        with patience(PROBE_SECONDS), read_only(), Session(self.engine, expire_on_commit=False) as session:
            session.execute(text("SELECT 1"))
            began = time.perf_counter()
            session.execute(text("SELECT 1"))
            latency = milliseconds(began)
            revision = session.scalar(text("SELECT version_num FROM alembic_version"))
            if revision != migrations.newest():
                return Told(Service(Status.UNHEALTHY, OUTDATED), revision=revision)
            told = Told(Service(Status.HEALTHY, None, {"provider": self.engine.dialect.name, "latency_ms": latency}), revision=revision)
            actor = SYSTEM
            if caller is not None:
                try:
                    told = replace(told, found=caller(session))
                except Unauthenticated as error:
                    return replace(told, refusal=error)
                assert told.found is not None
                actor = told.found.actor
                self.note_sign_of_life(told.found.row)
            tell(told)
            return self.with_figures(session, actor, told) if actor.can(Permission.SYSTEM_HEALTH) else told

    def with_figures(self, session: Session, actor: Actor, told: Told) -> Told:
        try:
            told = replace(told, queue=figures.queue(session, actor), set_up_at=backups.set_up_at(session, actor))
            told = replace(told, database=with_connections(told.database, *figures.connections(session, actor)))
            told = replace(told, files=storage_usage.find(session, self.settings.storage_url))
            told = replace(told, backups_disk=backups.find_disk(session, actor, self.settings.backup_dir))
            return replace(told, metrics=figures.metrics(session, actor))
        except SQLAlchemyError as error:
            log.warning("the database could not tell all of its figures: %s", type(error).__name__)
            return told

    def tally(self) -> Tallies:
        with patience(PROBE_SECONDS), read_only(), Session(self.engine) as session:
            return tally(session, SYSTEM)

    def note_sign_of_life(self, row: AdminSession | None) -> None:
        """Not waited for: where many write, the write lock of SQLite may take its time."""
        if row is not None and sessions.stale(row):
            Asked("sign of life", lambda: self.write_sign_of_life(row), lambda error: log.warning("no sign of life: %s", error))

    def write_sign_of_life(self, row: AdminSession) -> None:
        with patience(PROBE_SECONDS), Session(self.engine) as session, session.begin():
            sessions.note_sign_of_life(session, row)


def broken(error: Exception) -> Service:
    """A service whose question failed, in words that say nothing about where it is."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    log.warning("a probe failed: %s: %s", type(error).__name__, said[:300])
    return Service(Status.UNHEALTHY, next((words for sign, words in SIGNS if sign in said.lower()), "Connection failed"))


SIGNS = (
    ("timeout expired", "Connection timeout"),
    ("statement timeout", "It answers too slowly"),
    ("did not answer", "Connection timeout"),
    ("refused", "Connection refused"),
    ("starting up", "Starting up"),
    ("in recovery", "Starting up"),
    ("shutting down", "Shutting down"),
    ("terminating", "Shutting down"),
    ("too many", "It has no connection left"),
    ("remaining connection slots", "It has no connection left"),
    ("authentication", "Sign-in refused"),
    ("translate host name", "Its name is not known"),
    ("does not exist", "It was never set up"),
    ("no such table", OUTDATED),
    ("locked", "It is locked"),
    ("malformed", "Its file is damaged"),
    ("not a database", "Its file is damaged"),
    ("disk i/o", "Its disk fails"),
    ("server closed the connection", "Connection lost"),
)


def with_connections(database: Service, connections: dict[str, Any], reasons: dict[str, str]) -> Service:
    return replace(database, figures={**database.figures, "connections": connections}, reasons=reasons)


def with_files(storage: Service, files: storage_usage.StorageMeasurement | None) -> Service:
    """The storage, with what a worker counted of it."""
    if not storage.well and "latency_ms" not in storage.figures:
        return storage
    counted: dict[str, Any] = {"files_gb": None, "files_count": None, "files_counted_at": None}
    reasons = {**storage.reasons}
    if files is not None:
        counted = {"files_gb": gigabytes(files.bytes), "files_count": files.files, "files_counted_at": files.measured_at}
    else:
        reasons |= dict.fromkeys(counted, "A worker counts the files once an hour, and none has yet")
    used = storage.figures["used_gb"]
    if used is None:
        used = counted["files_gb"]
        if used is None:
            reasons["used_gb"] = reasons["files_gb"]
    return replace(storage, figures={**storage.figures, "used_gb": used, **counted}, reasons=reasons)


def with_trouble(queue: Service, trouble: str | None) -> Service:
    """The queue, with what is wrong with its file where it has one; `trouble` is None where even that was not said."""
    if trouble == "" or queue.status is Status.UNHEALTHY:
        return queue
    return replace(queue, status=Status.UNHEALTHY, error=trouble or UNTOLD)
