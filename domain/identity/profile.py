"""What admins set about themselves."""

from __future__ import annotations

from zoneinfo import available_timezones

from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.errors import Invalid
from domain.identity.models import Admin


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
