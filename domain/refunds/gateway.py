"""What a payment gateway is to the domain: an order to give money back, and the few things that can come of it.

The adapters (adapters/gateways/) speak HTTP; this module is the whole of what they and the settlement know of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.errors import DomainError


@dataclass(frozen=True)
class Order:
    """One refund to be made, as it was committed before anything was sent.

    `key` is the gateway's idempotency key, made from the refund's id (`rr-<refund id>-a<number>`); `body` the exact bytes
    that go out under it, now and at every repeat. `lost`: our books do not know any more which attempt was made and over how much
    (a restore), so a look-up takes whatever was made for the refund.
    """

    refund_id: UUID
    refund_number: str
    attempt: int
    key: str
    provider_payment_id: str
    amount_cents: int
    currency: str
    body: bytes = b""
    lost: bool = False


@dataclass(frozen=True)
class Facts:
    """What a gateway says of one refund of its own. `refund_id` and `attempt` are ours, read back from its metadata.

    Stripe knows one payment by two ids (the intent's, the charge's); a webhook has both, and ours may be either: `is_for`.
    """

    gateway_refund_id: str
    amount_cents: int
    currency: str
    provider_payment_id: str | None
    refund_id: UUID | None = None
    attempt: int | None = None
    reference: str | None = None
    other_payment_id: str | None = None

    @property
    def payment_ids(self) -> list[str]:
        return [payment_id for payment_id in (self.provider_payment_id, self.other_payment_id) if payment_id]

    def is_for(self, provider_payment_id: str) -> bool:
        return provider_payment_id in self.payment_ids


@dataclass(frozen=True)
class Processed:
    """Final: the money has moved."""

    facts: Facts


@dataclass(frozen=True)
class Pending:
    """Taken by the gateway, not final yet."""

    facts: Facts


@dataclass(frozen=True)
class Rejected:
    """Declined for good, nothing moved. `facts` where the gateway made a refund and then failed it."""

    code: str
    message: str
    facts: Facts | None = None


@dataclass(frozen=True)
class Unknown:
    """Something may have been sent and no certain answer came: look it up, never guess.

    `key_spent`: the gateway keeps this error under the order's key and will answer nothing else to it.
    """

    message: str
    key_spent: bool = False


@dataclass(frozen=True)
class RetryLater:
    """This call was certainly not taken (never sent, or turned away unread): the same bytes may go out again after `after`
    seconds. From `find` and `get` it says only that the look-up must wait, nothing of the refund."""

    after: float
    message: str
    alarm: bool = False  # a person must mend something (credentials, a reused key) before it can work


@dataclass(frozen=True)
class Absent:
    """The gateway has looked and holds no such refund."""


Verdict = Processed | Pending | Rejected | Unknown | RetryLater
Finding = Processed | Pending | Rejected | Unknown | RetryLater | Absent


@dataclass(frozen=True)
class GatewayNotice:
    """One event of a webhook. `verdict` is what it says of the refund it is about; None where it is about something else."""

    event_id: str
    type: str
    verdict: Processed | Pending | Rejected | None
    payload: dict[str, object]


class BadSignature(DomainError):
    """The webhook was not signed with any secret we hold, or too long ago."""

    status, code = 400, "INVALID_SIGNATURE"


class Gateway(Protocol):
    """Every method answers within its deadline and raises nothing: faults are verdicts.

    `deadline` is in seconds for the whole call, None for the adapter's own timeout.
    """

    name: str

    def prepare(self, order: Order) -> bytes:
        """The exact body to send for this order; it is committed before the first send."""
        ...

    def create(self, order: Order, *, deadline: float | None = None) -> Verdict:
        """Send `order.body` under `order.key`."""
        ...

    def find(self, order: Order, *, deadline: float | None = None) -> Finding:
        """Look for a refund made by this order, by its metadata, amount and payment. Reads every page there is."""
        ...

    def get(self, gateway_refund_id: str, order: Order, *, deadline: float | None = None) -> Finding:
        """What became of a refund whose id is known."""
        ...

    def made_since(self, moment: datetime) -> Iterator[Processed | Pending | Rejected | Unknown | RetryLater]:
        """Every refund made since, whoever ordered it, some of them twice. Where that cannot be told to the end, the last says why.
        Each page has the adapter's own timeout."""
        ...

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str]) -> GatewayNotice:
        """Check the signature over the raw bytes and read the event. Raises BadSignature, or domain.errors.Invalid for a body
        that is signed but cannot be read."""
        ...


Gateways = Mapping[str, Gateway]
