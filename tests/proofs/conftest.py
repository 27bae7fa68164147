"""The whole portal for proofs: two web workers, a job worker, a gateway with troubles; on SQLite, and on PostgreSQL with Redis."""

from collections.abc import Iterator

import pytest

from tests.proofs.desk import Desk
from tests.standins import GatewayStandIn


@pytest.fixture
def gateway(tmp_path) -> Iterator[GatewayStandIn]:
    with GatewayStandIn(ledger_file=tmp_path / "ledger.jsonl") as standin:
        yield standin


@pytest.fixture
def more_settings() -> dict[str, str]:
    """What the portal is told beside the usual; override it to add to it."""
    return {}


@pytest.fixture
def desk(database_url, engine, gateway, more_settings, request, tmp_path) -> Iterator[Desk]:
    """Three finance admins at work; `desk.portal` is the processes."""
    settings = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path / "data"),
        "GATEWAY_TIMEOUT_SECONDS": "2",
        "RATE_LIMIT": "1000000 per minute",
        "LOG_LEVEL": "WARNING",
        **gateway.environment(),
        **more_settings,
    }
    if database_url.startswith("postgresql"):
        settings["REDIS_URL"] = request.getfixturevalue("redis").url
    with Desk(settings, engine) as desk:
        yield desk
