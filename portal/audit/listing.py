"""The log: what its address says, and everything around and in its rows."""

import re
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from flask import g, url_for

from domain.access import SYSTEM, operator
from domain.audit.checks import BROKEN, OLD, WHOLE, last_verification
from domain.audit.models import AuditEntry
from domain.audit.objects import Names, admins, name_objects
from domain.audit.queries import AuditFilters, list_actors
from domain.db import now
from domain.identity.models import Door
from domain.identity.sessions import visitor
from domain.pagination import Page
from portal.audit.changes import changes_of, value
from portal.audit.objects import object_of, short
from portal.audit.wording import ACTIONS, GROUPS, OBJECTS, actions_of, look_of, note_of, object_word, words
from portal.formats import day, number, zone, zone_words
from portal.jobs.wording import counted, size
from portal.lists import ListAddress, Reading, span
from web.db import db

COUNTED_TO = 1000
SHOWN_CHANGES = 2
NAMELESS = {"system": SYSTEM.name, "operator": operator().name, "nobody": visitor().name}
NUMBER = re.compile(r"#?([1-9][0-9]{0,17})")


@dataclass(frozen=True, kw_only=True)
class AuditQuery(ListAddress):
    """`before` and `after` are numbers of entries: the page goes on from there, at the same cost however deep."""

    ENDPOINT = "portal.audit.index"

    by: str = ""
    group: str = ""
    action: str = ""
    object: str = ""
    id: str = ""
    ip: str = ""
    request: str = ""
    before: str = ""
    after: str = ""

    def url(self, endpoint: str = "", **changes: str) -> str:
        return super().url(endpoint, **{"before": "", "after": "", **changes})

    @property
    def filtered(self) -> bool:
        return super(AuditQuery, replace(self, before="", after="")).filtered

    @property
    def kept(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in super().kept if name not in ("before", "after")]


def read_filters(query: AuditQuery) -> tuple[AuditFilters, list[str]]:
    reading = Reading(query)
    reading.found |= {"page": 1, "request_id": query.request or None, "ip": query.ip or None}
    reading.found |= {"object_type": query.object or None, "object_id": query.id or None}
    if query.by:
        reading.take(lambda: {"actor": acting(query.by)}, "There is no such admin.")
    if query.action:
        reading.found["action"] = (query.action,)
    elif query.group:
        reading.take(lambda: {"action": group_of(query.group)}, "There is no such kind of act.")
    if query.before:
        reading.take(lambda: {"older_than": place(query.before)}, "This page does not exist: go to the newest.")
    elif query.after:
        reading.take(lambda: {"newer_than": place(query.after)}, "This page does not exist: go to the newest.")
    reading.take_days()
    return AuditFilters(**reading.found), reading.refusals


def acting(by: str) -> str:
    """Whose entries, as the domain is asked for them. Raises ValueError."""
    return str(g.actor.admin_id) if by == "me" else NAMELESS.get(by) or str(UUID(by))


def place(text: str) -> int:
    """The number of an entry. Raises ValueError."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def group_of(name: str) -> tuple[str, ...]:
    if name not in GROUPS:
        raise ValueError(name)
    return actions_of(name)


def named_number(query: AuditQuery) -> int | None:
    """The number of an entry that was typed into the search: #1842."""
    found = NUMBER.fullmatch(query.q)
    return int(found[1]) if found else None


def list_context(query: AuditQuery, page: Page[AuditEntry], refusals: list[str]) -> dict[str, Any]:
    names = name_objects(db.session(), page)
    total = f"{'over ' if page.total_items >= COUNTED_TO and query.filtered else ''}{number(page.total_items)}"
    return {
        "query": query,
        "refusals": refusals,
        "list_url": query.url(before=query.before, after=query.after),
        "clear_url": AuditQuery().url(),
        "chips": chips(query, names),
        "actors": [] if query.by else actors(query),
        "kinds": [] if query.action or query.group else kinds(query),
        "objects": [] if query.object else [{"word": word, "url": query.url(object=name)} for name, (word, _) in OBJECTS.items()],
        "rows": [line(entry, names) for entry in page],
        "seal": seal(),
        "export_url": query.url("portal.audit.export_form"),
        "found_words": f"{total} {'entry' if page.total_items == 1 else 'entries'}",
        "zone": zone_words(),
        "nothing": nothing(query),
        "newest_url": query.url() if query.before or query.after else None,
        "newer_url": query.url(after=str(page.items[0].sequence)) if page.items and (query.before or query.after) else None,
        "older_url": query.url(before=str(page.items[-1].sequence)) if page.next_cursor else None,
    }


def seal() -> dict[str, Any]:
    """Whether the chain held when it was last verified."""
    last = last_verification(db.session(), g.actor)
    if last is None:
        return {"words": "Not verified yet", "icon": "circle-dashed", "tone": "neutral", "at": None, "broken": False}
    told = {"at": last.at, "by": last.by, "url": url_for("portal.audit.show", entry_id=last.entry.id), "broken": not last.whole}
    if not last.whole:
        return told | {"words": f"The audit log is broken at entry {last.broken_at}", "what": sentence(last.what)}
    entries = f"{number(last.entries)} {'entry' if last.entries == 1 else 'entries'}"
    if now() - last.at > OLD:
        return told | {"words": f"Whole, {entries}, but not verified lately", "icon": "hourglass", "tone": "warning"}
    return told | {"words": f"Whole, {entries}", "icon": "shield-check", "tone": "success"}


