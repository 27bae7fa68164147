"""What cancelling, deleting and the results of jobs need, and the lines of a job's life."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

MOMENTS = ("irrevocable_at", "cancelled_at", "cancel_acknowledged_at", "deleted_at")
PEOPLE = ("cancelled_by", "deleted_by")
TEXTS = {"result_file": 200, "result_name": 200, "result_type": 100}


def upgrade() -> None:
    with op.batch_alter_table("background_jobs") as jobs:
        for name in MOMENTS:
            jobs.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
        jobs.add_column(sa.Column("cancel_reason", sa.Text(), nullable=True))
        for name, length in TEXTS.items():
            jobs.add_column(sa.Column(name, sa.String(length=length), nullable=True))
        for name in PEOPLE:
            jobs.add_column(sa.Column(name, sa.Uuid(), nullable=True))
            jobs.create_foreign_key(op.f(f"fk_background_jobs_{name}_admin_users"), "admin_users", [name], ["id"])
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(length=30), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["background_jobs.id"], name=op.f("fk_job_events_job_id_background_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_events")),
    )
    op.create_index("ix_job_events_job_id_at", "job_events", ["job_id", "at"])


def downgrade() -> None:
    op.drop_table("job_events")
    with op.batch_alter_table("background_jobs") as jobs:
        for name in PEOPLE:
            jobs.drop_constraint(op.f(f"fk_background_jobs_{name}_admin_users"), type_="foreignkey")
        for name in (*MOMENTS, *PEOPLE, *TEXTS, "cancel_reason"):
            jobs.drop_column(name)
