"""What admins set about themselves."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import available_timezones

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.errors import Invalid
from domain.identity import sessions
from domain.identity.models import Admin
from domain.identity.passwords import Passwords, check_acceptable, normalised
from domain.throttle import Limit, count_try, forgive, refusal, separately

TRIES = Limit("own_password", 5, timedelta(minutes=5))


def change_password(session: Session, actor: Actor, passwords: Passwords, current: str, password: str) -> str | None:
    """A new password, given the old one and, where there is one, a fresh second factor: a browser left open must not be enough.

    Every other session ends. Answers the secret of the cookie of the session that takes this one's place. `session` must not be in a
    transaction yet.
    """
    if actor.mfa_enrolled:
        actor.require_fresh_mfa()
    with separately(session) as own:
        blocked = count_try(own, TRIES, str(actor.admin_id))
        stored = own.get_one(Admin, actor.admin_id).password_hash
    if blocked:
        raise refusal(blocked, "Too many passwords were tried.")
    if not passwords.matches(current, stored):
        with separately(session) as own:
            audit.record(own, actor, "admin.password_change_refused", own.get_one(Admin, actor.admin_id))
        raise Invalid("This is not your present password.", field="current")
    check_acceptable(password, actor.email)
    if normalised(password) == normalised(current):
        raise Invalid("This is your present password: choose another.", field="password")
    hashed = passwords.hash(password)
    admin = session.get_one(Admin, actor.admin_id, with_for_update=True, populate_existing=True)
    admin.password_hash = hashed
    forgive(session, TRIES, str(actor.admin_id))
    audit.record(session, actor, "admin.password_changed", admin)
    _, secret = sessions.renew(session, actor, actor.mfa_at, others_too=True)
    return secret


def time_zones() -> list[str]:
    """Every zone this machine knows by its place, such as Asia/Kolkata, and UTC; sorted."""
    places = {
        zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix/", "right/", "SystemV/", "US/"))
    }
    return sorted(places | {"UTC"})


def tell_times_in(session: Session, actor: Actor, timezone: str) -> None:
    """Show times to the actor in this zone from now on. Raises Invalid for one this machine does not know."""
    if timezone not in time_zones():
        raise Invalid("Choose one of the time zones in the list, such as Asia/Kolkata.", field="timezone")
    admin = session.get_one(Admin, actor.admin_id)
    before, admin.timezone = admin.timezone, timezone
    audit.record(session, actor, "admin.time_zone_changed", admin, before={"timezone": before}, after={"timezone": timezone})
