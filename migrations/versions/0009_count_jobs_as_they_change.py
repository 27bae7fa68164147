"""Counts of jobs that stay cheap, and the indexes of the job monitor.

Triggers write a line for each change of what is counted; `domain/jobs/counts.py` reads and folds them. SQLite drops a table's
triggers with the table: a later migration that rebuilds background_jobs (batch_alter_table) must make them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

OLD_INDEXES = {
    "ix_background_jobs_creator_id_status": ["creator_id", "status"],
    "ix_background_jobs_status_updated_at": ["status", "updated_at"],
}
INDEXES = {
    "ix_background_jobs_creator_id_created_at": ["creator_id", "created_at", "id"],
    "ix_background_jobs_type_created_at": ["type", "created_at", "id"],
    "ix_background_jobs_status_created_at": ["status", "created_at", "id"],
    "ix_background_jobs_finished_at_status": ["finished_at", "status", "deleted_at"],
}
LEASED, CREATED = sa.text("lease_until IS NOT NULL"), sa.text("creator_id IS NOT NULL")
PARTIAL_INDEXES = {
    "ix_background_jobs_status_lease_until": (["status", "lease_until"], LEASED),
    "ix_background_jobs_creator_id_finished_at": (["creator_id", "finished_at", "status", "deleted_at"], CREATED),
    "ix_background_jobs_creator_id_run_after": (["creator_id", "status", "run_after"], CREATED),
}
CHANGED = (
    "OLD.status <> NEW.status OR OLD.type <> NEW.type"
    " OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) OR OLD.creator_id IS {} NEW.creator_id"
)


def upgrade() -> None:
    op.create_table(
        "job_count_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("creator_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("folded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_count_changes")),
    )
    op.execute(
        "INSERT INTO job_count_changes (type, creator_id, status, change, folded)"
        " SELECT type, creator_id, status, count(*), true FROM background_jobs WHERE deleted_at IS NULL GROUP BY type, creator_id, status"
    )
    if op.get_bind().dialect.name == "postgresql":
        count_on_postgresql()
    else:
        count_on_sqlite()
    for name in OLD_INDEXES:
        op.drop_index(name, "background_jobs")
    for name, columns in INDEXES.items():
        op.create_index(name, "background_jobs", columns)
    for name, (columns, condition) in PARTIAL_INDEXES.items():
        op.create_index(name, "background_jobs", columns, sqlite_where=condition, postgresql_where=condition)


def line(row: str, change: int) -> str:
    return (
        "INSERT INTO job_count_changes (type, creator_id, status, change, folded)"
        f" SELECT {row}.type, {row}.creator_id, {row}.status, {change}, false WHERE {row}.deleted_at IS NULL;"
    )


def count_on_sqlite() -> None:
    events = {
        "insert": ("INSERT", "true", line("NEW", 1)),
        "update": ("UPDATE OF status, type, creator_id, deleted_at", CHANGED.format("NOT"), f"{line('OLD', -1)} {line('NEW', 1)}"),
        "delete": ("DELETE", "true", line("OLD", -1)),
    }
    for name, (event, condition, lines) in events.items():
        op.execute(f"CREATE TRIGGER count_jobs_on_{name} AFTER {event} ON background_jobs WHEN {condition} BEGIN {lines} END")


def count_on_postgresql() -> None:
    op.execute(
        f"""
        CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' THEN {line("OLD", -1)} END IF;
            IF TG_OP <> 'DELETE' THEN {line("NEW", 1)} END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER count_jobs_on_insert_delete AFTER INSERT OR DELETE ON background_jobs FOR EACH ROW EXECUTE FUNCTION count_jobs()"
    )
    op.execute(
        "CREATE TRIGGER count_jobs_on_update AFTER UPDATE OF status, type, creator_id, deleted_at ON background_jobs"
        f" FOR EACH ROW WHEN ({CHANGED.format('DISTINCT FROM')}) EXECUTE FUNCTION count_jobs()"
    )


def downgrade() -> None:
    for name in (*PARTIAL_INDEXES, *INDEXES):
        op.drop_index(name, "background_jobs")
    for name, columns in OLD_INDEXES.items():
        op.create_index(name, "background_jobs", columns)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER count_jobs_on_update ON background_jobs")
        op.execute("DROP TRIGGER count_jobs_on_insert_delete ON background_jobs")
        op.execute("DROP FUNCTION count_jobs()")
    else:
        for name in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER count_jobs_on_{name}")
    op.drop_table("job_count_changes")
