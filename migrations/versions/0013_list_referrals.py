"""What the list of referrals is read by, and the cache of its summary."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("ix_referrals_created_at_id", "referrals", ["created_at", "id"])
    op.create_index("ix_referrals_referrer_id_created_at", "referrals", ["referrer_id", "created_at", "id"])
    op.create_index("ix_referrals_counts", "referrals", ["status", "expires_at", "payout_status", "currency", "reward_amount_cents"])
    op.drop_index("ix_referrals_referrer_id", "referrals")
    op.drop_index("ix_referrals_status_created_at", "referrals")
    op.create_index("ix_referrals_status_created_at", "referrals", ["status", "created_at", "id"])
    op.create_table(
        "cache_entries",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cache_entries")),
    )


def downgrade() -> None:
    op.drop_table("cache_entries")
    op.drop_index("ix_referrals_status_created_at", "referrals")
    op.create_index("ix_referrals_status_created_at", "referrals", ["status", "created_at"])
    op.create_index("ix_referrals_referrer_id", "referrals", ["referrer_id"])
    op.drop_index("ix_referrals_counts", "referrals")
    op.drop_index("ix_referrals_referrer_id_created_at", "referrals")
    op.drop_index("ix_referrals_created_at_id", "referrals")
