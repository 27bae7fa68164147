"""Stand-ins for the services the portal talks to: real HTTP on loopback, with books of their own.

`GatewayStandIn` plays Stripe and Razorpay at once, keeps to their rules and has their troubles on demand. It runs in a thread of
a test, or in a process of its own: `python -m tests.standins --ledger FILE`.
"""

from tests.standins.books import Refund
from tests.standins.gateway import GatewayStandIn, Webhook

__all__ = ["GatewayStandIn", "Refund", "Webhook"]
