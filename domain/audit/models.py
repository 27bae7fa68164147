from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from domain.db import Base, JsonValue, LongText, Timestamp


class AuditEntry(Base):
    """No foreign keys: an entry outlives what it speaks of."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_object", "object_type", "object_id", "sequence"),
        Index("ix_audit_entries_actor_id_sequence", "actor_id", "sequence"),
        Index("ix_audit_entries_actor_id_action_sequence", "actor_id", "action", "sequence"),
        Index("ix_audit_entries_action_sequence", "action", "sequence"),
        Index("ix_audit_entries_created_at", "created_at"),
        Index("ix_audit_entries_request_id_sequence", "request_id", "sequence"),
        Index("ix_audit_entries_ip_sequence", "ip", "sequence"),
        Index("ix_audit_entries_actor_name_sequence", "actor_name", "sequence"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(unique=True)
    created_at: Mapped[Timestamp]
    action: Mapped[str] = mapped_column(String(100))
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str] = mapped_column(String(200))
    object_type: Mapped[str | None] = mapped_column(String(50))
    object_id: Mapped[str | None] = mapped_column(String(100))
    before: Mapped[dict[str, object] | None] = mapped_column(JsonValue)
    after: Mapped[dict[str, object] | None] = mapped_column(JsonValue)
    details: Mapped[dict[str, object]] = mapped_column(JsonValue)
    ip: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[LongText | None]
    request_id: Mapped[str | None] = mapped_column(String(100))
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """The end of the chain. Its one row is what writers queue for, so the order of entries is the order of commits."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
