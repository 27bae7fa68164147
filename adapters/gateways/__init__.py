"""The payment gateways behind domain/refunds/gateway.py: one class each, chosen by the payment's provider."""

from __future__ import annotations

from adapters.gateways.razorpay import RazorpayGateway
from adapters.gateways.sandbox import SandboxGateway
from adapters.gateways.stripe import StripeGateway
from config import Config
from domain.refunds.gateway import Gateway


def make_gateways(config: Config) -> dict[str, Gateway]:
    """Every gateway by the name payments know it by. One whose keys are not set answers that they are missing."""
    gateways: list[Gateway] = [
        SandboxGateway(config.data_dir / "sandbox-gateway.db", config.gateway_timeout_seconds),
        StripeGateway(config),
        RazorpayGateway(config),
    ]
    return {gateway.name: gateway for gateway in gateways}
