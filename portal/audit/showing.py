"""One entry: who, what, before and after, from where, and whether its link in the chain holds."""

from datetime import datetime
from typing import Any

from flask import g, url_for

from domain.audit.models import AuditEntry
from domain.audit.objects import name_objects
from domain.audit.queries import find_number, list_around, list_of_request
from domain.audit.verification import check_link
from portal.audit.changes import changes_of, value
from portal.audit.listing import AuditQuery, actor_of, line
from portal.audit.objects import object_of
from portal.audit.wording import look_of, words
from portal.formats import abbreviation, zone
from web.db import db


def detail_context(entry: AuditEntry) -> dict[str, Any]:
    session = db.session()
    together = [other for other in list_of_request(session, g.actor, entry.request_id) if other.id != entry.id] if entry.request_id else []
    around = [other for other in list_around(session, g.actor, entry) if other.id != entry.id]
    names = name_objects(session, [entry, *together, *around])
    link = check_link(session, g.actor, entry)
    return {
        "entry": entry,
        "look": look_of(entry.action),
        "by": actor_of(entry),
        "object": object_of(entry, names),
        "object_url": AuditQuery(object=entry.object_type, id=entry.object_id or "").url() if entry.object_type else None,
        "ip_url": AuditQuery(ip=entry.ip).url() if entry.ip else None,
        "request_url": AuditQuery(request=entry.request_id).url() if entry.request_id else None,
        "action_url": AuditQuery(action=entry.action).url(),
        "changes": changes_of(entry),
        "details": [(words(name), value(given)) for name, given in entry.details.items()],
        "around": [line(other, names) for other in around],
        "exact": exactly(entry.created_at),
        "together": [line(other, names) for other in together],
        "broken": link.what if link else None,
        "newer_url": url_of(entry.sequence + 1),
        "older_url": url_of(entry.sequence - 1),
    }


def url_of(number: int) -> str | None:
    entry_id = find_number(db.session(), g.actor, number)
    return None if entry_id is None else url_for("portal.audit.show", entry_id=entry_id)


def exactly(at: datetime) -> str:
    """To the thousandth of a second: what is compared with other machines' logs."""
    local = at.astimezone(zone())
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03} {abbreviation(local)}"
