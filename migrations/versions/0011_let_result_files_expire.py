"""When a job's file was removed for its age, and an index of the files that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

WITH_FILE = sa.text("result_file IS NOT NULL")


def upgrade() -> None:
    # Not in a batch: that would rebuild the table on SQLite, and drop the triggers that count jobs.
    op.add_column("background_jobs", sa.Column("result_expired_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_background_jobs_finished_at_with_file",
        "background_jobs",
        ["finished_at"],
        sqlite_where=WITH_FILE,
        postgresql_where=WITH_FILE,
    )


def downgrade() -> None:
    op.drop_index("ix_background_jobs_finished_at_with_file", "background_jobs")
    op.drop_column("background_jobs", "result_expired_at")
