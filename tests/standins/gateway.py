"""The HTTP server that plays Stripe and Razorpay."""

import json
import os
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlsplit

from tests.standins import dialects
from tests.standins.books import Books, InProgress, OtherBody, Refund, TooMuch, UnknownPayment
from tests.standins.dialects import DIALECTS, WEBHOOK_SECRETS, Ask, Dialect, Refused, dialect_of
from tests.standins.faults import Fault, Faults

PAGE = b"<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"


@dataclass(frozen=True)
class Request:
    """One call that arrived, and the fault it met."""

    provider: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    fault: str
    connection: tuple[str, int]


@dataclass(frozen=True)
class Webhook:
    """One event, signed: to be sent, or handed to a test client."""

    event_id: str
    body: bytes
    headers: dict[str, str]


@dataclass
class GatewayStandIn:
    """Stripe and Razorpay on one loopback address, with one set of books.

    `ledger_file` keeps every refund on disk before it is answered. `captured` is how much of a payment can be given back where
    nobody registered it (None: no limit), `currency` what it was paid in.
    """

    port: int = 0
    ledger_file: Path | None = None
    captured: int | None = None
    currency: str = "INR"
    only_registered: bool = False
    honour_keys: bool = True
    key_life: float | None = None
    look_up_behind: float = 0.0  # seconds until a new refund is seen by look-ups
    webhook_url: dict[str, str] = field(default_factory=dict)  # per provider, for the fault webhook_first

    def __post_init__(self):
        self.books = Books(
            self.ledger_file, self.captured, self.currency, self.only_registered, self.honour_keys, self.key_life
        )  # fmt: skip
        self.faults = Faults()
        self.seen: list[Request] = []
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()

    def start(self) -> "GatewayStandIn":
        self.server = Server(("127.0.0.1", self.port), self)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, name="gateway stand-in", daemon=True
        )
        self.thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "GatewayStandIn":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The settings that point the portal here."""
        return {
            "STRIPE_API_BASE": self.url,
            "STRIPE_API_KEY": dialects.STRIPE_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRETS["stripe"],
            "RAZORPAY_API_BASE": self.url,
            "RAZORPAY_KEY_ID": dialects.RAZORPAY_KEY_ID,
            "RAZORPAY_KEY_SECRET": dialects.RAZORPAY_KEY_SECRET,
            "RAZORPAY_WEBHOOK_SECRET": WEBHOOK_SECRETS["razorpay"],
        }

    def ledger(self) -> list[Refund]:
        """Every refund that was made, oldest first."""
        return list(self.books.refunds)

    def requests(self) -> list[Request]:
        """Every call that arrived, oldest first."""
        return list(self.seen)

    def fault(self, *names: str, **options: object) -> None:
        """What goes wrong with the next calls, one after the other; see faults.py."""
        self.faults.add(*(Fault(name, **options) for name in names))  # type: ignore[arg-type]

    def fault_at_random(self, share: float, seed: int = 1, seconds: float = 1.0) -> None:
        self.faults.at_random(share, seed, seconds)

    def no_faults(self) -> None:
        self.faults.clear()

    def register(self, payment: str, captured: int, currency: str = "INR") -> None:
        self.books.register(payment, captured, currency)

    def make(self, provider: str, payment: str, amount: int, *, marks: dict[str, str] | None = None, status: str = "done") -> Refund:
        """A refund that the portal did not order, as somebody makes one in the gateway's dashboard."""
        return self.books.make(provider, DIALECTS[provider].prefix, payment, amount, marks=marks, schedule=[(0, status)])

    def become(self, refund_id: str, status: str) -> Refund:
        """`done`, `failed` or `pending` from now on."""
        return self.books.become(refund_id, status)

    def webhook(
        self,
        refund_id: str,
        event: str | None = None,
        *,
        secret: str | None = None,
        event_id: str | None = None,
        at: float | None = None,
        changed: dict[str, object] | None = None,
    ) -> Webhook:
        """An event about a refund as it is now (`changed`: but for these fields), signed with `secret` at `at`."""
        refund = self.books.one(refund_id)
        assert refund is not None, f"there is no refund {refund_id}"
        dialect = DIALECTS[refund.provider]
        event_id = event_id or dialect.new_event_id()
        about = {**dialect.show(refund), **(changed or {})}
        body = json.dumps(dialect.event(event or dialect.events_of(refund), about, event_id)).encode()
        moment = time.time() if at is None else at
        return Webhook(event_id, body, dialect.sign(body, secret or WEBHOOK_SECRETS[refund.provider], event_id, moment))

    def deliver_webhook(self, url: str, refund_id: str, event: str | None = None, **options: object) -> int:
        """Send an event; answers the status it met."""
        return self.deliver(url, self.webhook(refund_id, event, **options))  # type: ignore[arg-type]

    def deliver(self, url: str, webhook: Webhook) -> int:
        request = urllib.request.Request(url, webhook.body, webhook.headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return int(response.status)
        except HTTPError as error:
            with error:
                return error.code


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], standin: GatewayStandIn):
        self.standin = standin
        super().__init__(address, Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hangs up is no error here."""


class Drop(Exception):
    """Reset the connection."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: Server

    def setup(self) -> None:
        super().setup()
        self.standin = self.server.standin
        self.standin.connections.add(self.connection)

    def finish(self) -> None:
        self.standin.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed; GatewayStandIn.requests() has it all."""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        try:
            if url.path.startswith("/__"):
                self.control(url.path, json.loads(body or b"{}"))
            else:
                self.play(dialect_of(url.path, self.headers), url.path, query, body)
        except Drop:
            self.reset()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def play(self, dialect: Dialect, path: str, query: dict[str, str], body: bytes) -> None:
        look_up = self.command == "GET"
        fault = self.standin.faults.next(look_up)
        self.standin.seen.append(
            Request(dialect.provider, self.command, path, query, dict(self.headers), body, fault.name, self.client_address)
        )
        try:
            if not dialect.authorised(self.headers):
                raise Refused(*dialect.trouble("unauthorized"))
            ask = dialect.read(self.command, path, query, self.headers, body)
            if look_up:
                self.look_up(dialect, ask, fault)
            else:
                self.create(dialect, ask, fault, path.encode() + b"\n" + body)
        except Refused as refused:
            self.say(refused.status, refused.body)

    # Look-ups

    def look_up(self, dialect: Dialect, ask: Ask, fault: Fault) -> None:
        match fault.name:
            case "look_up_down":
                raise Refused(*dialect.trouble("error"))
            case "look_up_html":
                return self.send(502, PAGE, "text/html")
            case "look_up_reset":
                raise Drop
            case "look_up_hang":
                return self.hang(fault.seconds)
            case "look_up_garbage":
                return self.send(200, b'{"data": [')
            case "look_up_too_many":
                return self.too_many(dialect, fault)
            case "look_up_unauthorized":
                raise Refused(*dialect.trouble("unauthorized"))
        books = self.standin.books
        made = books.of_payment(ask.payment) if ask.since is None else books.made_since(dialect.provider, ask.since)
        seen = [refund for refund in made if time.time() - refund.created >= self.standin.look_up_behind]
        if ask.what == "list":
            return self.say(200, dialect.page(ask, seen))
        refund = self.standin.books.one(ask.refund_id)
        if refund is None or refund.provider != dialect.provider:
            raise dialect.no_such_refund(ask.refund_id)
        return self.say(200, dialect.show(refund))

    # Creating

    def create(self, dialect: Dialect, ask: Ask, fault: Fault, fingerprint: bytes) -> None:
        books = self.standin.books
        match fault.name:
            case "reset":
                raise Drop
            case "bad_gateway":
                return self.send(502, PAGE, "text/html")
            case "redirect":
                return self.send(302, b"", location=self.standin.url + "/v1/refunds/elsewhere")
            case "too_many":
                return self.too_many(dialect, fault)
            case "error_before_commit":
                raise Refused(*dialect.trouble("error"))
            case "unauthorized" | "forbidden" | "conflict_in_progress" | "conflict_other_body" | "conflict_unknown":
                raise Refused(*dialect.trouble(fault.name))
            case "key_expired":
                books.dropped(dialect.provider, ask.key)
        try:
            saved = books.begin(dialect.provider, ask.key, fingerprint)
        except InProgress:
            raise Refused(*dialect.trouble("conflict_in_progress")) from None
        except OtherBody:
            raise Refused(*dialect.trouble("conflict_other_body")) from None
        if saved is not None:
            assert saved.status is not None
            return self.send(saved.status, saved.body, replayed=True)
        if fault.name == "hang":
            self.standin.stopping.wait(fault.seconds)
            books.dropped(dialect.provider, ask.key)
            self.close_connection = True
            return None
        if fault.name in ("declined", "sticky_error"):
            status, said = dialect.trouble("error") if fault.name == "sticky_error" else dialect.declined(fault.code, fault.message)
            books.answered(dialect.provider, ask.key, status, json.dumps(said).encode())
            return self.say(status, said)
        if fault.name == "late":
            threading.Thread(target=self.commit_late, args=(dialect, ask, fault, fingerprint), daemon=True).start()
            return self.send(504, PAGE, "text/html")
        return self.tell(dialect, self.commit(dialect, ask, fault, fingerprint), fault)

    def commit(self, dialect: Dialect, ask: Ask, fault: Fault, fingerprint: bytes) -> Refund:
        schedule = {
            "pending": [(0, "pending"), (fault.seconds, "done")],
            "pending_then_failed": [(0, "pending"), (fault.seconds, "failed")],
            "failed_later": [(0, "done"), (fault.seconds, "failed")],
            "failed": [(0, "failed")],
        }.get(fault.name, [(0, "done")])
        try:
            return self.standin.books.make(
                dialect.provider,
                dialect.prefix,
                ask.payment,
                ask.amount,
                key=ask.key,
                marks=ask.marks,
                receipt=ask.receipt,
                schedule=schedule,
                fingerprint=fingerprint,
                render=dialect.show,
            )
        except (TooMuch, UnknownPayment) as error:
            self.standin.books.dropped(dialect.provider, ask.key)
            if isinstance(error, TooMuch):
                raise dialect.too_much(self.standin.books, ask, error) from None
            raise dialect.no_such_payment(ask.payment) from None

    def commit_late(self, dialect: Dialect, ask: Ask, fault: Fault, fingerprint: bytes) -> None:
        self.standin.stopping.wait(fault.seconds)
        with suppress(Refused):
            self.commit(dialect, ask, fault, fingerprint)

    def tell(self, dialect: Dialect, refund: Refund, fault: Fault) -> None:
        """Answer with a refund that is in the books, or fail to."""
        shown = dialect.show(refund)
        match fault.name:
            case "commit_then_reset":
                raise Drop
            case "commit_then_hang":
                return self.hang(fault.seconds)
            case "error_after_commit":
                raise Refused(*dialect.trouble("error"))
            case "garbage":
                return self.send(200, b'{"id": "re_')
            case "not_an_object":
                return self.send(200, b"[]")
            case "huge":
                return self.send(200, json.dumps({**shown, "padding": "x" * 2_000_000}).encode())
            case "slow":
                self.standin.stopping.wait(fault.seconds)
            case "drip":
                return self.drip(json.dumps(shown).encode())
            case "wrong_amount":
                shown["amount"] = refund.amount + 1
            case "wrong_currency":
                shown["currency"] = "xts" if dialect.provider == "stripe" else "XTS"
            case "wrong_payment":
                for name in ("payment_intent", "charge", "payment_id"):
                    if name in shown:
                        shown[name] = f"{refund.payment}x"
            case "wrong_mark":
                name = "metadata" if dialect.provider == "stripe" else "notes"
                shown[name] = {**refund.marks, "refund_request_id": "00000000-0000-4000-8000-000000000000"}
            case "unknown_status":
                shown["status"] = "on_the_way"
            case "webhook_first":
                self.standin.deliver_webhook(self.standin.webhook_url[dialect.provider], refund.id)
        return self.say(200, shown)

    # Speaking

    def say(self, status: int, body: dict[str, object]) -> None:
        self.send(status, json.dumps(body).encode())

    def too_many(self, dialect: Dialect, fault: Fault) -> None:
        status, said = dialect.trouble("too_many")
        self.send(status, json.dumps(said).encode(), retry_after=f"{fault.seconds:g}")

    def send(
        self, status: int, body: bytes, kind: str = "application/json", *, replayed: bool = False, retry_after: str = "", location: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (("Retry-After", retry_after), ("Location", location), ("Idempotent-Replayed", "true" if replayed else "")):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang(self, seconds: float) -> None:
        self.standin.stopping.wait(seconds)
        self.close_connection = True

    def drip(self, body: bytes) -> None:
        """Slower in the whole than anybody waits, though never silent for long."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: ")
        for _ in body:
            self.wfile.write(b"x")
            if self.standin.stopping.wait(0.05):
                break
        self.close_connection = True

    def reset(self) -> None:
        """RST, not FIN: what a caller sees when a balancer drops it."""
        self.close_connection = True
        self.standin.connections.discard(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    # Control, for stand-ins in a process of their own

    def control(self, path: str, told: dict[str, object]) -> None:
        standin = self.standin
        if self.command == "GET":
            found: dict[str, object] = {
                "/__ledger": {"refunds": [refund.as_line() for refund in standin.ledger()]},
                "/__requests": {"requests": [{**asdict(request), "body": request.body.decode()} for request in standin.requests()]},
            }
            return self.say(200, found[path])  # type: ignore[arg-type]
        if path == "/__faults":
            self.set_faults(told)
        elif path == "/__payments":
            payments: Iterable[dict[str, object]] = told["payments"]  # type: ignore[assignment]
            for payment in payments:
                standin.register(str(payment["id"]), int(str(payment["captured"])), str(payment["currency"]))
        elif path == "/__become":
            standin.become(str(told["id"]), str(told["status"]))
        elif path == "/__webhook":
            return self.say(200, {"status": standin.deliver_webhook(**told)})  # type: ignore[arg-type]
        else:
            return self.say(404, {"error": f"there is no {path}"})
        return self.say(200, {"ok": True})

    def set_faults(self, told: dict[str, object]) -> None:
        """{"script": [...]}: names, or objects as Fault; {"random": 0.3, "seed": 1, "seconds": 1}; {"behind": 5}; {}: no faults."""
        faults = self.standin.faults
        if not told:
            faults.clear()
        if "script" in told:
            faults.add(*(Fault(item) if isinstance(item, str) else Fault(**item) for item in told["script"]))  # type: ignore[attr-defined]
        if "random" in told:
            faults.at_random(float(str(told["random"])), int(str(told.get("seed", 1))), float(str(told.get("seconds", 1))))
        if "behind" in told:
            self.standin.look_up_behind = float(str(told["behind"]))
