"""The life of one object as its own page tells it (templates/ui/timeline.html), from what the audit log holds of it."""

from collections.abc import Iterable
from typing import Any

from flask import g

from domain.access import SYSTEM
from domain.audit.models import AuditEntry
from portal.audit.wording import look_of, note_of


def timeline(entries: Iterable[AuditEntry]) -> list[dict[str, Any]]:
    """The lines of a timeline, in the order of the entries: `domain.audit.queries.list_for_object` answers the newest first."""
    return [line(entry) for entry in entries]


def line(entry: AuditEntry) -> dict[str, Any]:
    look = look_of(entry.action)
    you = entry.actor_id is not None and entry.actor_id == g.actor.admin_id
    return {
        "word": look.word,
        "icon": look.icon,
        "tone": look.tone,
        "by": "you" if you else entry.actor_name if entry.actor_name != SYSTEM.name else None,
        "note": note_of(entry),
        "at": entry.created_at,
    }
