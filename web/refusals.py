"""The audit of what was refused: one row for each 403, and for each decision that the state of things forbade."""

from typing import Any

from flask import g, request
from sqlalchemy.orm import Session

from domain import audit
from domain.access import Actor
from domain.errors import Conflict, DomainError
from domain.idempotency import InFlight
from web.db import SAFE_METHODS, writing

OBJECTS = {
    "refund_id": "refund_requests",
    "payment_id": "payments",
    "job_id": "background_jobs",
    "role_id": "roles",
    "admin_id": "admin_users",
    "invitation_id": "admin_invitations",
    "backup_id": "backups",
}


def record(actor: Actor, error: DomainError) -> None:
    """Roll back what was begun and, where this refusal is of a kind that is audited, write its row in a transaction of its own."""
    if audited(error):
        with writing() as session:
            note(session, actor, error)


def audited(error: DomainError) -> bool:
    """A dry run decides nothing, so its refusals are none; whoever may not even ask is noted all the same."""
    if error.status == 403:
        return True
    decided = error.settled or (isinstance(error, Conflict) and not isinstance(error, InFlight))
    return decided and request.method not in SAFE_METHODS and not g.get("dry_run")


def note(session: Session, actor: Actor, error: DomainError) -> None:
    """Add the row to a transaction that is about to commit."""
    object_type, object_id = subject()
    required = error.details.get("required_permission")
    more: dict[str, Any] = {"required_permission": required} if required else {}
    audit.record(
        session,
        actor,
        "access.refused" if error.status == 403 else "request.refused",
        object_type=object_type,
        object_id=object_id,
        code=error.code,
        method=request.method[:10],
        path=request.url_rule.rule if request.url_rule else None,
        **more,
    )


def subject() -> tuple[str | None, str | None]:
    """What the request was about: the last id of its path."""
    for name, value in reversed((request.view_args or {}).items()):
        if name.endswith("_id"):
            return OBJECTS.get(name, name.removesuffix("_id"))[:50], str(value)[:100]
    return None, None
