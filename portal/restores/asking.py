"""The three steps to a restore: which moment, what will happen, and the word that it is to happen."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import g, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from domain.backups.manifest import Manifest
from domain.backups.queries import find_coverage, get_backup
from domain.backups.standing import find_standing, reachable_until
from domain.errors import DomainError, Invalid
from domain.restores.queries import Preview, preview
from portal import mfa
from portal.backups.listing import line
from portal.errors import CODES, Refusal
from portal.formats import number
from portal.jobs.wording import left
from web.backups import restorer, vault
from web.db import db

STEPS = ("Which moment", "What will happen", "Confirm")
WORDS = {
    "users": "Customers",
    "vendors": "Vendors",
    "bookings": "Bookings",
    "payments": "Payments",
    "referrals": "Referrals",
    "refund_requests": "Refund requests",
}


def page(backup_id: UUID, refusal: Refusal | None) -> ResponseReturnValue:
    """The step that the address names; back to the first where the moment cannot be reached."""
    manifest = get_backup(g.actor, vault(), backup_id)
    given = request.form if request.method == "POST" else request.args
    step = 3 if request.method == "POST" or given.get("step") == "3" else 2 if given.get("step") == "2" else 1
    context = {"step": step, "steps": STEPS, "line": line(manifest, find_standing(vault())), "backup": manifest, **moments(manifest, given)}
    if step == 1:
        return first_step(context)
    try:
        found = preview(db.session(), g.actor, vault(), restorer(), backup_id, read_moment(given))
    except DomainError as error:
        if error.status in (403, 404):
            raise
        wrong = {"moment_error": error.message} if isinstance(error, Invalid) else {"obstacle": obstacle(error)}
        return make_response(first_step(context | {"step": 1}, **wrong), error.status)
    return render_template("restores/preview.html" if step == 2 else "restores/confirm.html", **context, **told(found), **typed(refusal))


def first_step(context: dict[str, Any], obstacle: dict[str, Any] | None = None, moment_error: str = "") -> str:
    return render_template("restores/moment.html", obstacle=obstacle, moment_error=moment_error, **context)


def read_moment(given: Mapping[str, str]) -> datetime | None:
    """The moment of the field, in UTC; None where the backup itself is meant. Raises Invalid."""
    text = given.get("moment", "").strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid("Write the moment in UTC, as in 2026-11-23 18:20:05.", field="moment") from None


def written(moment: datetime) -> str:
    """As the browser's own field for a moment writes and reads it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="auto")


def moments(manifest: Manifest, given: Mapping[str, str]) -> dict[str, Any]:
    until = reachable_until(find_coverage(vault()).spans or (), manifest)
    return {
        "typed_moment": given.get("moment", "")[:40],
        "earliest": manifest.snapshot_at,
        "latest": until if until and until > manifest.snapshot_at else None,
        "in_utc": in_utc,
        "action": url_for("portal.restores.restore", backup_id=manifest.id),
        "back_url": url_for("portal.backups.show", backup_id=manifest.id),
        "step_url": lambda step: url_for("portal.restores.ask", backup_id=manifest.id, step=step, moment=given.get("moment") or None),
    }


def in_utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def obstacle(error: DomainError) -> dict[str, Any]:
    """What speaks against it, with the backup to begin with where the moment is another one's."""
    other = error.details.get("use_backup_id") or error.details.get("nearest_backup")
    return {
        "title": CODES.get(error.code, "This cannot be restored now"),
        "said": error.message,
        "url": url_for("portal.restores.ask", backup_id=other, moment=request.values.get("moment")) if other else None,
    }


def told(found: Preview) -> dict[str, Any]:
    """What a restore would do, in words."""
    return {
        "preview": found,
        "changes": [
            {
                "word": WORDS.get(change.table, change.table),
                "now": number(change.rows_now),
                "then": None if change.rows_then is None else number(change.rows_then),
                "since": number(change.rows_since),
            }
            for change in found.changes
        ],
        "takes": left(found.estimated_seconds).removesuffix(" left"),
    }


def typed(refusal: Refusal | None) -> dict[str, Any]:
    context = mfa.form_context(refusal)
    if refusal is not None and refusal.code == "WRONG_CONFIRMATION_CODE":
        context |= {"refusal": None, "errors": defaultdict(str, confirmation_code=refusal.message)}
    given = {"typed_code": request.form.get("confirmation_code", "")[:40], "without_uploads": "without_uploads" in request.form}
    return {**given, **context}
