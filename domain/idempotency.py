"""Remembers the answer to each change, so that a retry is answered and not repeated.

The IETF draft "The Idempotency-Key HTTP Header Field" with Stripe's habits: a key belongs to one admin, method and path; the same
body again gets the stored answer for 24 hours; another body is refused. An act with a second phase (the gateway is asked after the
decision has committed) is stored unfinished, under a lease: whoever comes with the key after that process died goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import OperationalError
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

    def keep(self, status: int, body: str, headers: dict[str, str]) -> None:
        """The final answer; it commits with what it is the answer to."""
        self.status, self.body, self.headers = status, body, headers
        self.unfinished, self.lease_until = False, None

    def keep_for_now(self, status: int, body: str, headers: dict[str, str], lease: timedelta) -> None:
        """The answer so far. Whoever holds the lease is about to find out the rest."""
        self.keep(status, body, headers)
        self.extend(lease)

    def extend(self, lease: timedelta) -> None:
        self.unfinished, self.lease_until = True, now() + lease

    def start_over(self, fingerprint: str) -> None:
        self.fingerprint, self.created_at = fingerprint, now()
        self.status = self.body = self.headers = self.lease_until = None
        self.unfinished = True


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

    A simultaneous twin waits a moment for the first to commit, then finds its answer here. Raises KeyReused for another body,
    InFlight while the first still runs. A row that comes back unfinished is the caller's to go on with: its lease is over.
    """
    assert actor.admin_id is not None
    scope = {"admin_id": actor.admin_id, "method": method, "path": path, "key": key}
    with in_flight_when_locked(session):
        insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
        fresh = {"fingerprint": fingerprint, "unfinished": True, "created_at": now()}
        made = session.scalars(insert(Answer).values(**scope, **fresh).on_conflict_do_nothing().returning(Answer)).one_or_none()
        if made is not None:
            return made, True
        found = select(Answer).filter_by(**scope).with_for_update().execution_options(populate_existing=True)
        answer = session.scalars(found).one_or_none()
    if answer is None:  # forgotten this very moment, a day after it was made
        raise still_running()
    if answer.created_at < now() - KEPT_FOR:
        answer.start_over(fingerprint)
        return answer, True
    if answer.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key was used with another body. Send a new key for a new request.")
    if answer.unfinished and answer.lease_until is not None and answer.lease_until > now():
        raise still_running()
    return answer, False


@contextmanager
def in_flight_when_locked(session: Session) -> Iterator[None]:
    """On PostgreSQL a twin meets the first one's uncommitted row: it waits for a moment, and is then told to come again.

    On SQLite the twin has already waited, for the only write lock there is.
    """
    if session.get_bind().dialect.name != "postgresql":
        yield
        return
    usual = session.execute(
        text("SELECT current_setting('lock_timeout'), set_config('lock_timeout', :wait, true)"), {"wait": TWIN_WAITS}
    ).scalar()
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
            raise
        session.rollback()
        raise still_running() from None
    session.execute(text("SELECT set_config('lock_timeout', :usual, true)"), {"usual": usual})


TWIN_WAITS = "2s"
LOCK_NOT_AVAILABLE = "55P03"


def still_running() -> InFlight:
    return InFlight("The first call with this Idempotency-Key is still running. Try again in a second.")


def finish(session: Session, answer_id: UUID, status: int, body: str, headers: dict[str, str]) -> None:
    """Make the answer of a second phase the final one; what was final already stays."""
    session.execute(
        update(Answer)
        .where(Answer.id == answer_id, Answer.unfinished)
        .values(status=status, body=body, headers=headers, unfinished=False, lease_until=None)
    )


def confirm(session: Session, answer_id: UUID) -> None:
    """Let the answer of the first phase stand as the final one."""
    session.execute(update(Answer).where(Answer.id == answer_id, Answer.unfinished).values(unfinished=False, lease_until=None))


def purge(session: Session) -> int:
    """Forget the keys whose time is over. Answers how many."""
    expired = delete(Answer).where(Answer.created_at < now() - KEPT_FOR).returning(Answer.id)
    return len(session.scalars(expired, execution_options={"synchronize_session": False}).all())
