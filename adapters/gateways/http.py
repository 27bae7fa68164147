"""One bounded HTTP exchange with a payment gateway: in time, in size, and clear about whether anything was sent."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import httpx

from adapters.gateways.reading import Object, Unreadable, read_object

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
LARGEST_ANSWER = 1024 * 1024


class NotSent(Exception):
    """Not one byte of the request went out: no such host, no connection, no TLS."""


class NoAnswer(Exception):
    """The request may have arrived, and no usable answer came back."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # a name is found in any case
    body: Object | None  # None where the answer is not one JSON object


class Line:
    """A line to one gateway. Connections are kept between calls; any number of threads may call at once."""

    def __init__(self, base: str, timeout: float, headers: Mapping[str, str]):
        self.base = base
        self.timeout = timeout
        # An answer that was never compressed cannot unfold into more than its limit.
        self.headers = {"User-Agent": "admin-portal", "Accept": "application/json", "Accept-Encoding": "identity", **headers}
        self.lock = threading.Lock()
        self.client: httpx.Client | None = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        ends: float,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its answer before `ends` (of time.monotonic()). Raises NotSent or NoAnswer.

        The exchange has a thread of its own, because neither a slow name server nor an answer that comes byte by byte
        minds httpx's timeouts.
        """
        client = self.connected()
        try:
            request = client.build_request(method, self.base + path, content=content, params=params, headers=headers)
        except httpx.InvalidURL:
            raise NotSent("its address is not a URL") from None
        exchange = Exchange(client, request, self.timeout, ends)
        threading.Thread(target=exchange.run, name="gateway", daemon=True).start()
        return exchange.result()

    def connected(self) -> httpx.Client:
        """The client, made at the first call, so that a process may fork before it."""
        with self.lock:
            if self.client is None:
                self.client = httpx.Client(headers=self.headers, trust_env=False, follow_redirects=False)
                weakref.finalize(self, self.client.close)
            return self.client


@dataclass
class Exchange:
    client: httpx.Client
    request: httpx.Request
    timeout: float
    ends: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: bool = False
    given_up: bool = False
    answer: Future[Answer] = field(default_factory=Future)

    def run(self) -> None:
        try:
            self.answer.set_result(self.exchange())
        except Exception as error:  # noqa: BLE001 - it is raised again where the answer is waited for
            self.answer.set_exception(error)

    def exchange(self) -> Answer:
        left = max(self.ends - time.monotonic(), 0.001)
        times = httpx.Timeout(min(self.timeout, left), connect=min(CONNECT_SECONDS, left))
        self.request.extensions = {"timeout": times.as_dict(), "trace": self.watch}
        response = self.client.send(self.request, stream=True)
        try:
            return Answer(response.status_code, response.headers, as_object(self.read(response)))
        finally:
            response.close()

    def watch(self, event: str, info: object) -> None:
        """httpcore tells each step here before it takes it; the first byte of the request is the point of no return."""
        if event.endswith("send_request_headers.started"):
            with self.lock:
                if self.given_up or time.monotonic() > self.ends:
                    raise TimeoutError("given up before it was sent")
                self.sent = True

    def read(self, response: httpx.Response) -> bytes:
        raw = bytearray()
        for chunk in response.iter_raw():
            raw += chunk
            if len(raw) > LARGEST_ANSWER:
                raise NoAnswer(f"the answer is larger than {LARGEST_ANSWER} bytes")
            if time.monotonic() > self.ends:
                raise TimeoutError
        return bytes(raw)

    def result(self) -> Answer:
        try:
            return self.answer.result(max(self.ends - time.monotonic(), 0))
        except NoAnswer:
            raise
        except Exception as error:
            with self.lock:
                self.given_up = True
            logger.warning("%s failed: %r", self.request.method, error)
            raise (NoAnswer if self.sent else NotSent)(in_words(error, self.sent)) from error


def as_object(raw: bytes) -> Object | None:
    try:
        return read_object(raw)
    except Unreadable:
        return None


def in_words(error: Exception, sent: bool) -> str:
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return "no answer in time" if sent else "no connection in time"
    if sent:
        return "the connection broke before the answer was there"
    return "there is no connection"
