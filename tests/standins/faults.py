"""What may go wrong at a gateway, by name, and when it does: one after another from a script, or at random."""

import random
import threading
from dataclasses import dataclass, field

CREATE = {
    "ok",
    "pending",  # accepted; done after `seconds`, or when told
    "pending_then_failed",
    "failed_later",  # done, and failed after `seconds`
    "failed",  # made and failed at once
    "declined",  # refused, with `code` and `message`
    "reset",  # connection reset, nothing done
    "commit_then_reset",
    "hang",  # nothing done, nothing said for `seconds`, then the connection closes
    "commit_then_hang",
    "slow",  # the right answer after `seconds`
    "drip",  # the right answer, one byte at a time
    "late",  # 504 at once, done `seconds` later
    "error_before_commit",
    "error_after_commit",
    "sticky_error",  # 500, saved under the key
    "bad_gateway",  # 502, a page
    "garbage",  # done, and 200 with something that is not JSON
    "not_an_object",
    "huge",  # done, and 200 with two megabytes
    "redirect",
    "conflict_in_progress",
    "conflict_other_body",
    "conflict_unknown",
    "too_many",  # 429, Retry-After `seconds`
    "unauthorized",
    "forbidden",
    "wrong_amount",  # done, and the answer shows another one
    "wrong_currency",
    "wrong_payment",
    "wrong_mark",
    "unknown_status",
    "key_expired",  # the gateway has forgotten this key and makes a new refund
    "webhook_first",  # the webhook is delivered before the answer
}
LOOK_UP = {
    "look_up_down",
    "look_up_html",
    "look_up_reset",
    "look_up_hang",
    "look_up_garbage",
    "look_up_too_many",
    "look_up_unauthorized",
    "look_up_ok",
}
# What passes by itself, without a person.
PASSING_CREATE = [
    "pending", "reset", "commit_then_reset", "hang", "commit_then_hang", "slow", "late", "error_before_commit",
    "error_after_commit", "bad_gateway", "garbage", "conflict_in_progress", "too_many", "wrong_amount", "wrong_currency",
]  # fmt: skip
PASSING_LOOK_UP = ["look_up_down", "look_up_html", "look_up_reset", "look_up_hang", "look_up_garbage", "look_up_too_many"]


@dataclass(frozen=True)
class Fault:
    name: str = "ok"
    seconds: float = 1.0
    code: str = "insufficient_funds"
    message: str = "Your account does not have enough balance."
    once: bool = True  # else until the faults are cleared

    def __post_init__(self):
        if self.name not in CREATE | LOOK_UP:
            raise ValueError(f"no fault is called {self.name!r}")


@dataclass
class Faults:
    script: list[Fault] = field(default_factory=list)
    share: float = 0.0  # of the calls that go wrong at random
    seconds: float = 1.0
    dice: random.Random = field(default_factory=random.Random)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *faults: Fault) -> None:
        with self.lock:
            self.script.extend(faults)

    def at_random(self, share: float, seed: int, seconds: float) -> None:
        with self.lock:
            self.share, self.seconds, self.dice = share, seconds, random.Random(seed)

    def clear(self) -> None:
        with self.lock:
            self.script, self.share = [], 0.0

    def next(self, look_up: bool) -> Fault:
        with self.lock:
            for place, fault in enumerate(self.script):
                if (fault.name in LOOK_UP) == look_up:
                    return self.script.pop(place) if fault.once else fault
            if self.share and self.dice.random() < self.share:
                return Fault(self.dice.choice(PASSING_LOOK_UP if look_up else PASSING_CREATE), seconds=self.seconds)
            return Fault("look_up_ok" if look_up else "ok")
