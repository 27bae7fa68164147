"""Remembers the answer to each change, so that a retry is answered and not repeated.

The IETF draft "The Idempotency-Key HTTP Header Field" with Stripe's habits: a key belongs to one admin, method and path; the same
body again gets the stored answer for 24 hours; another body is refused. An act with a second phase (the gateway is asked after the
decision has committed) is stored unfinished, under a lease: whoever comes with the key after that process died goes on from there.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from domain.access import Actor
from domain.db import Identified, JsonValue, LongText, Timestamp, now
from domain.errors import Conflict, DomainError

KEPT_FOR = timedelta(hours=24)


class KeyRequired(DomainError):
    status, code = 400, "IDEMPOTENCY_KEY_REQUIRED"


class KeyInvalid(DomainError):
    status, code = 400, "IDEMPOTENCY_KEY_INVALID"


class KeyReused(DomainError):
    status, code = 422, "IDEMPOTENCY_KEY_REUSED"


class InFlight(Conflict):
    code, settled = "IDEMPOTENCY_IN_FLIGHT", False
    retry_after = 1


class Answer(Identified):
    __tablename__ = "idempotency_keys"
    __table_args__ = (
        UniqueConstraint("admin_id", "method", "path", "key"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    admin_id: Mapped[UUID] = mapped_column(ForeignKey("admin_users.id"))
    method: Mapped[str] = mapped_column(String(10))
    path: Mapped[str] = mapped_column(String(500))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    body: Mapped[LongText | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JsonValue)
    unfinished: Mapped[bool] = mapped_column(default=False)
    lease_until: Mapped[Timestamp | None]
    created_at: Mapped[Timestamp] = mapped_column(default=now)

    @property
    def answered(self) -> bool:
        return self.status is not None and not self.unfinished


def read_key(raw: str | None) -> str:
    """The key as sent, without its one pair of quotes: 1 to 255 visible ASCII characters."""
    if raw is None:
        raise KeyRequired("This call changes something: send an Idempotency-Key header (a UUID will do), the same one when you retry.")
    key = raw[1:-1] if len(raw) >= 2 and raw[0] == raw[-1] == '"' else raw
    if not 1 <= len(key) <= 255 or not all("!" <= character <= "~" for character in key):
        raise KeyInvalid("An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces: a UUID will do.")
    return key


def claim(session: Session, actor: Actor, method: str, path: str, key: str, fingerprint: str) -> tuple[Answer, bool]:
    """Reserve the key (the row, True) or find what it was answered with (the row, False).

    A simultaneous twin waits on the unique constraint until the first commits, then finds its answer here. Raises KeyReused
    for another body, InFlight while the first is in its second phase.
    """
    assert actor.admin_id is not None
    scope = {"admin_id": actor.admin_id, "method": method, "path": path, "key": key}
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    session.execute(delete(Answer).filter_by(**scope).where(Answer.created_at < now() - KEPT_FOR))
    made = session.execute(
        insert(Answer).values(**scope, fingerprint=fingerprint, unfinished=True).on_conflict_do_nothing().returning(Answer.id)
    ).scalar_one_or_none()
    answer = session.scalars(select(Answer).filter_by(**scope).with_for_update()).one()
    if made is not None:
        return answer, True
    if answer.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key was used with another body. Send a new key for a new request.")
    if answer.answered:
        return answer, False
    if answer.lease_until is not None and answer.lease_until > now():
        raise InFlight("The first call with this Idempotency-Key is still running. Try again in a second.")
    return answer, False
