"""The embedded gateway: it behaves like a real one, keeps its own books in a file of its own, and moves no money.

The ledger is `sandbox-gateway.db` in the data directory, outside the portal's database, so a restored or lost database
does not change what was paid. Any number of processes may use it at once. A key sent twice with the same body gives the
same refund; with another body it is refused.

Some amounts, in minor units of any currency, make it misbehave:

    99001  declined: the card's account is closed
    99002  takes the money and loses the answer; a look-up finds the refund
    99003  accepted, and final 20 seconds later
    99004  done, and failed by the bank 60 seconds later
    99005  cannot be reached for the first 20 seconds after it was first asked, then works
    99006  takes the money at once and answers 3 seconds late
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from uuid import UUID

from domain.refunds.gateway import (
    Absent,
    BadSignature,
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

CARD_CLOSED = 99001
LOST_ANSWER = 99002
PENDING = 99003
FAILED_LATER = 99004
OUT_OF_REACH = 99005
LATE_ANSWER = 99006

FINAL_AFTER = 20.0
FAILS_AFTER = 60.0
OUT_OF_REACH_FOR = 20.0
LATE_BY = 3.0

LEDGER = """
CREATE TABLE IF NOT EXISTS first_asked (key TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunds (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    refund_request_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    payment_id TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_refunds_request ON refunds (refund_request_id, attempt);
CREATE INDEX IF NOT EXISTS ix_refunds_payment ON refunds (payment_id);
"""


@dataclass(frozen=True)
class LedgerLine:
    id: str
    key: str
    body: bytes
    refund_request_id: str
    attempt: int
    payment_id: str
    amount: int
    currency: str
    created_at: float


class SandboxGateway:
    name = "sandbox"

    def __init__(self, ledger: Path, timeout: float, clock: Callable[[], float] = time.time):
        self.ledger_file = ledger
        self.timeout = timeout
        self.clock = clock

    def prepare(self, order: Order) -> bytes:
        return json.dumps(
            {
                "payment": order.provider_payment_id,
                "amount": order.amount_cents,
                "currency": order.currency,
                "reference": order.refund_number,
                "metadata": {"refund_request_id": str(order.refund_id), "attempt": str(order.attempt)},
            },
            separators=(",", ":"),
        ).encode()

    def create(self, order: Order, *, deadline: float | None = None) -> Verdict:
        ends = time.monotonic() + (self.timeout if deadline is None else deadline)
        try:
            return self.take(order, ends)
        except (sqlite3.Error, OSError) as error:
            return Unknown(f"The sandbox's ledger did not answer: {error}")

    def take(self, order: Order, ends: float) -> Verdict:
        with self.writing(ends) as ledger:
            if order.amount_cents == OUT_OF_REACH and (wait := self.out_of_reach(ledger, order)) > 0:
                return RetryLater(min(wait, 5.0), "The sandbox could not be reached")
            if order.amount_cents == CARD_CLOSED:
                return Rejected("card_closed", "The account of this card was closed")
            line = find_line(ledger, "key = ?", order.key)
            if line and line.body != order.body:
                return RetryLater(60, "The sandbox has seen this key with another body", alarm=True)
            first = line is None
            line = line or self.write(ledger, order)
        if first and order.amount_cents == LOST_ANSWER:
            wait_until(ends)
            return Unknown("The sandbox did not answer in time")
        if first and order.amount_cents == LATE_ANSWER:
            answers_at = time.monotonic() + LATE_BY
            wait_until(min(answers_at, ends))
            if answers_at > ends:
                return Unknown("The sandbox did not answer in time")
        return self.verdict(line)

    def find(self, order: Order, *, deadline: float | None = None) -> Finding:
        attempt = "(SELECT max(attempt) FROM refunds WHERE refund_request_id = ?1)" if order.lost else "?2"
        values = (str(order.refund_id),) if order.lost else (str(order.refund_id), order.attempt)
        line = self.look_up(f"refund_request_id = ?1 AND attempt = {attempt}", *values, deadline=deadline)
        if not isinstance(line, LedgerLine):
            return line
        if not made_by(line, order):
            return Unknown(f"The sandbox's {line.id} is marked with this refund, but differs in amount or payment")
        return self.verdict(line)

    def get(self, gateway_refund_id: str, order: Order, *, deadline: float | None = None) -> Finding:
        line = self.look_up("id = ?", gateway_refund_id, deadline=deadline)
        if not isinstance(line, LedgerLine):
            return line
        if not made_by(line, order):
            return Unknown(f"The sandbox's {line.id} differs from this refund in amount or payment")
        return self.verdict(line)

    def made_since(self, moment: datetime) -> Iterator[Processed | Pending | Rejected | Unknown | RetryLater]:
        try:
            with self.open(time.monotonic() + self.timeout) as ledger:
                rows = ledger.execute("SELECT * FROM refunds WHERE created_at >= ? ORDER BY created_at", (moment.timestamp(),)).fetchall()
        except (sqlite3.Error, OSError) as error:
            yield Unknown(f"The sandbox's ledger did not answer: {error}")
            return
        yield from (self.verdict(LedgerLine(*row)) for row in rows)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str]) -> GatewayNotice:
        raise BadSignature("The sandbox sends no webhooks")

    def look_up(self, condition: str, *values: str | int, deadline: float | None) -> LedgerLine | Absent | Unknown:
        ends = time.monotonic() + (self.timeout if deadline is None else deadline)
        try:
            with self.open(ends) as ledger:
                return find_line(ledger, condition, *values) or Absent()
        except (sqlite3.Error, OSError) as error:
            return Unknown(f"The sandbox's ledger did not answer: {error}")

    def out_of_reach(self, ledger: sqlite3.Connection, order: Order) -> float:
        """For how many more seconds this order finds nobody at home."""
        ledger.execute("INSERT OR IGNORE INTO first_asked VALUES (?, ?)", (order.key, self.clock()))
        [asked_at] = ledger.execute("SELECT at FROM first_asked WHERE key = ?", (order.key,)).fetchone()
        return float(asked_at) + OUT_OF_REACH_FOR - self.clock()

    def write(self, ledger: sqlite3.Connection, order: Order) -> LedgerLine:
        line = LedgerLine(
            id=f"sbx_{token_hex(12)}",
            key=order.key,
            body=order.body,
            refund_request_id=str(order.refund_id),
            attempt=order.attempt,
            payment_id=order.provider_payment_id,
            amount=order.amount_cents,
            currency=order.currency,
            created_at=self.clock(),
        )
        values = tuple(vars(line).values())
        ledger.execute(f"INSERT INTO refunds VALUES ({', '.join('?' * len(values))})", values)
        return line

    def verdict(self, line: LedgerLine) -> Processed | Pending | Rejected:
        facts = Facts(
            gateway_refund_id=line.id,
            amount_cents=line.amount,
            currency=line.currency,
            provider_payment_id=line.payment_id,
            refund_id=UUID(line.refund_request_id),
            attempt=line.attempt,
            reference=line.id.removeprefix("sbx_").upper(),
        )
        age = self.clock() - line.created_at
        if line.amount == PENDING and age < FINAL_AFTER:
            return Pending(facts)
        if line.amount == FAILED_LATER and age >= FAILS_AFTER:
            return Rejected("returned_by_bank", "The bank sent the money back", facts)
        return Processed(facts)

    @contextmanager
    def writing(self, ends: float) -> Iterator[sqlite3.Connection]:
        """A transaction that has its write lock from the start; it is on disk once this block is left."""
        with self.open(ends) as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            yield ledger
            ledger.execute("COMMIT")

    @contextmanager
    def open(self, ends: float) -> Iterator[sqlite3.Connection]:
        """The ledger, opened anew for each call: nothing to share between threads or carry over a fork."""
        if not self.ledger_file.exists():
            self.ledger_file.parent.mkdir(parents=True, exist_ok=True)
        wait = max(ends - time.monotonic(), 0.05)
        with closing(sqlite3.connect(self.ledger_file, timeout=wait, isolation_level=None)) as ledger:
            ledger.execute("PRAGMA synchronous = FULL")
            if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'ix_refunds_payment'").fetchone():
                found_ledger(ledger, ends)
            yield ledger


def found_ledger(ledger: sqlite3.Connection, ends: float) -> None:
    """Make the tables. Changing to WAL does not wait for the lock by itself, so it is tried until it works."""
    while True:
        try:
            ledger.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.01)
    ledger.executescript(f"BEGIN IMMEDIATE; {LEDGER} COMMIT;")


def find_line(ledger: sqlite3.Connection, condition: str, *values: str | int) -> LedgerLine | None:
    row = ledger.execute(f"SELECT * FROM refunds WHERE {condition} ORDER BY created_at, id LIMIT 1", values).fetchone()
    return LedgerLine(*row) if row else None


def made_by(line: LedgerLine, order: Order) -> bool:
    amount = line.amount if order.lost else order.amount_cents
    return (line.amount, line.currency, line.payment_id) == (amount, order.currency, order.provider_payment_id)


def wait_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))
