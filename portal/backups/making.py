"""The dialog that asks for a backup, with what speaks against one now."""

from typing import Any

from flask import g, render_template, request, url_for

from domain.backups import queries
from domain.backups.budget import next_allowed_at
from domain.backups.manifest import BackupType
from domain.backups.vault import Wish
from domain.errors import DomainError
from domain.jobs.commands.enqueue import THE_ONE
from domain.jobs.types import BACKUP
from portal import mfa
from portal.backups.wording import TYPES
from portal.errors import Refusal
from portal.formats import when
from portal.htmx import partial
from portal.jobs.wording import left, size
from web.backups import vault
from web.db import db


def form(refusal: Refusal | None) -> str:
    """The dialog, or its page."""
    obstacle = None if refusal else in_the_way()
    context: dict[str, Any] = {
        "obstacle": obstacle,
        "types": TYPES if queries.makes_incremental(vault()) else {BackupType.FULL: TYPES[BackupType.FULL]},
        "chosen": request.form.get("backup_type", BackupType.FULL),
        "description": request.form.get("description", ""),
        "include_uploads": "include_uploads" in request.form,
        "expected": None if obstacle else expected(),
        "in_dialog": partial(),
        "back_url": url_for("portal.backups.index"),
        **mfa.form_context(refusal),
    }
    return render_template("backups/_make.html" if partial() else "backups/make.html", **context)


def in_the_way() -> dict[str, str] | None:
    """Why none can be asked for now."""
    again_at = next_allowed_at(db.session(), BACKUP)
    if again_at is not None:
        return {"title": "One an hour", "said": f"One backup an hour can be asked for. The next from {when(again_at)} on."}
    if queries.find_operation(db.session(), g.actor) is not None:
        return {"title": "Something is under way", "said": "A backup or verification runs or waits for its turn: wait until it has ended."}
    try:
        vault().check_wish(Wish(THE_ONE, BackupType.FULL, None, g.actor.name))
    except DomainError as error:
        return {"title": "No backup can be made now", "said": error.message}
    return None


def expected() -> str:
    takes = left(queries.estimate_seconds(vault(), BackupType.FULL)).removesuffix(" left")
    return f"The database has {size(vault().database_bytes())}; a full backup takes {takes}. Everything goes on meanwhile."
