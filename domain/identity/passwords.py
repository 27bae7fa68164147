"""Passwords: what makes one acceptable, and how it is kept (argon2id)."""

from __future__ import annotations

import re
import unicodedata
from threading import BoundedSemaphore

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import Invalid, RateLimited

SHORTEST, LONGEST = 8, 256
HASHES_AT_ONCE = 2
WAIT_SECONDS = 10

WORST = frozenset(
    """
    00000000 11111111 12121212 12341234 12344321 123123123 12345678 123456789 1234567890 147258369 1q2w3e4r 1q2w3e4r5t 1qaz2wsx
    87654321 987654321 abc12345 abcd1234 abcdefgh aa123456 admin123 admin1234 admin12345 administrator adminadmin asdfasdf asdfghjk
    asdfghjkl baseball basketball batman123 changeme changeme1 changeme123 charlie1 chocolate computer corvette default1 dragon123
    football football1 freedom1 hello123 helloworld iloveyou iloveyou1 internet jennifer letmein1 letmein123 liverpool login123
    manager1 marketplace master123 michael1 michelle mustang1 p@ssw0rd p@ssword passw0rd password password! password1 password12
    password123 password1234 pa$$w0rd princess princess1 q1w2e3r4 qazwsxedc qwer1234 qwerty12 qwerty123 qwerty1234 qwertyui
    qwertyuiop refund123 samantha sample123 secret123 shadow123 starwars sunshine sunshine1 superman superuser support1 test1234
    testtest trustno1 welcome1 welcome12 welcome123 whatever zaq12wsx zxcvbnm1 zxcvbnmz zxcv1234
    """.split()
)


class Passwords:
    """Hashes and checks. An argon2id hash takes 64 MiB and a fifth of a second by design, so few are computed at once."""

    def __init__(self, memory_kib: int = 65536, time_cost: int = 2):
        self.hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self.turns = BoundedSemaphore(HASHES_AT_ONCE)
        self.nobodys = f"$argon2id$v=19$m={memory_kib},t={time_cost},p=1${'A' * 22}${'A' * 43}"  # no password has this hash

    def hash(self, password: str) -> str:
        with _Turn(self.turns):
            return self.hasher.hash(normalised(password))

    def matches(self, password: str, stored: str | None) -> bool:
        """Whether this is the password. With none to compare it answers no after as long, so that time tells nobody who exists."""
        text = normalised(password)
        comparable = stored is not None and stored.startswith("$argon2") and typable(text)
        against, text = (stored, text) if stored and comparable else (self.nobodys, "")
        with _Turn(self.turns):
            try:
                return self.hasher.verify(against, text) and comparable
            except (VerificationError, InvalidHashError):
                return False

    def outdated(self, stored: str) -> bool:
        """Whether it was hashed at another cost than today's."""
        return self.hasher.check_needs_rehash(stored)


class _Turn:
    def __init__(self, turns: BoundedSemaphore):
        self.turns = turns

    def __enter__(self) -> None:
        if not self.turns.acquire(timeout=WAIT_SECONDS):
            raise RateLimited("Too many people are signing in at once. Try again in a few seconds.", retry_after=5)

    def __exit__(self, *_: object) -> None:
        self.turns.release()


def normalised(password: str) -> str:
    """One spelling for what looks the same, however a keyboard composes it."""
    return unicodedata.normalize("NFKC", password[: LONGEST * 4])


def typable(text: str) -> bool:
    """No control characters and no halves of characters."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def check_acceptable(password: str, email: str) -> None:
    """Raise Invalid, saying what to choose instead, for a password that would be too easy to guess."""
    text = normalised(password)
    if not SHORTEST <= len(text) <= LONGEST or len(password) > LONGEST:
        raise Invalid(f"Choose a password of {SHORTEST} to {LONGEST} characters.", field="password")
    if not typable(text):
        raise Invalid("Choose a password without control characters.", field="password")
    plain = text.casefold()
    if plain in {email.casefold(), email.casefold().partition("@")[0]}:
        raise Invalid("Choose a password that is not the e-mail address.", field="password")
    if plain in WORST or re.fullmatch(r"(.{1,3})\1+", plain):
        raise Invalid("This is one of the first passwords anybody would try. Choose another.", field="password")
