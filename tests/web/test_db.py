"""Reading never waits for a writer, and a refusal while reading is still written down."""

import sqlite3
from time import monotonic

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

import config
from domain import audit
from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from domain.db import read_only
from web.db import db, writing
from wsgi import create_app


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_list_is_read_while_somebody_writes(client, bearer, database_url):
    headers = bearer("refunds:list")
    writer = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    started = monotonic()
    answer = client.get("/api/v1/admin/refunds", headers=headers)
    waited = monotonic() - started
    writer.close()

    assert answer.status_code == 200
    assert waited < 5


def test_writing_leaves_a_reading_request_and_commits(app, engine):
    with app.app_context(), read_only():
        db.session.scalars(select(AuditEntry)).all()
        with writing() as session:
            audit.record(session, SYSTEM, "test.noted", object_type="test")
    with Session(engine) as session:
        assert [entry.action for entry in session.scalars(select(AuditEntry))] == ["test.noted"]


def test_what_fails_while_writing_leaves_nothing(app, engine):
    with app.app_context(), pytest.raises(RuntimeError, match="boom"), writing() as session:
        audit.record(session, SYSTEM, "test.noted", object_type="test")
        raise RuntimeError("boom")
    with Session(engine) as session:
        assert session.scalars(select(AuditEntry)).all() == []


def test_the_web_engine_has_the_settings_of_every_other(settings, engine):
    app = create_app(config.load(settings))
    asked = "PRAGMA foreign_keys" if engine.dialect.name == "sqlite" else "SHOW lock_timeout"
    with app.app_context(), db.engine.connect() as connection:
        here = connection.exec_driver_sql(asked).scalar()
    with engine.connect() as connection:
        assert connection.exec_driver_sql(asked).scalar() == here
    assert here in (1, "10s")
