"""How many calls in how long: per admin, and per address for callers who are not signed in.

Counted in Redis where REDIS_URL is set, else in this process. While Redis is away each process counts for itself: a limit that is
too generous for a minute is better than an API that waits or answers 500.
"""

import ipaddress
import logging
import math
import time
from threading import Lock

from flask import Flask, current_app, g
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter
from redis.exceptions import RedisError

from config import Config
from domain.access import Actor
from domain.errors import RateLimited

log = logging.getLogger(__name__)

STRANGERS = 10  # times the budget of one admin, for a whole address: an office shares one
REDIS_SECONDS = 0.25
REDIS_PAUSE_SECONDS = 5.0


def register(app: Flask) -> None:
    app.extensions["rate_limits"] = Limits(app.config["PORTAL"])


def spend(actor: Actor) -> None:
    """Take one call off an admin's budget, once per request. Raises RateLimited."""
    if g.get("budget_spent"):
        return
    g.budget_spent = True
    limits: Limits = current_app.extensions["rate_limits"]
    limits.spend(limits.per_admin, "admin", str(actor.admin_id))


def spend_stranger(address: str | None) -> None:
    """Take one call off the budget of an address that nobody has signed in from. Raises RateLimited."""
    limits: Limits = current_app.extensions["rate_limits"]
    limits.spend(limits.per_address, "address", network(address))


def network(address: str | None) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


class Limits:
    def __init__(self, settings: Config):
        count, seconds = settings.rate_limit
        self.per_admin: RateLimitItem = RateLimitItemPerSecond(count, seconds)
        self.per_address: RateLimitItem = RateLimitItemPerSecond(count * STRANGERS, seconds)
        self.here: RateLimiter = MovingWindowRateLimiter(MemoryStorage())
        self.shared: RateLimiter | None = shared_limiter(settings.redis_url) if settings.redis_url else None
        self.shared_again_at = 0.0
        self.lock = Lock()

    def spend(self, limit: RateLimitItem, *subject: str) -> None:
        limiter, allowed = self.hit(limit, *subject)
        if not allowed:
            wait = max(1, math.ceil(limiter.get_window_stats(limit, *subject).reset_time - time.time()))
            raise RateLimited(
                f"That is more than {limit.amount} calls in {limit.multiples} seconds. Wait {wait} seconds.", retry_after=min(wait, 3600)
            )

    def hit(self, limit: RateLimitItem, *subject: str) -> tuple[RateLimiter, bool]:
        if self.shared is not None and time.monotonic() >= self.shared_again_at:
            try:
                return self.shared, self.shared.hit(limit, *subject)
            except (RedisError, OSError) as error:
                with self.lock:
                    self.shared_again_at = time.monotonic() + REDIS_PAUSE_SECONDS
                log.warning("redis is away, this process counts calls for itself: %s", type(error).__name__)
        return self.here, self.here.hit(limit, *subject)


def shared_limiter(redis_url: str) -> RateLimiter:
    storage = RedisStorage(
        redis_url.replace("unix://", "redis+unix://", 1) if redis_url.startswith("unix://") else redis_url,
        key_prefix="portal:limits",
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=None,  # type: ignore[arg-type]
    )
    return FixedWindowRateLimiter(storage)
