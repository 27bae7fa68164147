"""What an entry is about, as people call it, with the way to its own page for those who may open it."""

from typing import Any
from uuid import UUID

from flask import current_app, g, url_for

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.audit.objects import Names
from portal.audit.wording import OBJECTS, object_word

PAGES = {
    "refund_requests": ("portal.refunds.show", "refund_id", (Permission.REFUNDS_LIST,)),
    "background_jobs": ("portal.jobs.show", "job_id", (Permission.JOBS_LIST_ALL,)),
    "admin_users": ("portal.admins.show", "admin_id", (Permission.ADMINS_LIST,)),
    "roles": ("portal.roles.show", "role_id", (Permission.ROLES_LIST,)),
    "backups": ("portal.backups.show", "backup_id", (Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)),
    "restores": ("portal.restores.show", "restore_id", (Permission.SYSTEM_BACKUP, Permission.SYSTEM_RESTORE)),
    "referrals": ("portal.referrals.show", "referral_id", (Permission.REFERRALS_LIST,)),
}


def object_of(entry: AuditEntry, names: Names) -> dict[str, Any] | None:
    """Its kind, its name, and its page's address where there is one to go to."""
    if entry.object_type is None:
        return None
    name = names.get((entry.object_type, entry.object_id or ""))
    return {
        "type": entry.object_type,
        "id": entry.object_id,
        "word": object_word(entry.object_type),
        "icon": OBJECTS.get(entry.object_type, ("", "file-text"))[1],
        "name": name or short(entry.object_id),
        "url": page_of(entry.object_type, entry.object_id) if name else None,
    }


def short(id: str | None) -> str:
    """Enough of an id to tell two apart."""
    if id is None:
        return ""
    return id[:8] if as_id(id) or len(id) > 40 else id


def page_of(object_type: str, id: str | None) -> str | None:
    endpoint, argument, permissions = PAGES.get(object_type, ("", "", ()))
    if id is None or endpoint not in current_app.view_functions or not any(g.actor.can(each) for each in permissions):
        return None
    values: dict[str, Any] = {argument: id if argument == "role_id" else as_id(id)}
    return url_for(endpoint, **values)


def as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
