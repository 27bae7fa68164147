"""Background jobs: the row is the truth, the queue only a bell."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

JSON_VALUE = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "background_jobs",
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=100), nullable=True),
        sa.Column("creator_id", sa.Uuid(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("metadata", JSON_VALUE, nullable=False),
        sa.Column("result", JSON_VALUE, nullable=True),
        sa.Column("error", JSON_VALUE, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(length=100), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'processing', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_background_jobs_status_known"),
        ),
        sa.CheckConstraint("progress_percent BETWEEN 0 AND 100", name=op.f("ck_background_jobs_progress_is_percent")),
        sa.ForeignKeyConstraint(["creator_id"], ["admin_users.id"], name=op.f("fk_background_jobs_creator_id_admin_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_background_jobs")),
    )
    op.create_index("ix_background_jobs_created_at_id", "background_jobs", ["created_at", "id"], unique=False)
    op.create_index("ix_background_jobs_creator_id_status", "background_jobs", ["creator_id", "status"], unique=False)
    op.create_index("ix_background_jobs_status_run_after", "background_jobs", ["status", "run_after"], unique=False)
    op.create_index("ix_background_jobs_status_updated_at", "background_jobs", ["status", "updated_at"], unique=False)
    op.create_index(
        "uq_background_jobs_one_live_per_subject",
        "background_jobs",
        ["type", "subject_id"],
        unique=True,
        sqlite_where=sa.text("subject_id IS NOT NULL AND status IN ('pending', 'processing')"),
        postgresql_where=sa.text("subject_id IS NOT NULL AND status IN ('pending', 'processing')"),
    )


def downgrade() -> None:
    op.drop_table("background_jobs")
