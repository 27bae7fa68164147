"""Find what one admin did of one kind, however much they did of others."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_index("ix_audit_entries_actor_id_action_sequence", "audit_entries", ["actor_id", "action", "sequence"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_audit_entries_actor_id_action_sequence", table_name="audit_entries")