def sentence(text: str | None) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def line(entry: AuditEntry, names: Names) -> dict[str, Any]:
    """One row, in words."""
    changes = [one for one in changes_of(entry) if one.look.word != "Same"]
    return {
        "id": entry.id,
        "number": entry.sequence,
        "url": url_for("portal.audit.show", entry_id=entry.id),
        "look": look_of(entry.action),
        "at": entry.created_at,
        "day": day(entry.created_at),
        "clock": f"{entry.created_at.astimezone(zone()):%H:%M:%S}",
        "actor": actor_of(entry),
        "object": object_of(entry, names),
        "changes": changes[:SHOWN_CHANGES],
        "more_changes": max(len(changes) - SHOWN_CHANGES, 0),
        "note": note_of(entry) or facts(entry) if not changes else note_of(entry),
        "ip": entry.ip,
    }


def actor_of(entry: AuditEntry) -> dict[str, Any]:
    by = str(entry.actor_id) if entry.actor_id else next((key for key, name in NAMELESS.items() if name == entry.actor_name), "")
    return {"name": entry.actor_name, "url": AuditQuery(by=by).url() if by else None}


def facts(entry: AuditEntry) -> str:
    """The first of what else it tells, where nothing changed."""
    details = entry.details
    if entry.action in ("access.refused", "request.refused"):
        return refusal_words(details)
    if entry.action in ("session.signed_in", "session.sign_in_refused"):
        return "over the API" if details.get("door") == Door.API else "in the portal"
    if entry.action == "export.finished":
        return ", ".join(part for part in (counted(details.get("rows"), "row"), size(details.get("bytes"))) if part)
    if entry.action in (WHOLE, BROKEN):
        return counted(details.get("entries"), "entry", "entries")
    told = [f"{words(name)} {value(given)[:60]}" for name, given in details.items() if given not in (None, "", [], {})]
    return ", ".join(told[:3])


REFUSALS = {
    "MFA_REQUIRED": "no fresh second factor",
    "SAME_APPROVER": "gave the first approval too",
    "SYSTEM_ROLE": "a system role stays as it is",
    "NOT_PENDING": "decided already",
}


def refusal_words(details: dict[str, Any]) -> str:
    """Why, and what was tried: lacks refunds:approve, POST /refunds/…/approve."""
    needed, code = details.get("required_permission"), str(details.get("code", ""))
    why = f"lacks {needed}" if needed else REFUSALS.get(code, code.replace("_", " ").lower())
    tried = re.sub(r"<[^>]*>", "…", str(details.get("path") or "")).removeprefix("/api/v1/admin")
    return f"{why}: {details.get('method', '')} {tried}".strip(": ")


def chips(query: AuditQuery, names: Names) -> list[dict[str, str]]:
    """Each filter in force, in words, with the address that takes it away."""
    found = []
    if query.by:
        found.append({"word": "By", "value": actor_word(query.by), "without": query.url(by="")})
    if query.action or query.group:
        word = look_of(query.action).word if query.action else GROUPS.get(query.group, (query.group,))[0]
        found.append({"word": "What", "value": word, "without": query.url(action="", group="")})
    if query.object or query.id:
        found.append({"word": "Object", "value": object_chip(query, names), "without": query.url(object="", id="")})
    if query.since or query.until:
        found.append({"word": "When", "value": span(query), "without": query.url(since="", until="")})
    for name, word in (("ip", "From"), ("request", "Request")):
        if getattr(query, name):
            found.append({"word": word, "value": getattr(query, name), "without": query.url(**{name: ""})})
    return found


def object_chip(query: AuditQuery, names: Names) -> str:
    word = object_word(query.object) if query.object else "id"
    return f"{word} {names.get((query.object, query.id)) or short(query.id)}" if query.id else word


def actor_word(by: str) -> str:
    if by == "me" or by == str(g.actor.admin_id):
        return "me"
    if by in NAMELESS:
        return NAMELESS[by]
    return admins(db.session(), [by]).get(by, "only this one")


def actors(query: AuditQuery) -> list[dict[str, str]]:
    others = [(str(admin_id), name) for admin_id, name in list_actors(db.session(), g.actor) if admin_id != g.actor.admin_id]
    return [{"word": name, "url": query.url(by=by)} for by, name in [("me", "Me"), *others, *NAMELESS.items()]]


def kinds(query: AuditQuery) -> list[dict[str, Any]]:
    """The acts to choose from, under the groups that can be chosen whole."""
    return [
        {
            "word": word,
            "url": query.url(group=name),
            "actions": [{"word": ACTIONS[action].word, "url": query.url(action=action)} for action in actions_of(name)],
        }
        for name, (word, _) in GROUPS.items()
    ]


def nothing(query: AuditQuery) -> dict[str, Any]:
    """What stands in for the rows where there are none."""
    if query.filtered:
        return {"title": "No match", "icon": "search", "hint": "No entry fits these filters.", "filtered": True}
    if query.before or query.after:
        return {"title": "This page is past the end", "icon": "inbox", "hint": "", "filtered": True}
    return {"title": "Nothing recorded yet", "icon": "inbox", "hint": "Every act of an admin appears here.", "filtered": False}
