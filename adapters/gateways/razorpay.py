"""Razorpay: https://razorpay.com/docs/api/refunds, JSON both ways, HTTP Basic with the key's id and secret."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from adapters.gateways import signatures
from adapters.gateways.http import Answer, Line
from adapters.gateways.reading import Object, Unreadable, amount, currency, marks, part, read_object, text, text_or_none
from adapters.gateways.remote import MOST_PAGES, MOST_PAGES_OF_ALL, LookUpEnded, NewStatus, Outcome, Refused, RemoteGateway, ends
from config import Config
from domain.errors import Invalid
from domain.refunds.gateway import BadSignature, Facts, GatewayNotice, Order, Pending, Processed, Rejected, RetryLater, Unknown, Verdict

PAGE = 100
REFUND_EVENTS = {"refund.created", "refund.processed", "refund.failed", "refund.speed_changed"}

# Razorpay says what went wrong in words: its code is BAD_REQUEST_ERROR for nearly all of it.
STILL_AT_WORK = "still in progress"
KEY_USED_OTHERWISE = "different request with the same idempotency key"
WRONG_KEYS = "api key provided is invalid"
DECLINED = (
    "greater than amount captured",
    "more than 6 months old",
    "is not a valid id",
    "id provided does not exist",
    "should not be sent",
    "amount must be at least",
)
UNKNOWN_ID = ("is not a valid id", "id provided does not exist")


class RazorpayGateway(RemoteGateway):
    name = "razorpay"
    title = "Razorpay"
    payment_ids = re.compile(r"pay_[A-Za-z0-9_-]{1,240}")
    payment_ids_look_like = "pay_…"

    def __init__(self, config: Config):
        line, missing = None, "RAZORPAY_KEY_ID" if not config.razorpay_key_id else "RAZORPAY_KEY_SECRET"
        if config.razorpay_key_id and config.razorpay_key_secret:
            keys = base64.b64encode(f"{config.razorpay_key_id}:{config.razorpay_key_secret}".encode()).decode()
            line = Line(config.razorpay_api_base, config.gateway_timeout_seconds, {"Authorization": f"Basic {keys}"})
            missing = "RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET"
        super().__init__(line, missing)
        self.webhook_secrets = config.razorpay_webhook_secrets

    def prepare(self, order: Order) -> bytes:
        return json.dumps(
            {
                "amount": order.amount_cents,  # left out, Razorpay gives everything back
                "speed": "normal",
                "receipt": order.refund_number,
                "notes": {
                    "refund_request_id": str(order.refund_id),
                    "attempt": str(order.attempt),
                    "refund_number": order.refund_number,
                },
            },
            separators=(",", ":"),
        ).encode()

    def send(self, line: Line, order: Order, ends: float) -> Answer:
        path = f"/v1/payments/{quote(order.provider_payment_id, safe='')}/refund"
        headers = {"X-Refund-Idempotency": order.key, "Content-Type": "application/json"}
        return line.ask("POST", path, content=order.body, headers=headers, ends=ends)

    def refusal(self, status: int, body: Object) -> Verdict | Refused:
        code, said = error_in(body)
        if code is None:
            return Unknown(f"Razorpay answered {status} without saying what became of the refund")
        words = said.lower()
        if STILL_AT_WORK in words:
            return RetryLater(1, "Razorpay is still at work on this refund")
        if KEY_USED_OTHERWISE in words:
            return RetryLater(60, f"Razorpay has seen this refund's key with another body: {said}", alarm=True)
        if WRONG_KEYS in words:
            return RetryLater(60, f"Razorpay does not accept our key: check {self.missing}", alarm=True)
        if status in (400, 402, 404) and code == "BAD_REQUEST_ERROR":
            declined = Rejected(code, said)
            # Also where the words are new to us: it may be that this refund was made before.
            return declined if any(known in words for known in DECLINED) else Refused(declined)
        return Unknown(f"Razorpay answered {status}: {said}")

    def refund_path(self, gateway_refund_id: str) -> str:
        return f"/v1/refunds/{quote(gateway_refund_id, safe='')}"

    def refunds_of(self, line: Line, order: Order, ends: float) -> Iterator[Object]:
        path = f"/v1/payments/{quote(order.provider_payment_id, safe='')}/refunds"
        return self.listed(line, path, {}, MOST_PAGES, ends)

    def refunds_since(self, line: Line, moment: int) -> Iterator[Object]:
        return self.listed(line, "/v1/refunds", {"from": str(moment)}, MOST_PAGES_OF_ALL)

    def listed(self, line: Line, path: str, which: Mapping[str, str], pages: int, until: float | None = None) -> Iterator[Object]:
        skip = 0
        for _ in range(pages):
            params = {**which, "count": str(PAGE), "skip": str(skip)}
            refunds = self.look(line, path, params, ends(line, None) if until is None else until).get("items")
            if not isinstance(refunds, list) or not all(isinstance(refund, dict) for refund in refunds):
                raise Unreadable("the answer is not a list of refunds")
            if not refunds:
                return
            yield from refunds
            skip += len(refunds)
        raise LookUpEnded(Unknown(f"Razorpay lists more refunds than {pages} pages hold"))

    def knows_no_such(self, status: int, body: Object) -> bool:
        words = error_in(body)[1].lower()
        return status in (400, 404) and any(known in words for known in UNKNOWN_ID)

    def read(self, refund: Object) -> tuple[Facts, Outcome]:
        refund_id, attempt = marks(self.metadata(refund))
        facts = Facts(
            gateway_refund_id=text(refund, "id"),
            amount_cents=amount(refund),
            currency=currency(refund),
            provider_payment_id=text(refund, "payment_id"),
            refund_id=refund_id,
            attempt=attempt,
            reference=reference(refund),
        )
        match text(refund, "status"):
            case "processed":
                return facts, Processed(facts)
            case "pending":
                return facts, Pending(facts)
            case "failed":
                return facts, Rejected("failed", "Razorpay failed the refund: the money is back in the account", facts)
            case other:
                raise NewStatus(f"a refund with the status {other}")

    def metadata(self, refund: Object) -> Object:
        return part(refund, "notes") if refund.get("notes") else {}  # an empty one comes as a list

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str]) -> GatewayNotice:
        given = {name.lower(): value for name, value in headers.items()}
        if not self.webhook_secrets:
            raise BadSignature("No webhook of Razorpay can be checked: set RAZORPAY_WEBHOOK_SECRET")
        signatures.check(raw, [given.get("x-razorpay-signature", "")], self.webhook_secrets)
        # Without its id, an event is known again by its bytes.
        event_id = given.get("x-razorpay-event-id") or hashlib.sha256(raw).hexdigest()
        try:
            event = read_object(raw)
            kind = text(event, "event", 100)
            refund = part(part(part(event, "payload"), "refund"), "entity") if kind in REFUND_EVENTS else None
            return self.notice(text({"x-razorpay-event-id": event_id}, "x-razorpay-event-id"), kind, refund)
        except Unreadable as error:
            raise Invalid(f"The webhook is signed but cannot be read: {error}") from None


def error_in(body: Object) -> tuple[str | None, str]:
    error = body.get("error")
    if not isinstance(error, dict):
        return None, ""
    return text_or_none(error, "code", 100), text_or_none(error, "description", 500) or "Razorpay gave no reason"


def reference(refund: Object) -> str | None:
    """The bank's number for the refund, by whichever name this bank gives it."""
    told = refund.get("acquirer_data")
    if not isinstance(told, dict):
        return None
    return next((number for name in ("arn", "rrn", "utr") if (number := text_or_none(told, name))), None)
