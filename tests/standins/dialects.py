"""How Stripe and Razorpay each write requests, refunds, refusals and webhooks."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from urllib.parse import parse_qsl

from tests.standins.books import Books, Refund, TooMuch

STRIPE_KEY = "sk_test_standin"
RAZORPAY_KEY_ID = "rzp_test_standin"
RAZORPAY_KEY_SECRET = "standin-secret"
WEBHOOK_SECRETS = {"stripe": "whsec_standin", "razorpay": "standin-webhook-secret"}

Said = tuple[int, dict[str, object]]


@dataclass(frozen=True)
class Ask:
    """One call, understood: to make a refund, to list those of a payment, or to show one."""

    what: str  # create | list | get
    payment: str = ""
    amount: int | None = None
    refund_id: str = ""
    key: str = ""
    marks: dict[str, str] = field(default_factory=dict)
    receipt: str | None = None
    count: int = 10
    after: str | int = ""
    since: int | None = None


class Refused(Exception):
    def __init__(self, status: int, body: dict[str, object]):
        super().__init__(status, body)
        self.status, self.body = status, body


class Stripe:
    provider, prefix = "stripe", "re"
    statuses = {"done": "succeeded", "pending": "pending", "failed": "failed"}

    def authorised(self, headers: Mapping[str, str]) -> bool:
        return headers.get("Authorization") == f"Bearer {STRIPE_KEY}"

    def read(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: bytes) -> Ask:
        if (method, path) == ("POST", "/v1/refunds"):
            return self.read_create(headers, body)
        if (method, path) == ("GET", "/v1/refunds"):
            limit = int(query.get("limit", 10))
            if not 1 <= limit <= 100:
                raise self.refused(400, "parameter_invalid_integer", "limit must be from 1 to 100")
            payment = query.get("payment_intent") or query.get("charge", "")
            if not payment:
                since = int(query.get("created[gte]", 0))
                return Ask("list", count=limit, after=query.get("starting_after", ""), since=since)
            return Ask("list", payment=payment, count=limit, after=query.get("starting_after", ""))
        if method == "GET" and (match := re.fullmatch(r"/v1/refunds/([^/]+)", path)):
            return Ask("get", refund_id=match[1])
        raise self.refused(404, None, f"Unrecognized request URL ({method}: {path})")

    def read_create(self, headers: Mapping[str, str], body: bytes) -> Ask:
        if headers.get("Content-Type") != "application/x-www-form-urlencoded":
            raise self.refused(400, None, "Invalid content type")
        fields = dict(parse_qsl(body.decode(), strict_parsing=True))
        marks = {name[9:-1]: value for name, value in fields.items() if re.fullmatch(r"metadata\[\w+\]", name)}
        for name in fields:
            if name not in ("payment_intent", "charge", "amount", "reason") and name[9:-1] not in marks:
                raise self.refused(400, "parameter_unknown", f"Received unknown parameter: {name}")
        if ("payment_intent" in fields) == ("charge" in fields):
            raise self.refused(400, "parameter_missing", "One of charge and payment_intent must be given")
        amount = fields.get("amount")
        if amount is not None and not re.fullmatch(r"[1-9][0-9]*", amount):
            raise self.refused(400, "parameter_invalid_integer", f"Invalid integer: {amount}")
        payment = fields.get("payment_intent") or fields["charge"]
        if not payment.startswith("pi_" if "payment_intent" in fields else ("ch_", "py_")):
            raise self.refused(404, "resource_missing", f"No such charge: '{payment}'")
        return Ask("create", payment=payment, amount=int(amount) if amount else None, key=headers.get("Idempotency-Key", ""), marks=marks)

    def show(self, refund: Refund) -> dict[str, object]:
        status = self.statuses.get(refund.status(), refund.status())
        intent, charge = refund.payment, f"ch_{refund.payment[3:]}"
        if not intent.startswith("pi_"):
            intent, charge = f"pi_{refund.payment[3:]}", refund.payment
        shown: dict[str, object] = {
            "id": refund.id,
            "object": "refund",
            "amount": refund.amount,
            "balance_transaction": f"txn_{refund.id[3:]}",
            "charge": charge,
            "created": int(refund.created),
            "currency": refund.currency.lower(),
            "destination_details": {"card": {"reference": f"7{refund.id[3:13]}", "type": "refund"}, "type": "card"},
            "metadata": refund.marks,
            "payment_intent": intent,
            "reason": None,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": status,
            "transfer_reversal": None,
        }
        if status == "pending":
            shown["pending_reason"] = "processing"
        if status == "failed":
            shown |= {"failure_reason": "expired_or_canceled_card", "failure_balance_transaction": f"txn_f{refund.id[3:]}"}
        return shown

    def page(self, ask: Ask, refunds: list[Refund]) -> dict[str, object]:
        ids = [refund.id for refund in refunds]
        start = ids.index(str(ask.after)) + 1 if ask.after else 0
        shown = refunds[start : start + ask.count]
        return {
            "object": "list",
            "url": "/v1/refunds",
            "has_more": start + ask.count < len(refunds),
            "data": [self.show(refund) for refund in shown],
        }

    def refused(self, status: int, code: str | None, message: str, kind: str = "invalid_request_error") -> Refused:
        error: dict[str, object] = {"type": kind, "message": message}
        if code:
            error["code"] = code
        return Refused(status, {"error": error})

    def too_much(self, books: Books, ask: Ask, error: TooMuch) -> Refused:
        if error.left == 0:
            return self.refused(400, "charge_already_refunded", f"Charge {ask.payment} has already been refunded.")
        message = f"Refund amount ({ask.amount}) is greater than unrefunded amount on charge ({error.left})"
        return self.refused(400, None, message)

    def no_such_payment(self, payment: str) -> Refused:
        return self.refused(404, "resource_missing", f"No such payment_intent: '{payment}'")

    def no_such_refund(self, refund_id: str) -> Refused:
        return self.refused(404, "resource_missing", f"No such refund: '{refund_id}'")

    def declined(self, code: str, message: str) -> Said:
        return 402, {"error": {"type": "invalid_request_error", "code": code, "message": message}}

    def trouble(self, name: str) -> Said:
        status, kind, code, message = {
            "error": (500, "api_error", None, "An unknown error occurred"),
            "unauthorized": (401, "invalid_request_error", None, "Invalid API Key provided: sk_****"),
            "forbidden": (403, "invalid_request_error", None, "This key may not make refunds"),
            "too_many": (429, "invalid_request_error", "rate_limit", "Too many requests"),
            "conflict_in_progress": (409, "invalid_request_error", "idempotency_key_in_use", "Another request with this key is at work"),
            "conflict_other_body": (
                400, "idempotency_error", None, "Keys for idempotent requests can only be used with the same parameters."
            ),
            "conflict_unknown": (409, "invalid_request_error", None, "Something else is going on"),
        }[name]  # fmt: skip
        return status, {"error": {"type": kind, "message": message} | ({"code": code} if code else {})}

    def event(self, kind: str, refund: dict[str, object], event_id: str) -> dict[str, object]:
        about: object = refund
        if kind == "charge.refunded":
            about = {
                "id": refund["charge"],
                "object": "charge",
                "amount_refunded": refund["amount"],
                "refunds": {"object": "list", "data": [refund]},
            }
        return {
            "id": event_id, "object": "event", "type": kind, "created": int(time.time()), "livemode": False, "data": {"object": about}
        }  # fmt: skip

    def new_event_id(self) -> str:
        return f"evt_{token_hex(8)}"

    def events_of(self, refund: Refund) -> str:
        return "refund.failed" if refund.status() == "failed" else "refund.updated"

    def sign(self, body: bytes, secret: str, event_id: str, at: float) -> dict[str, str]:
        moment = str(int(at))
        digest = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={moment},v1={digest}", "Content-Type": "application/json; charset=utf-8"}


class Razorpay:
    provider, prefix = "razorpay", "rfnd"
    statuses = {"done": "processed", "pending": "pending", "failed": "failed"}

    def authorised(self, headers: Mapping[str, str]) -> bool:
        right = base64.b64encode(f"{RAZORPAY_KEY_ID}:{RAZORPAY_KEY_SECRET}".encode()).decode()
        return headers.get("Authorization") == f"Basic {right}"

    def read(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: bytes) -> Ask:
        if method == "POST" and (match := re.fullmatch(r"/v1/payments/([^/]+)/refund", path)):
            return self.read_create(match[1], headers, body)
        if method == "GET" and (match := re.fullmatch(r"/v1/payments/([^/]+)/refunds", path)):
            return Ask("list", payment=match[1], count=min(int(query.get("count", 10)), 100), after=int(query.get("skip", 0)))
        if (method, path) == ("GET", "/v1/refunds"):
            count, skip, since = min(int(query.get("count", 10)), 100), int(query.get("skip", 0)), int(query.get("from", 0))
            return Ask("list", count=count, after=skip, since=since)
        if method == "GET" and (match := re.fullmatch(r"/v1/refunds/([^/]+)", path)):
            return Ask("get", refund_id=match[1])
        raise self.refused(400, "The requested URL was not found on the server.")

    def read_create(self, payment: str, headers: Mapping[str, str], body: bytes) -> Ask:
        key = headers.get("X-Refund-Idempotency", "")
        if key and not re.fullmatch(r"[A-Za-z0-9_-]{10,}", key):
            raise self.refused(400, "The idempotency key is not valid")
        try:
            fields = json.loads(body)
        except ValueError:
            raise self.refused(500, "Failed to parse request body", "SERVER_ERROR") from None
        unknown = set(fields) - {"amount", "speed", "receipt", "notes", "reverse_all"}
        if unknown:
            raise self.refused(400, f"{', '.join(sorted(unknown))} is/are not required and should not be sent")
        if not re.fullmatch(r"pay_[A-Za-z0-9_-]+", payment):
            raise self.refused(400, f"{payment} is not a valid id")
        if len(fields.get("notes", {})) > 15 or fields.get("speed") not in ("normal", "optimum", None):
            raise self.refused(400, "The speed or the notes are not valid")
        amount = fields.get("amount")
        if amount is not None and (type(amount) is not int or amount < 100):
            raise self.refused(400, "The amount must be at least INR 1.00")
        return Ask("create", payment=payment, amount=amount, key=key, marks=fields.get("notes", {}), receipt=fields.get("receipt"))

    def show(self, refund: Refund) -> dict[str, object]:
        status = self.statuses.get(refund.status(), refund.status())
        return {
            "id": refund.id,
            "entity": "refund",
            "amount": refund.amount,
            "currency": refund.currency,
            "payment_id": refund.payment,
            "notes": refund.marks or [],
            "receipt": refund.receipt,
            "acquirer_data": {"arn": f"10{refund.id[5:15]}" if status == "processed" else None},
            "created_at": int(refund.created),
            "batch_id": None,
            "status": status,
            "speed_processed": "normal",
            "speed_requested": "normal",
        }

    def page(self, ask: Ask, refunds: list[Refund]) -> dict[str, object]:
        shown = refunds[int(ask.after) : int(ask.after) + ask.count]
        return {"entity": "collection", "count": len(shown), "items": [self.show(refund) for refund in shown]}

    def refused(self, status: int, description: str, code: str = "BAD_REQUEST_ERROR") -> Refused:
        error = {
            "code": code,
            "description": description,
            "source": "business",
            "step": "payment_initiation",
            "reason": "input_validation_failed",
        }
        return Refused(status, {"error": {**error, "metadata": {}}})

    def too_much(self, books: Books, ask: Ask, error: TooMuch) -> Refused:
        if error.left == 0:
            return self.refused(400, "The payment has been fully refunded already")
        return self.refused(400, "The refund amount provided is greater than amount captured")

    def no_such_payment(self, payment: str) -> Refused:
        return self.refused(400, "The id provided does not exist")

    def no_such_refund(self, refund_id: str) -> Refused:
        return self.refused(400, "The id provided does not exist")

    def declined(self, code: str, message: str) -> Said:
        return 400, {"error": {"code": "BAD_REQUEST_ERROR", "description": message, "source": "NA", "step": "NA", "reason": "NA"}}

    def trouble(self, name: str) -> Said:
        status, code, description = {
            "error": (500, "SERVER_ERROR", "Failed to fetch idempotency record"),
            "unauthorized": (401, "BAD_REQUEST_ERROR", "The api key provided is invalid"),
            "forbidden": (403, "BAD_REQUEST_ERROR", "Access is denied"),
            "too_many": (429, "BAD_REQUEST_ERROR", "Request failed. Please try after sometime."),
            "conflict_in_progress": (
                409, "BAD_REQUEST_ERROR", "Another request with the same idempotency key is still in progress."
            ),
            "conflict_other_body": (
                409, "BAD_REQUEST_ERROR", "Different request with the same idempotency key has already been processed."
            ),
            "conflict_unknown": (409, "BAD_REQUEST_ERROR", "Something else is going on"),
        }[name]  # fmt: skip
        return status, {"error": {"code": code, "description": description, "source": "NA", "step": "NA", "reason": "NA"}}

    def event(self, kind: str, refund: dict[str, object], event_id: str) -> dict[str, object]:
        payment = {
            "id": refund["payment_id"],
            "entity": "payment",
            "amount_refunded": refund["amount"],
            "captured": True,
            "email": "anna@example.com",
        }
        return {
            "entity": "event",
            "account_id": "acc_standin",
            "event": kind,
            "contains": ["refund", "payment"],
            "payload": {"refund": {"entity": refund}, "payment": {"entity": payment}},
            "created_at": int(time.time()),
        }

    def new_event_id(self) -> str:
        return token_hex(7)

    def events_of(self, refund: Refund) -> str:
        return {"failed": "refund.failed", "pending": "refund.created"}.get(refund.status(), "refund.processed")

    def sign(self, body: bytes, secret: str, event_id: str, at: float) -> dict[str, str]:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Razorpay-Signature": digest, "x-razorpay-event-id": event_id, "Content-Type": "application/json"}


Dialect = Stripe | Razorpay
DIALECTS: dict[str, Dialect] = {"stripe": Stripe(), "razorpay": Razorpay()}


def dialect_of(path: str, headers: Mapping[str, str]) -> Dialect:
    """Both live behind one address; only Razorpay has payments in its paths, its refunds are called rfnd_, and its key comes as Basic."""
    razorpay = path.startswith(("/v1/payments/", "/v1/refunds/rfnd_")) or headers.get("Authorization", "").startswith("Basic")
    return DIALECTS["razorpay" if razorpay else "stripe"]
