"""Signed-in callers of the JSON API, and a noun to try the ground on."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from domain.access import Permission
from domain.db import now
from domain.identity.models import Admin, AdminSession, Door
from tests.api.probe import Probe
from tests.factories import make_admin, make_role
from web.auth import identity

Headers = dict[str, str]


@pytest.fixture
def bearer(app: Flask, engine: Engine) -> Callable[..., Headers]:
    """`bearer("refunds:list")`: the headers of a new admin with exactly these permissions, committed."""

    def sign_in(*permissions: Permission | str, admin: Admin | None = None, fresh_mfa: bool = False) -> Headers:
        with app.app_context(), Session(engine) as session:
            admin = admin or make_admin(session, role=make_role(session, *permissions))
            row = AdminSession(admin_id=admin.id, door=Door.API, expires_at=now() + timedelta(hours=1))
            row.mfa_at = now() if fresh_mfa else None
            session.add(row)
            session.commit()
            return {"Authorization": f"Bearer {identity().tokens.sign(row)}"}

    return sign_in


@pytest.fixture
def probe(app: Flask) -> Probe:
    """Mounts the probes; ask for it before the first request."""
    probe = Probe()
    probe.mount(app)
    return probe
