"""Find the entries of the audit log by the request that made them, by the address it came from, and by who is no admin."""

from alembic import op

revision = "0016"
down_revision = "0015"

COLUMNS = ("request_id", "ip", "actor_name")


def upgrade() -> None:
    for column in COLUMNS:
        op.create_index(f"ix_audit_entries_{column}_sequence", "audit_entries", [column, "sequence"], unique=False)


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_audit_entries_{column}_sequence", table_name="audit_entries")
