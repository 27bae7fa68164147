"""What every test may ask for. A fixture used in one folder lives in that folder's conftest.py."""

import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import config
import migrations
from domain.db import make_engine
from tests.databases import PostgresDatabase, SqliteDatabase
from tests.once import CompiledOnce, TemplatesOnce
from tests.servers.pgbackrest import ArchivedPostgres
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.tools import missing

gc.disable()  # until all tests are collected: nothing of what is imported until then is ever garbage


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def archived() -> Iterator[ArchivedPostgres]:
    """A cluster of its own that archives its log into a pgBackRest repository."""
    with ArchivedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture
def redis(redis_server: Redis) -> Redis:
    """A running, empty Redis: `redis.url`."""
    redis_server.flush()
    return redis_server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "portal.db"
    migrations.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    migrations.upgrade(postgres.new_database(name="template_migrated"))
    return "template_migrated"


@pytest.fixture(scope="session")
def sqlite_database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabase:
    return SqliteDatabase(sqlite_template, tmp_path_factory.mktemp("database") / "portal.db")


@pytest.fixture(scope="session")
def postgres_database(postgres: Postgres, postgres_template: str) -> PostgresDatabase:
    return PostgresDatabase(postgres, postgres_template)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty, migrated database; each test that asks runs on SQLite and on PostgreSQL."""
    database = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgres_database")
    return database.renew()


@pytest.fixture(scope="session")
def engines() -> Callable[[str], Engine]:
    """One engine per database: statements that it has compiled once need not be compiled for each test."""
    return cache(make_engine)


@pytest.fixture
def engine(database_url: str, engines: Callable[[str], Engine]) -> Iterator[Engine]:
    engine = engines(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the test's database. On SQLite a transaction holds the write lock: commit before others are to write.

    Rows stay readable after a commit, without a new transaction; `session.refresh(row)` sees what others did to them.
    """
    with Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment that `app` is configured from; override it to add to it."""
    return {"APP_ENV": "test", "DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": database_url}


@pytest.fixture(scope="session")
def templates() -> TemplatesOnce:
    return TemplatesOnce()


@pytest.fixture
def app(settings: dict[str, str], database_url: str, engine: Engine, templates: TemplatesOnce, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application of the test's own, on the engine that `engine` is."""
    from web.db import db  # here, since the tests of the domain need none of the doors
    from wsgi import create_app

    monkeypatch.setattr(Flask, "url_rule_class", CompiledOnce)
    app = create_app(config.load(settings))
    app.jinja_env.bytecode_cache = templates
    if settings["DATABASE_URL"] == database_url:
        with app.app_context():
            db.engines[None] = engine
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


BEGUN_FIRST = {"browser", "processes", "pgbackrest"}
"""Of what takes seconds none is begun last, while all other processes are done and wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers they use, and set aside those whose programs this machine lacks."""
    absent = {tool.marker: tool for tool in missing()}
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "redis_server" in fixtures:
            item.add_marker("redis")
        if "archived" in fixtures:
            item.add_marker("pgbackrest")
        if fixtures & {"postgres", "archived"} or "postgresql" in getattr(item, "callspec", _Plain).params.values():
            item.add_marker("postgresql")
        for tool in {absent[marker.name] for marker in item.iter_markers() if marker.name in absent}:
            item.add_marker(pytest.mark.skip(reason=f"needs {tool.name}: apt-get install {tool.package}"))
    items.sort(key=lambda item: BEGUN_FIRST.isdisjoint(marker.name for marker in item.iter_markers()))


class _Plain:
    params: dict[str, object] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that left something out is not a green run, unless that was asked for."""
    if left_out(session.config) and os.environ.get("ALLOW_SKIPS") != "1":
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out(config):
        terminalreporter.write_line("Some tests could not run here: install what they need, or set ALLOW_SKIPS=1 to pass without them.")


def left_out(config: pytest.Config) -> bool:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return bool(reporter and reporter.stats.get("skipped"))
