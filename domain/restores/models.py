from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from domain.db import Identified, JsonObject, LongText, Timestamp


class Kind(StrEnum):
    RESTORE = "restore"
    ROLLBACK = "rollback"


class Restore(Identified):
    """What was put in place of the live data. The row is written into what takes their place: it is there exactly if that came to be.

    `target_at` is the moment that was asked for, None for the backup's own; `reached_at` the one that was reached. Approvals are frozen
    while one of these is not acknowledged.
    """

    __tablename__ = "restores"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(repr(str(kind)) for kind in Kind)})", name="kind_known"),
        Index("ix_restores_acknowledged_at", "acknowledged_at"),
        Index("ix_restores_swapped_at", "swapped_at"),
    )

    kind: Mapped[str] = mapped_column(String(20))
    backup_id: Mapped[UUID | None]
    undone_id: Mapped[UUID | None]  # the restore that a rollback takes back
    target_at: Mapped[Timestamp | None]
    reached_at: Mapped[Timestamp]
    requested_by: Mapped[str] = mapped_column(String(200))
    requested_by_id: Mapped[UUID | None]
    started_at: Mapped[Timestamp]
    swapped_at: Mapped[Timestamp]
    frozen_ms: Mapped[int | None]
    safety_backup_id: Mapped[UUID | None]
    carried: Mapped[JsonObject]
    left_out: Mapped[int] = mapped_column(default=0)
    uploads: Mapped[JsonObject | None]
    kept_until: Mapped[Timestamp | None]
    rolled_back_at: Mapped[Timestamp | None]
    report: Mapped[JsonObject | None]
    checked_at: Mapped[Timestamp | None]
    acknowledged_at: Mapped[Timestamp | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(200))
    note: Mapped[LongText | None]


class Quarantined(Identified):
    """A live row that could not be carried into the restored data, as it was, and why."""

    __tablename__ = "restore_quarantine"

    restore_id: Mapped[UUID] = mapped_column(ForeignKey("restores.id"), index=True)
    table_name: Mapped[str] = mapped_column(String(63))
    contents: Mapped[JsonObject]
    reason: Mapped[LongText]
