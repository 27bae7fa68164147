"""The payment gateways behind domain/refunds/gateway.py: one class each, chosen by the payment's provider."""

from __future__ import annotations

from adapters.gateways.sandbox import SandboxGateway
from config import Config
from domain.refunds.gateway import Gateway


def make_gateways(config: Config) -> dict[str, Gateway]:
    """Every gateway by the name payments know it by. One whose keys are not set answers that they are missing."""
    return {
        "sandbox": SandboxGateway(config.data_dir / "sandbox-gateway.db", config.gateway_timeout_seconds),
    }
