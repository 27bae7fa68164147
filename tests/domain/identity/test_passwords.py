from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest

from domain.errors import RateLimited
from domain.identity import passwords as module
from domain.identity.passwords import HASHES_AT_ONCE, Passwords


class Watched:
    """An argon2 hasher that counts how many are at work, and works until it may go on."""

    def __init__(self, hasher):
        self.hasher, self.lock, self.at_work, self.most = hasher, Lock(), 0, 0
        self.may_go_on = Event()

    def hash(self, text: str) -> str:
        with self.lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        self.may_go_on.wait(10)
        with self.lock:
            self.at_work -= 1
        return self.hasher.hash(text)


class TestTurns:
    def test_no_more_than_two_are_computed_at_once(self):
        passwords = Passwords(memory_kib=64, time_cost=1)
        passwords.hasher = watched = Watched(passwords.hasher)
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(passwords.hash, "some password") for _ in range(8)]
            watched.may_go_on.set()
            assert all(each.result() for each in waiting)

        assert watched.most <= HASHES_AT_ONCE

    def test_who_waits_too_long_is_asked_to_come_back(self, monkeypatch):
        monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
        passwords = Passwords(memory_kib=64, time_cost=1)
        for _ in range(HASHES_AT_ONCE):
            passwords.turns.acquire()

        with pytest.raises(RateLimited, match="Try again"):
            passwords.matches("some password", None)


class TestCost:
    def test_it_is_argon2id_at_64_mib_unless_told_otherwise(self):
        assert Passwords().hash("some password").startswith("$argon2id$v=19$m=65536,t=2,p=1$")

    def test_nobodys_hash_costs_the_same_and_opens_to_nothing(self):
        passwords = Passwords(memory_kib=128, time_cost=3)

        assert not passwords.outdated(passwords.nobodys)
        assert not any(passwords.matches(guess, None) for guess in ("", "password", "\x00"))
        assert not any(passwords.matches(guess, passwords.nobodys) for guess in ("", "password"))
