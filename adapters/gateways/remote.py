"""What Stripe and Razorpay have in common: how a verdict is reached, and what makes an answer worth believing."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from adapters.gateways.http import Answer, Line, NoAnswer, NotSent
from adapters.gateways.reading import Object, Unreadable, marks
from domain.refunds.gateway import (
    Absent,
    Facts,
    Finding,
    GatewayNotice,
    Order,
    Pending,
    Processed,
    Rejected,
    RetryLater,
    Unknown,
    Verdict,
)

Outcome = Processed | Pending | Rejected

REACHED_AGAIN_AFTER = 5.0
MENDED_AFTER = 60.0
MOST_PAGES = 200
MOST_PAGES_OF_ALL = 5_000
MOST_TELLING_FIRST = [Processed, Pending, Unknown, Rejected]  # of several refunds under one mark, one that moved money


@dataclass(frozen=True)
class Refused:
    """Declined, though perhaps only because this very refund was made before: `declined` where a look-up finds nothing of ours."""

    declined: Rejected


class NewStatus(Unreadable):
    """A refund in a status that was not known when this was written."""


class LookUpEnded(Exception):
    """The look-up cannot go on; `finding` is what it comes to."""

    def __init__(self, finding: Finding):
        super().__init__(finding)
        self.finding = finding


class RemoteGateway(ABC):
    """One gateway over HTTP. The subclasses know its addresses, its words and its refund object."""

    title: str
    payment_ids: re.Pattern[str]
    payment_ids_look_like: str

    def __init__(self, line: Line | None, missing: str):
        self.line = line  # None where the keys are not set
        self.missing = missing

    def create(self, order: Order, *, deadline: float | None = None) -> Verdict:
        if self.line is None:
            return self.not_configured()
        if not self.payment_ids.fullmatch(order.provider_payment_id):
            return self.no_such_payment_id()
        until = ends(self.line, deadline)
        try:
            answer = self.send(self.line, order, until)
        except NotSent as error:
            return RetryLater(REACHED_AGAIN_AFTER, f"{self.title} could not be reached: {error}")
        except NoAnswer as error:
            return Unknown(f"{self.title} was asked, but {error}")
        verdict = self.turned_away(answer) or self.judge(answer, order)
        if isinstance(verdict, Refused):
            return self.unless_found(verdict.declined, order, until)
        return verdict

    def judge(self, answer: Answer, order: Order) -> Verdict | Refused:
        if answer.status >= 500 or answer.body is None:
            # Stripe keeps an error of its own under the key and says so when it gives it again.
            kept = answer.headers.get("Idempotent-Replayed") == "true" and answer.status >= 500
            return Unknown(f"{self.title} answered {answer.status} without saying what became of the refund", key_spent=kept)
        if not 200 <= answer.status < 300:
            return self.refusal(answer.status, answer.body)
        return self.checked(answer.body, order)

    def unless_found(self, declined: Rejected, order: Order, until: float) -> Verdict:
        finding = self.find(order, deadline=until - time.monotonic())
        if isinstance(finding, Absent):
            return declined
        if isinstance(finding, RetryLater):
            return Unknown(f"{declined.message} {finding.message}")
        return finding

    def find(self, order: Order, *, deadline: float | None = None) -> Finding:
        if self.line is None:
            return self.not_configured()
        if not self.payment_ids.fullmatch(order.provider_payment_id):
            return Absent()
        found: list[Finding] = []
        try:
            for refund in self.refunds_of(self.line, order, ends(self.line, deadline)):
                refund_id, attempt = marks(self.metadata(refund))
                if refund_id == order.refund_id and (order.lost or attempt == order.attempt):
                    found.append(self.checked(refund, order))
        except LookUpEnded as ended:
            return ended.finding
        except Unreadable as error:
            return Unknown(f"{self.title} was asked for the payment's refunds, but {error}")
        return min(found, key=lambda finding: MOST_TELLING_FIRST.index(type(finding)), default=Absent())

    def made_since(self, moment: datetime) -> Iterator[Outcome | Unknown | RetryLater]:
        if self.line is None:
            yield self.not_configured()
            return
        try:
            for refund in self.refunds_since(self.line, int(moment.timestamp())):
                yield self.read(refund)[1]
        except LookUpEnded as ended:
            told = ended.finding
            yield told if isinstance(told, Unknown | RetryLater) else Unknown(f"{self.title} does not list what it has refunded")
        except Unreadable as error:
            yield Unknown(f"{self.title} was asked for its refunds, but {error}")

    def get(self, gateway_refund_id: str, order: Order, *, deadline: float | None = None) -> Finding:
        if self.line is None:
            return self.not_configured()
        try:
            return self.checked(self.look(self.line, self.refund_path(gateway_refund_id), {}, ends(self.line, deadline)), order)
        except LookUpEnded as ended:
            return ended.finding

    def look(self, line: Line, path: str, params: dict[str, str], ends: float) -> Object:
        """One reading call. Raises LookUpEnded with Absent where the gateway knows no such thing."""
        try:
            answer = line.ask("GET", path, params=params, ends=ends)
        except (NotSent, NoAnswer) as error:
            raise LookUpEnded(Unknown(f"{self.title} was asked for the refund, but {error}")) from None
        if away := self.turned_away(answer):
            raise LookUpEnded(away)
        if answer.body is not None and 200 <= answer.status < 300:
            return answer.body
        if answer.body is not None and self.knows_no_such(answer.status, answer.body):
            raise LookUpEnded(Absent())
        raise LookUpEnded(Unknown(f"{self.title} was asked for the refund and answered {answer.status}"))

    def checked(self, refund: Object, order: Order) -> Outcome | Unknown:
        """What a refund object says, once it is certain that it is the refund this order is for."""
        try:
            facts, outcome = self.read(refund)
        except Unreadable as error:
            return Unknown(f"{self.title} answered something unexpected: {error}")
        for what, same in (
            ("amount", order.lost or facts.amount_cents == order.amount_cents),
            ("currency", facts.currency == order.currency),
            ("payment", facts.is_for(order.provider_payment_id)),
            ("mark", facts.refund_id in (None, order.refund_id) and (order.lost or facts.attempt in (None, order.attempt))),
        ):
            if not same:
                return Unknown(f"{self.title}'s {facts.gateway_refund_id} has another {what} than this refund: a person must look")
        return replace(outcome, facts=replace(facts, provider_payment_id=order.provider_payment_id, other_payment_id=None))

    def turned_away(self, answer: Answer) -> RetryLater | None:
        """Refused at the door, before the request was looked at."""
        if answer.status in (401, 403):
            return RetryLater(MENDED_AFTER, f"{self.title} does not accept our key: check {self.missing}", alarm=True)
        if answer.status == 429:
            return RetryLater(retry_after(answer.headers.get("Retry-After", "")), f"{self.title} asks us to slow down")
        return None

    def not_configured(self) -> RetryLater:
        return RetryLater(MENDED_AFTER, f"This payment is at {self.title}, and {self.missing} is not set", alarm=True)

    def no_such_payment_id(self) -> Rejected:
        return Rejected("invalid_payment_id", f"{self.title} knows payments as {self.payment_ids_look_like}; this one has another id")

    def notice(self, event_id: str, kind: str, refund: Object | None) -> GatewayNotice:
        """A webhook's event. Of its body only what the portal needs is kept: the rest may be personal."""
        payload: Object = {"id": event_id, "type": kind, "refund": None}
        if refund is None:
            return GatewayNotice(event_id, kind, None, payload)
        try:
            facts, outcome = self.read(refund)
        except NewStatus:
            return GatewayNotice(event_id, kind, None, payload)
        known = {name: value if isinstance(value, int) else value and str(value) for name, value in asdict(facts).items()}
        payload["refund"] = {"outcome": type(outcome).__name__.lower(), **known}
        return GatewayNotice(event_id, kind, outcome, payload)

    @abstractmethod
    def send(self, line: Line, order: Order, ends: float) -> Answer: ...

    @abstractmethod
    def refusal(self, status: int, body: Object) -> Verdict | Refused:
        """What an answer below 500 that is no success says, 401, 403 and 429 apart."""

    @abstractmethod
    def read(self, refund: Object) -> tuple[Facts, Outcome]:
        """The gateway's refund object, as facts and as what became of it. Raises Unreadable."""

    @abstractmethod
    def metadata(self, refund: Object) -> Object: ...

    @abstractmethod
    def refund_path(self, gateway_refund_id: str) -> str: ...

    @abstractmethod
    def refunds_of(self, line: Line, order: Order, ends: float) -> Iterator[Object]:
        """Every refund of the order's payment, over all pages. Raises LookUpEnded or Unreadable."""

    @abstractmethod
    def refunds_since(self, line: Line, moment: int) -> Iterator[Object]:
        """Every refund made since these seconds of the epoch, over all pages. Raises LookUpEnded or Unreadable."""

    @abstractmethod
    def knows_no_such(self, status: int, body: Object) -> bool: ...


def ends(line: Line, deadline: float | None) -> float:
    return time.monotonic() + (line.timeout if deadline is None else deadline)


def retry_after(header: str) -> float:
    """Seconds from a Retry-After header, a number or a date, kept between 1 and 300; 5 where it says nothing."""
    try:
        seconds = float(header) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", header) else seconds_until(header)
    except (TypeError, ValueError):
        seconds = REACHED_AGAIN_AFTER
    return min(max(seconds, 1.0), 300.0)


def seconds_until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
