"""Stripe: https://docs.stripe.com/api/refunds, form-encoded requests, JSON answers, the API version pinned."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, urlencode

from adapters.gateways import signatures
from adapters.gateways.http import Answer, Line
from adapters.gateways.reading import Object, Unreadable, amount, currency, marks, part, read_object, text, text_or_none
from adapters.gateways.remote import MOST_PAGES, MOST_PAGES_OF_ALL, LookUpEnded, NewStatus, Outcome, Refused, RemoteGateway, ends
from config import Config
from domain.errors import Invalid
from domain.refunds.gateway import BadSignature, Facts, GatewayNotice, Order, Pending, Processed, Rejected, RetryLater, Unknown, Verdict

API_VERSION = "2026-10-28.endive"
SIGNATURE_TOLERANCE = 300.0
PAGE = 100
REFUND_EVENTS = {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}


class StripeGateway(RemoteGateway):
    name = "stripe"
    title = "Stripe"
    payment_ids = re.compile(r"(pi|ch|py)_[A-Za-z0-9_-]{1,240}")
    payment_ids_look_like = "pi_… or ch_…"

    def __init__(self, config: Config, clock: Callable[[], float] = time.time):
        line = None
        if config.stripe_api_key:
            line = Line(
                config.stripe_api_base,
                config.gateway_timeout_seconds,
                {"Authorization": f"Bearer {config.stripe_api_key}", "Stripe-Version": API_VERSION},
            )
        super().__init__(line, "STRIPE_API_KEY")
        self.webhook_secrets = config.stripe_webhook_secrets
        self.clock = clock

    def prepare(self, order: Order) -> bytes:
        return urlencode(
            {
                payment_field(order): order.provider_payment_id,
                "amount": order.amount_cents,  # left out, Stripe gives everything back
                "metadata[refund_request_id]": str(order.refund_id),
                "metadata[attempt]": str(order.attempt),
                "metadata[refund_number]": order.refund_number,
            }
        ).encode()

    def send(self, line: Line, order: Order, ends: float) -> Answer:
        headers = {"Idempotency-Key": order.key, "Content-Type": "application/x-www-form-urlencoded"}
        return line.ask("POST", "/v1/refunds", content=order.body, headers=headers, ends=ends)

    def refusal(self, status: int, body: Object) -> Verdict | Refused:
        try:
            error = part(body, "error")
        except Unreadable:
            return Unknown(f"Stripe answered {status} without saying what became of the refund")
        kind, code = text_or_none(error, "type"), text_or_none(error, "code", 100)
        message = text_or_none(error, "message", 500) or "Stripe gave no reason"
        if code in ("idempotency_key_in_use", "lock_timeout"):
            return RetryLater(1, "Stripe is still at work on this refund")
        if kind == "idempotency_error":
            return RetryLater(60, f"Stripe has seen this refund's key with another body: {message}", alarm=True)
        if status in (400, 402, 404) and kind in ("invalid_request_error", "card_error"):
            declined = Rejected(code or kind, message)
            return Refused(declined) if code == "charge_already_refunded" else declined
        return Unknown(f"Stripe answered {status}: {message}")

    def refund_path(self, gateway_refund_id: str) -> str:
        return f"/v1/refunds/{quote(gateway_refund_id, safe='')}"

    def refunds_of(self, line: Line, order: Order, ends: float) -> Iterator[Object]:
        return self.listed(line, {payment_field(order): order.provider_payment_id}, MOST_PAGES, ends)

    def refunds_since(self, line: Line, moment: int) -> Iterator[Object]:
        return self.listed(line, {"created[gte]": str(moment)}, MOST_PAGES_OF_ALL)

    def listed(self, line: Line, which: Mapping[str, str], pages: int, until: float | None = None) -> Iterator[Object]:
        params = {**which, "limit": str(PAGE)}
        for _ in range(pages):
            page = self.look(line, "/v1/refunds", params, ends(line, None) if until is None else until)
            refunds, more = page.get("data"), page.get("has_more")
            if not isinstance(refunds, list) or not isinstance(more, bool) or (more and not refunds):
                raise Unreadable("the answer is not a list of refunds")
            for refund in refunds:
                if not isinstance(refund, dict):
                    raise Unreadable("the answer is not a list of refunds")
                yield refund
            if not more:
                return
            params["starting_after"] = text(refund, "id")
        raise LookUpEnded(Unknown(f"Stripe lists more than {pages * PAGE} refunds"))

    def knows_no_such(self, status: int, body: Object) -> bool:
        error = body.get("error")
        return status in (400, 404) and isinstance(error, dict) and error.get("code") == "resource_missing"

    def read(self, refund: Object) -> tuple[Facts, Outcome]:
        refund_id, attempt = marks(self.metadata(refund))
        facts = Facts(
            gateway_refund_id=text(refund, "id"),
            amount_cents=amount(refund),
            currency=currency(refund),
            provider_payment_id=text_or_none(refund, "payment_intent"),
            other_payment_id=text_or_none(refund, "charge"),
            refund_id=refund_id,
            attempt=attempt,
            reference=reference(refund),
        )
        match text(refund, "status"):
            case "succeeded":
                return facts, Processed(facts)
            case "pending" | "requires_action":
                return facts, Pending(facts)
            case "failed" | "canceled" as status:
                reason = text_or_none(refund, "failure_reason", 100)
                said = f"Stripe {status} the refund" + (f": {reason.replace('_', ' ')}" if reason else "")
                return facts, Rejected(reason or status, said, facts)
            case other:
                raise NewStatus(f"a refund with the status {other}")

    def metadata(self, refund: Object) -> Object:
        return part(refund, "metadata") if refund.get("metadata") else {}

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str]) -> GatewayNotice:
        self.check_signature(raw, {name.lower(): value for name, value in headers.items()}.get("stripe-signature", ""))
        try:
            event = read_object(raw)
            kind = text(event, "type", 100)
            return self.notice(text(event, "id"), kind, refund_in(kind, part(part(event, "data"), "object")))
        except Unreadable as error:
            raise Invalid(f"The webhook is signed but cannot be read: {error}") from None

    def check_signature(self, raw: bytes, header: str) -> None:
        if not self.webhook_secrets:
            raise BadSignature("No webhook of Stripe can be checked: set STRIPE_WEBHOOK_SECRET")
        pairs = [pair.strip().partition("=") for pair in header.split(",")]
        moments = [value for name, _, value in pairs if name == "t" and re.fullmatch(r"[0-9]{1,12}", value)]
        if len(moments) != 1:
            raise BadSignature("The webhook has no Stripe-Signature header of the form t=…,v1=…")
        signatures.check(moments[0].encode() + b"." + raw, [value for name, _, value in pairs if name == "v1"], self.webhook_secrets)
        if abs(self.clock() - int(moments[0])) > SIGNATURE_TOLERANCE:
            raise BadSignature("The webhook was signed more than five minutes ago")


def refund_in(kind: str, about: Object) -> Object | None:
    """The refund an event is about. A charge carries its refunds newest first, in newer versions of the API none at all."""
    if kind in REFUND_EVENTS:
        return about if about.get("object") == "refund" else None
    if kind == "charge.refunded":
        refunds = about.get("refunds")
        newest = refunds.get("data") if isinstance(refunds, dict) else None
        if isinstance(newest, list) and newest and isinstance(newest[0], dict):
            return newest[0]
    return None


def payment_field(order: Order) -> str:
    return "payment_intent" if order.provider_payment_id.startswith("pi_") else "charge"


def reference(refund: Object) -> str | None:
    """The bank's number for the refund; Stripe keeps it under the kind of destination it went to."""
    details = refund.get("destination_details")
    kind = details.get("type") if isinstance(details, dict) else None
    destination = details.get(kind) if isinstance(details, dict) and isinstance(kind, str) else None
    return text_or_none(destination, "reference") if isinstance(destination, dict) else None
