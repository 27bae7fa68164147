from collections.abc import Iterator
from pathlib import Path

import pytest

import config
from adapters.gateways import make_gateways
from adapters.gateways.razorpay import RazorpayGateway
from adapters.gateways.stripe import StripeGateway
from tests.standins import GatewayStandIn

PATIENCE = 20  # seconds: a busy machine answers late, and that must not look like a gateway's fault
IMPATIENCE = 1.0
ENDLESS = 60  # what hangs, hangs far longer than anybody waits


def deadline_for(fault: str) -> float | None:
    """What never comes is not waited for; everything else gets the gateway's own time."""
    return IMPATIENCE if any(slow in fault for slow in ("hang", "slow", "drip")) else None


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[GatewayStandIn]:
    with GatewayStandIn(ledger_file=tmp_path / "ledger.jsonl") as standin:
        yield standin


@pytest.fixture
def settings(standin: GatewayStandIn, tmp_path: Path) -> config.Config:
    environment = {"APP_ENV": "test", "DATA_DIR": str(tmp_path / "var"), "GATEWAY_TIMEOUT_SECONDS": str(PATIENCE)}
    return config.load({**environment, **standin.environment()})


@pytest.fixture
def stripe(settings: config.Config) -> StripeGateway:
    gateway = make_gateways(settings)["stripe"]
    assert isinstance(gateway, StripeGateway)
    return gateway


@pytest.fixture
def razorpay(settings: config.Config) -> RazorpayGateway:
    gateway = make_gateways(settings)["razorpay"]
    assert isinstance(gateway, RazorpayGateway)
    return gateway
