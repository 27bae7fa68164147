"""Refund requests, approvals, gateway attempts and what gateways tell."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"

JSON_VALUE = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "gateway_events",
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("payload", JSON_VALUE, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_events")),
        sa.UniqueConstraint("gateway", "event_id", name=op.f("uq_gateway_events_gateway_event_id")),
    )
    op.create_table(
        "refund_numbers",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_refund_numbers")),
    )
    op.create_table(
        "external_refunds",
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("gateway_refund_id", sa.String(length=255), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_external_refunds_payment_id_payments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_refunds")),
        sa.UniqueConstraint("gateway", "gateway_refund_id", name=op.f("uq_external_refunds_gateway_gateway_refund_id")),
    )
    op.create_index(op.f("ix_external_refunds_payment_id"), "external_refunds", ["payment_id"], unique=False)
    op.create_table(
        "refund_requests",
        sa.Column("refund_number", sa.String(length=50), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("vendor_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("requested_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("approved_amount_cents", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=100), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("evidence", JSON_VALUE, nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.String(length=20), nullable=False),
        sa.Column("requested_by_admin_id", sa.Uuid(), nullable=True),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("admin_notes", sa.Text(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rejected_by", sa.Uuid(), nullable=True),
        sa.Column("offer_alternative", sa.String(length=20), nullable=True),
        sa.Column("processing_state", sa.String(length=20), nullable=True),
        sa.Column("processing_message", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.String(length=255), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("priority IN ('low', 'normal', 'high', 'urgent')", name=op.f("ck_refund_requests_priority_known")),
        sa.CheckConstraint(
            "processing_state IS NULL OR processing_state IN ('queued', 'asking', 'unknown', 'accepted', 'done', 'failed')",
            name=op.f("ck_refund_requests_processing_state_known"),
        ),
        sa.CheckConstraint("requested_by IN ('user', 'vendor', 'admin', 'system')", name=op.f("ck_refund_requests_requester_known")),
        sa.CheckConstraint("status IN ('pending', 'approved', 'rejected', 'processed')", name=op.f("ck_refund_requests_status_known")),
        sa.CheckConstraint(
            "status NOT IN ('approved', 'processed') OR approved_amount_cents IS NOT NULL",
            name=op.f("ck_refund_requests_approved_has_amount"),
        ),
        sa.CheckConstraint(
            "approved_amount_cents IS NULL OR approved_amount_cents BETWEEN 1 AND requested_amount_cents",
            name=op.f("ck_refund_requests_approved_within_requested"),
        ),
        sa.CheckConstraint("requested_amount_cents > 0", name=op.f("ck_refund_requests_requested_positive")),
        sa.ForeignKeyConstraint(["approved_by"], ["admin_users.id"], name=op.f("fk_refund_requests_approved_by_admin_users")),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.id"], name=op.f("fk_refund_requests_booking_id_bookings")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refund_requests_payment_id_payments")),
        sa.ForeignKeyConstraint(["rejected_by"], ["admin_users.id"], name=op.f("fk_refund_requests_rejected_by_admin_users")),
        sa.ForeignKeyConstraint(
            ["requested_by_admin_id"],
            ["admin_users.id"],
            name=op.f("fk_refund_requests_requested_by_admin_id_admin_users"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_refund_requests_user_id_users")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_refund_requests_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_requests")),
        sa.UniqueConstraint("refund_number", name=op.f("uq_refund_requests_refund_number")),
    )
    op.create_index(op.f("ix_refund_requests_booking_id"), "refund_requests", ["booking_id"], unique=False)
    op.create_index(op.f("ix_refund_requests_payment_id"), "refund_requests", ["payment_id"], unique=False)
    op.create_index(
        "ix_refund_requests_counts",
        "refund_requests",
        ["status", "currency", "processing_state", "requested_amount_cents"],
        unique=False,
    )
    op.create_index("ix_refund_requests_processing_state", "refund_requests", ["processing_state", "status"], unique=False)
    op.create_index("ix_refund_requests_queue", "refund_requests", ["status", "requested_at", "id"], unique=False)
    op.create_index("ix_refund_requests_requested_at_id", "refund_requests", ["requested_at", "id"], unique=False)
    op.create_index("ix_refund_requests_user_id_requested_at", "refund_requests", ["user_id", "requested_at", "id"], unique=False)
    op.create_index(
        "ix_refund_requests_vendor_id_requested_at",
        "refund_requests",
        ["vendor_id", "requested_at", "id"],
        unique=False,
    )
    op.create_table(
        "refund_approvals",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("admin_id", sa.Uuid(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_refund_approvals_amount_positive")),
        sa.ForeignKeyConstraint(["admin_id"], ["admin_users.id"], name=op.f("fk_refund_approvals_admin_id_admin_users")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund_requests.id"], name=op.f("fk_refund_approvals_refund_id_refund_requests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_approvals")),
    )
    op.create_index(op.f("ix_refund_approvals_refund_id"), "refund_approvals", ["refund_id"], unique=False)
    op.create_table(
        "refund_attempts",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(length=20), nullable=False),
        sa.Column("gateway_key", sa.String(length=100), nullable=False),
        sa.Column("provider_payment_id", sa.String(length=255), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gateway_refund_id", sa.String(length=255), nullable=True),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("error_code", sa.String(length=100), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'asking', 'unknown', 'accepted', 'done', 'failed')", name=op.f("ck_refund_attempts_state_known")
        ),
        sa.CheckConstraint("amount_cents > 0", name=op.f("ck_refund_attempts_amount_positive")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund_requests.id"], name=op.f("fk_refund_attempts_refund_id_refund_requests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_attempts")),
        sa.UniqueConstraint("gateway", "gateway_key", name=op.f("uq_refund_attempts_gateway_gateway_key")),
        sa.UniqueConstraint("gateway", "gateway_refund_id", name=op.f("uq_refund_attempts_gateway_gateway_refund_id")),
        sa.UniqueConstraint("refund_id", "number", name=op.f("uq_refund_attempts_refund_id_number")),
    )
    op.create_index("ix_refund_attempts_state_next_check_at", "refund_attempts", ["state", "next_check_at"], unique=False)
    op.create_index(
        "uq_refund_attempts_one_active",
        "refund_attempts",
        ["refund_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'failed'"),
        postgresql_where=sa.text("state <> 'failed'"),
    )


def downgrade() -> None:
    op.drop_table("refund_numbers")
    op.drop_table("gateway_events")
    op.drop_table("external_refunds")
    op.drop_table("refund_attempts")
    op.drop_table("refund_approvals")
    op.drop_table("refund_requests")
