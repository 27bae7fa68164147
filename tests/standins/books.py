"""The gateway's books: which refunds it made, and what it answered under which key.

Each refund is a line in the ledger file, on disk before anything is answered. The file is the judge of the crash tests, and what a
stand-in that was killed starts again from.
"""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex


@dataclass
class Refund:
    id: str
    provider: str
    payment: str
    amount: int
    currency: str
    key: str
    marks: dict[str, str]
    receipt: str | None
    created: float
    schedule: list[tuple[float, str]]  # from when on it has which status

    def status(self) -> str:
        return [status for at, status in self.schedule if at <= time.time()][-1]

    def as_line(self) -> dict[str, object]:
        return {**vars(self), "status": self.status()}

    @property
    def moved(self) -> bool:
        """Whether the customer has the money, or will."""
        return self.status() not in ("failed", "canceled")


@dataclass
class Saved:
    """What was answered under a key; `status` is None while the first call is still at work."""

    fingerprint: bytes
    status: int | None = None
    body: bytes = b""


class InProgress(Exception):
    pass


class OtherBody(Exception):
    pass


class TooMuch(Exception):
    def __init__(self, left: int):
        super().__init__(left)
        self.left = left


class UnknownPayment(Exception):
    pass


@dataclass
class Books:
    file: Path | None = None
    captured: int | None = None  # of payments that nobody registered; None: as much as anybody asks for
    currency: str = "INR"
    only_registered: bool = False
    honour_keys: bool = True
    key_life: float | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    refunds: list[Refund] = field(default_factory=list)
    answers: dict[tuple[str, str], Saved] = field(default_factory=dict)
    saved_at: dict[tuple[str, str], float] = field(default_factory=dict)
    payments: dict[str, tuple[int, str]] = field(default_factory=dict)
    by_id: dict[str, Refund] = field(default_factory=dict)
    by_payment: dict[str, list[Refund]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self):
        if self.file and self.file.exists():
            self.read_back()

    def register(self, payment: str, captured: int, currency: str) -> None:
        with self.lock:
            self.payments[payment] = (captured, currency)

    def begin(self, provider: str, key: str, fingerprint: bytes) -> Saved | None:
        """What this key was answered with, or None where it is new; then it is in progress until `answered` or `dropped`."""
        with self.lock:
            if not key or not self.honour_keys:
                return None
            saved = self.answers.get((provider, key))
            if saved and self.key_life is not None and time.time() - self.saved_at[provider, key] > self.key_life:
                saved = None
            if saved and saved.fingerprint != fingerprint:
                raise OtherBody
            if saved and saved.status is None:
                raise InProgress
            if saved is None:
                self.answers[provider, key] = Saved(fingerprint)
                self.saved_at[provider, key] = time.time()
            return saved

    def answered(self, provider: str, key: str, status: int, body: bytes) -> None:
        with self.lock:
            if (saved := self.answers.get((provider, key))) is not None:
                saved.status, saved.body = status, body

    def dropped(self, provider: str, key: str) -> None:
        with self.lock:
            self.answers.pop((provider, key), None)

    def make(
        self,
        provider: str,
        prefix: str,
        payment: str,
        amount: int | None,
        *,
        key: str = "",
        marks: dict[str, str] | None = None,
        receipt: str | None = None,
        schedule: Iterable[tuple[float, str]] = ((0, "done"),),
        fingerprint: bytes = b"",
        render: Callable[[Refund], dict[str, object]] = lambda refund: {},
    ) -> Refund:
        """Move the money: checked against the payment, written to disk, and the key answered, in one."""
        with self.lock:
            captured, currency = self.payment(payment)
            left = None if captured is None else captured - sum(r.amount for r in self.of_payment(payment) if r.moved)
            amount = left if amount is None else amount
            if amount is None or (left is not None and amount > left):
                raise TooMuch(left or 0)
            now = time.time()
            refund = Refund(
                id=f"{prefix}_{token_hex(8)}",
                provider=provider,
                payment=payment,
                amount=amount,
                currency=currency,
                key=key,
                marks=marks or {},
                receipt=receipt,
                created=now,
                schedule=[(now + after, status) for after, status in schedule],
            )
            answer = json.dumps(render(refund)).encode()
            self.write({"event": "refund", **vars(refund), "fingerprint": fingerprint.hex(), "answer": answer.decode()})
            self.enter(refund)
            self.answered(provider, key, 200, answer)
            return refund

    def enter(self, refund: Refund) -> None:
        self.refunds.append(refund)
        self.by_id[refund.id] = refund
        self.by_payment[refund.payment].append(refund)

    def payment(self, payment: str) -> tuple[int | None, str]:
        if payment not in self.payments and self.only_registered:
            raise UnknownPayment
        return self.payments.get(payment, (self.captured, self.currency))

    def of_payment(self, payment: str) -> list[Refund]:
        """Newest first."""
        with self.lock:
            return self.by_payment[payment][::-1]

    def made_since(self, provider: str, moment: float) -> list[Refund]:
        """Newest first."""
        with self.lock:
            return [refund for refund in self.refunds[::-1] if refund.provider == provider and refund.created >= moment]

    def one(self, refund_id: str) -> Refund | None:
        with self.lock:
            return self.by_id.get(refund_id)

    def become(self, refund_id: str, status: str) -> Refund:
        with self.lock:
            refund = self.one(refund_id)
            assert refund is not None, f"there is no refund {refund_id}"
            refund.schedule = [*(change for change in refund.schedule if change[0] <= time.time()), (time.time(), status)]
            self.write({"event": "schedule", "id": refund_id, "schedule": refund.schedule})
            return refund

    def write(self, line: dict[str, object]) -> None:
        if self.file is None:
            return
        with self.file.open("a") as ledger:
            ledger.write(json.dumps(line) + "\n")
            ledger.flush()
            os.fsync(ledger.fileno())

    def read_back(self) -> None:
        """A last line that was cut off by a kill was never answered and never counted."""
        assert self.file is not None
        *lines, rest = self.file.read_text().split("\n")
        if rest:
            self.file.write_text("".join(line + "\n" for line in lines))
        for line in map(json.loads, lines):
            if line.pop("event") == "schedule":
                found = self.one(line["id"])
                assert found is not None
                found.schedule = [tuple(change) for change in line["schedule"]]
                continue
            fingerprint, answer = bytes.fromhex(line.pop("fingerprint")), line.pop("answer").encode()
            line["schedule"] = [tuple(change) for change in line["schedule"]]
            refund = Refund(**line)
            self.enter(refund)
            self.answers[refund.provider, refund.key] = Saved(fingerprint, 200, answer)
            self.saved_at[refund.provider, refund.key] = refund.created
