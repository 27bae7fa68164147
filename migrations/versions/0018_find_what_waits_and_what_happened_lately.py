"""Find refunds by the day they were decided or paid out, those that wait by currency and age, and approvals that still count."""

from alembic import op

revision = "0018"
down_revision = "0017"

INDEXES = {
    "ix_refund_requests_waiting": ("refund_requests", ["status", "currency", "requested_at", "requested_amount_cents"]),
    "ix_refund_requests_approved_at": ("refund_requests", ["approved_at"]),
    "ix_refund_requests_rejected_at": ("refund_requests", ["rejected_at"]),
    "ix_refund_requests_processed_at": ("refund_requests", ["processed_at"]),
    "ix_refund_approvals_created_at": ("refund_approvals", ["created_at"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns, unique=False)


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
