"""Adding to the chain."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, event, select
from sqlalchemy.orm import Session, SessionTransaction

from domain.access import Actor
from domain.audit.models import AuditEntry, AuditHead
from domain.db import Base, now

GENESIS = "0" * 64
PENDING = "audit_entries_to_seal"


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: Base | None = None,
    *,
    object_type: str | None = None,
    object_id: object = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    **details: Any,
) -> None:
    """Note an act. The entry joins the chain when the transaction commits, and is gone with it if it does not.

    Sealing waits for the commit because the chain's head is a lock that every writer takes: taken last and held for an
    instant, it can neither deadlock with the rows an act locks nor make two acts wait for each other's work.
    """
    if subject is not None:
        object_type, object_id = subject.__tablename__, subject.id  # type: ignore[attr-defined]
    entry = AuditEntry(
        id=uuid4(),
        action=action,
        actor_id=actor.admin_id,
        actor_name=actor.name,
        object_type=object_type,
        object_id=None if object_id is None else str(object_id),
        before=plain(before),
        after=plain(after),
        details=plain(details) or {},
        ip=actor.ip,
        user_agent=actor.user_agent and storable(actor.user_agent),
        request_id=actor.request_id,
    )
    transaction = session.get_transaction() or session.begin()
    of_whom, entries = session.info.get(PENDING, (None, []))
    if of_whom is not transaction:  # what an earlier one that did not commit left behind is not ours
        entries = []
        session.info[PENDING] = (transaction, entries)
    entries.append((session.get_nested_transaction(), entry))


def plain(value: Any) -> Any:
    """JSON's own types only, so that an entry reads back exactly as it was hashed."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, dict):
        return {storable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return moment(value)
    return storable(str(value))  # a float too: JSONB may give back another spelling of it


def storable(text: str) -> str:
    """Text that both databases keep: a header or a file may hold NUL, or half of a surrogate pair."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def digest(entry: AuditEntry | Row[Any]) -> str:
    """SHA-256 over the previous hash and every fact of the entry (or of its row), as canonical JSON."""
    facts = {
        "sequence": entry.sequence,
        "id": str(entry.id),
        "created_at": moment(entry.created_at),
        "action": entry.action,
        "actor_id": None if entry.actor_id is None else str(entry.actor_id),
        "actor_name": entry.actor_name,
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "before": entry.before,
        "after": entry.after,
        "details": entry.details,
        "ip": entry.ip,
        "user_agent": entry.user_agent,
        "request_id": entry.request_id,
        "previous_hash": entry.previous_hash,
    }
    return hashlib.sha256(json.dumps(facts, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@event.listens_for(Session, "before_commit")
def seal(session: Session) -> None:
    """Give the transaction's entries their places at the end of the chain."""
    if session.in_nested_transaction():
        return  # a savepoint is not a commit
    of_whom, entries = session.info.pop(PENDING, (None, []))
    if of_whom is not session.get_transaction():
        return
    session.flush()
    head = session.scalars(select(AuditHead).with_for_update().execution_options(populate_existing=True)).one()
    for _, entry in entries:
        entry.sequence, entry.previous_hash = head.sequence + 1, head.hash
        entry.created_at = now()
        entry.hash = digest(entry)
        head.sequence, head.hash = entry.sequence, entry.hash
        session.add(entry)


@event.listens_for(Session, "after_soft_rollback")
def forget(session: Session, undone: SessionTransaction) -> None:
    """Drop what was recorded inside a savepoint that is rolled back."""
    of_whom, entries = session.info.get(PENDING, (None, []))
    session.info[PENDING] = (of_whom, [(savepoint, entry) for savepoint, entry in entries if not inside(savepoint, undone)])


def inside(savepoint: SessionTransaction | None, undone: SessionTransaction) -> bool:
    while savepoint is not None and savepoint is not undone:
        savepoint = savepoint.parent
    return savepoint is undone
