"""The dialogs of the report: acknowledging it, and putting back what the restore replaced."""

from collections import defaultdict
from uuid import UUID

from flask import g, render_template, request, url_for

from domain.restores.commands import rollback_code_for
from domain.restores.queries import get_restore
from portal import mfa
from portal.errors import Refusal
from portal.htmx import partial
from web.backups import restorer
from web.db import db


def acknowledge_form(restore_id: UUID, refusal: Refusal | None) -> str:
    restore = get_restore(db.session(), g.actor, restorer(), restore_id).restore
    return dialog(
        "acknowledge",
        restore_id,
        **mfa.form_context(refusal),
        uncertain=(restore.report or {}).get("uncertain", 0),
        differs=(restore.report or {}).get("differs", 0),
        unread=(restore.report or {}).get("unread", []),
        note=request.form.get("note", ""),
    )


def rollback_form(restore_id: UUID, refusal: Refusal | None) -> str:
    restore = get_restore(db.session(), g.actor, restorer(), restore_id).restore
    context = mfa.form_context(refusal)
    if refusal is not None and refusal.code == "WRONG_CONFIRMATION_CODE":
        context |= {"refusal": None, "errors": defaultdict(str, confirmation_code=refusal.message)}
    typed = request.form.get("confirmation_code", "")
    return dialog("rollback", restore_id, **context, code=rollback_code_for(restore), typed_code=typed, swapped_at=restore.swapped_at)


def dialog(name: str, restore_id: UUID, **context: object) -> str:
    """In the dialog, or on a page of its own without JavaScript."""
    template = f"restores/_{name}.html"
    return render_template(
        template if partial() else "restores/act.html",
        form_template=template,
        in_dialog=partial(),
        action=url_for(f"portal.restores.{name}", restore_id=restore_id),
        back_url=url_for("portal.restores.show", restore_id=restore_id),
        **context,
    )
