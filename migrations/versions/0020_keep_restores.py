"""What was restored, what was left out of it, and whether its report was acknowledged."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "restores",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("backup_id", sa.Uuid(), nullable=True),
        sa.Column("undone_id", sa.Uuid(), nullable=True),
        sa.Column("target_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("requested_by_id", sa.Uuid(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("swapped_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("frozen_ms", sa.Integer(), nullable=True),
        sa.Column("safety_backup_id", sa.Uuid(), nullable=True),
        sa.Column("carried", JSON, nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("uploads", JSON, nullable=True),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rolled_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("report", JSON, nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=200), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind IN ('restore', 'rollback')", name=op.f("ck_restores_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restores")),
    )
    op.create_index("ix_restores_acknowledged_at", "restores", ["acknowledged_at"], unique=False)
    op.create_index("ix_restores_swapped_at", "restores", ["swapped_at"], unique=False)
    op.create_table(
        "restore_quarantine",
        sa.Column("restore_id", sa.Uuid(), nullable=False),
        sa.Column("table_name", sa.String(length=63), nullable=False),
        sa.Column("contents", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["restore_id"], ["restores.id"], name=op.f("fk_restore_quarantine_restore_id_restores")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restore_quarantine")),
    )
    op.create_index(op.f("ix_restore_quarantine_restore_id"), "restore_quarantine", ["restore_id"], unique=False)


def downgrade() -> None:
    op.drop_table("restore_quarantine")
    op.drop_table("restores")
