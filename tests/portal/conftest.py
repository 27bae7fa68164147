"""Signed-in people, and rows that are committed as they are made."""

from collections.abc import Callable

import pyotp
import pytest
from flask import Flask
from sqlalchemy import Engine, Select
from sqlalchemy.orm import Session

from domain.db import now
from domain.identity import sessions
from domain.identity.models import Admin, Door
from tests.factories import make_admin
from tests.portal.person import Person
from web.auth import identity

PASSWORD = "correct horse battery staple"
TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def made(engine: Engine) -> Callable[..., object]:
    """`made(make_refund, status="rejected")`: what the factory makes, committed, its columns loaded."""

    def make(factory: Callable[..., object], *arguments: object, **fields: object) -> object:
        with Session(engine, expire_on_commit=False) as session:
            row = factory(session, *arguments, **fields)
            session.commit()
            return row

    return make


class Look:
    """Reads what became of things, each time anew, holding nothing in between."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def get(self, model: type, id: object) -> object:
        with Session(self.engine) as session:
            return session.get_one(model, id)

    def all(self, statement: Select) -> list[object]:
        with Session(self.engine) as session:
            return list(session.scalars(statement))


@pytest.fixture
def look(engine: Engine) -> Look:
    return Look(engine)


@pytest.fixture
def enrolled(app: Flask, engine: Engine) -> Callable[..., Admin]:
    """An admin who can sign in with PASSWORD and codes made from TOTP."""

    def make(**fields: object) -> Admin:
        with app.app_context(), Session(engine, expire_on_commit=False) as session:
            admin = make_admin(session, password_hash=identity().passwords.hash(PASSWORD), totp_confirmed_at=now(), **fields)
            admin.totp_secret = identity().sealer.seal(TOTP, admin.id)
            session.commit()
            return admin

    return make


@pytest.fixture
def code() -> Callable[[], str]:
    """The code that the phone shows now, and at the second call the next one, which is good already: none is good twice."""
    steps = iter((0, 1))
    return lambda: pyotp.TOTP(TOTP).at(int(now().timestamp()) + 30 * next(steps))


@pytest.fixture
def sign_in(app: Flask, engine: Engine) -> Callable[..., Person]:
    """`sign_in(admin, fresh=True)`: somebody whose session is open already, the second step just now or a while ago."""

    def open_session(admin: Admin, *, fresh: bool = False) -> Person:
        with Session(engine) as session:
            row, secret = sessions.open_session(session, admin.id, Door.PORTAL, sessions.visitor())
            if admin.mfa_enrolled:
                row.mfa_at = now() if fresh else now() - sessions.IDLE
            session.commit()
        client = app.test_client()
        with client.session_transaction() as cookie:
            cookie["_user_id"] = secret
        return Person(client, admin)

    return open_session


@pytest.fixture
def nisha(enrolled: Callable[..., Admin], sign_in: Callable[..., Person]) -> Person:
    """A finance admin in India, signed in, whose last code is half an hour old."""
    return sign_in(enrolled(name="Nisha Kapoor", email="nisha@example.com", timezone="Asia/Kolkata"))


@pytest.fixture
def omar(enrolled: Callable[..., Admin], sign_in: Callable[..., Person]) -> Person:
    """Another finance admin, who has just given a code."""
    return sign_in(enrolled(name="Omar Haddad", email="omar@example.com"), fresh=True)


@pytest.fixture
def mira(enrolled: Callable[..., Admin], sign_in: Callable[..., Person]) -> Person:
    """A super admin, who may do everything and sees everybody's jobs."""
    return sign_in(enrolled(name="Mira Sen", email="mira@example.com", role="super_admin"), fresh=True)
