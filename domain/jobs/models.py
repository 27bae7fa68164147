from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.db import Base, Identified, JsonObject, JsonValue, LongText, Timestamp, now


class JobStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Identified):
    __tablename__ = "background_jobs"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'processing', 'succeeded', 'failed', 'cancelled')", name="status_known"),
        CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress_is_percent"),
        Index("ix_background_jobs_created_at_id", "created_at", "id"),
        Index("ix_background_jobs_creator_id_created_at", "creator_id", "created_at", "id"),
        Index("ix_background_jobs_type_created_at", "type", "created_at", "id"),
        Index("ix_background_jobs_status_created_at", "status", "created_at", "id"),
        Index("ix_background_jobs_status_run_after", "status", "run_after"),
        Index("ix_background_jobs_finished_at_status", "finished_at", "status", "deleted_at"),
        Index(
            "ix_background_jobs_creator_id_finished_at",
            *("creator_id", "finished_at", "status", "deleted_at"),
            sqlite_where=text("creator_id IS NOT NULL"),
            postgresql_where=text("creator_id IS NOT NULL"),
        ),
        Index(
            "ix_background_jobs_creator_id_run_after",
            *("creator_id", "status", "run_after"),
            sqlite_where=text("creator_id IS NOT NULL"),
            postgresql_where=text("creator_id IS NOT NULL"),
        ),
        Index(
            "ix_background_jobs_status_lease_until",
            "status",
            "lease_until",
            sqlite_where=text("lease_until IS NOT NULL"),
            postgresql_where=text("lease_until IS NOT NULL"),
        ),
        Index(
            "ix_background_jobs_finished_at_with_file",
            "finished_at",
            sqlite_where=text("result_file IS NOT NULL"),
            postgresql_where=text("result_file IS NOT NULL"),
        ),
        Index(
            "uq_background_jobs_one_live_per_subject",
            "type",
            "subject_id",
            unique=True,
            sqlite_where=text("subject_id IS NOT NULL AND status IN ('pending', 'processing')"),
            postgresql_where=text("subject_id IS NOT NULL AND status IN ('pending', 'processing')"),
        ),
    )

    type: Mapped[str] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(20), default=JobStatus.PENDING)
    progress_percent: Mapped[int] = mapped_column(default=0)
    stage: Mapped[str | None] = mapped_column(String(100))
    creator_id: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))  # null: the system's own
    subject_id: Mapped[UUID | None]  # what at most one live job of the type may be about
    payload: Mapped[JsonObject] = mapped_column("metadata", default=dict)
    result: Mapped[dict[str, object] | None] = mapped_column(JsonValue)
    error: Mapped[dict[str, object] | None] = mapped_column(JsonValue)
    created_at: Mapped[Timestamp] = mapped_column(default=now)
    updated_at: Mapped[Timestamp] = mapped_column(default=now, onupdate=now)
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    run_after: Mapped[Timestamp] = mapped_column(default=now)
    dispatched_at: Mapped[Timestamp | None]
    attempts: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)  # how many workers died holding it
    max_attempts: Mapped[int] = mapped_column(default=5)
    lease_owner: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[Timestamp | None]
    irrevocable_at: Mapped[Timestamp | None]  # its point of no return: from here on it cannot be cancelled
    cancelled_at: Mapped[Timestamp | None]
    cancelled_by: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))
    cancel_reason: Mapped[LongText | None]
    cancel_acknowledged_at: Mapped[Timestamp | None]  # when the worker had stopped and cleaned up
    result_file: Mapped[str | None] = mapped_column(String(200))  # its name in storage
    result_name: Mapped[str | None] = mapped_column(String(200))  # what a browser saves it as
    result_type: Mapped[str | None] = mapped_column(String(100))
    result_expired_at: Mapped[Timestamp | None]  # when the clean-up removed the file
    deleted_at: Mapped[Timestamp | None]
    deleted_by: Mapped[UUID | None] = mapped_column(ForeignKey("admin_users.id"))

    @property
    def finished(self) -> bool:
        return self.status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class JobEvent(Identified):
    """A line of a job's life: its timeline and the tail of its log. Written by whoever holds or decides on the job."""

    __tablename__ = "job_events"
    __table_args__ = (Index("ix_job_events_job_id_at", "job_id", "at"),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("background_jobs.id", ondelete="CASCADE"))
    at: Mapped[Timestamp] = mapped_column(default=now)
    event: Mapped[str] = mapped_column(String(30))
    message: Mapped[LongText | None]


class JobCountChange(Base):
    """How a count of jobs changed: written by triggers of the database (migration 0009), read and folded by `domain/jobs/counts.py`."""

    __tablename__ = "job_count_changes"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    type: Mapped[str] = mapped_column(String(50))
    creator_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(String(20))
    change: Mapped[int] = mapped_column(BigInteger())
    folded: Mapped[bool]


class WorkerHeartbeat(Identified):
    """A worker process that says every few seconds that it lives; its row goes when it ends, or some time after it died."""

    __tablename__ = "worker_heartbeats"

    host: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int]
    started_at: Mapped[Timestamp]
    last_seen_at: Mapped[Timestamp]
    threads: Mapped[int]
    jobs_running: Mapped[int]
