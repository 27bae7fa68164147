import pytest

from domain.identity import sessions
from domain.identity.mfa import Sealer
from domain.identity.passwords import Passwords
from domain.identity.tokens import AccessTokens
from tests.factories import make_admin

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    return Passwords(memory_kib=64, time_cost=1)


@pytest.fixture(scope="session")
def sealer() -> Sealer:
    return Sealer(b"k" * 32)


@pytest.fixture
def tokens() -> AccessTokens:
    return AccessTokens(b"t" * 32, "admin-portal", "admin-api")


@pytest.fixture
def visitor():
    return sessions.visitor("203.0.113.7", "tests", "request-1")


@pytest.fixture
def admin(session, passwords):
    """An admin without a second factor, whose password is PASSWORD; committed."""
    made = make_admin(session, role="finance_admin", email="asha@example.com", password_hash=passwords.hash(PASSWORD))
    session.commit()
    return made
