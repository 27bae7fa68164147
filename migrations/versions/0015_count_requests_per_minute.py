"""What the web answers per minute, which processes answer, and what the stored files amount to."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "request_minutes",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("door", sa.String(length=10), nullable=False),
        sa.Column("status_class", sa.SmallInteger(), nullable=False),
        sa.Column("within_ms", sa.Integer(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("microseconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "door", "status_class", "within_ms", name=op.f("pk_request_minutes")),
    )
    op.create_table(
        "web_processes",
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("up_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("batches", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_processes")),
    )
    op.create_table(
        "storage_measurements",
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_storage_measurements")),
    )


def downgrade() -> None:
    for table in ("storage_measurements", "web_processes", "request_minutes"):
        op.drop_table(table)
