"""The five system roles, as they were when the portal began; later changes to them are migrations of their own."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

JSON_VALUE = sa.JSON().with_variant(JSONB(), "postgresql")
ROLES = [
    {
        "id": "super_admin",
        "name": "Super Admin",
        "description": "Full system access with all permissions",
        "permissions": [
            "users:create",
            "users:update",
            "users:delete",
            "users:list",
            "users:view",
            "vendors:verify",
            "vendors:suspend",
            "payments:refund",
            "reviews:moderate",
            "analytics:view",
            "*",
        ],
    },
    {
        "id": "vendor_admin",
        "name": "Vendor Admin",
        "description": "Manage vendors and verify applications",
        "permissions": [
            "vendors:list",
            "vendors:view",
            "vendors:verify",
            "vendors:suspend",
            "services:list",
            "services:view",
        ],
    },
    {
        "id": "support_agent",
        "name": "Support Agent",
        "description": "Handle customer support requests",
        "permissions": [
            "users:list",
            "users:view",
            "users:view_pii",
            "bookings:list",
            "bookings:view",
            "reviews:list",
            "reviews:view",
            "refunds:list",
        ],
    },
    {
        "id": "finance_admin",
        "name": "Finance Admin",
        "description": "Manage payments, refunds, and subscriptions",
        "permissions": [
            "payments:list",
            "payments:view",
            "payments:refund",
            "subscriptions:list",
            "subscriptions:view",
            "analytics:view",
            "refunds:list",
            "refunds:approve",
            "referrals:list",
            "jobs:list",
        ],
    },
    {
        "id": "content_moderator",
        "name": "Content Moderator",
        "description": "Moderate reviews and handle takedown requests",
        "permissions": [
            "reviews:list",
            "reviews:view",
            "reviews:moderate",
            "reviews:hide",
            "reviews:remove",
        ],
    },
]


def upgrade() -> None:
    roles = sa.table(
        "roles",
        sa.column("id", sa.String),
        sa.column("name", sa.String),
        sa.column("description", sa.Text),
        sa.column("permissions", JSON_VALUE),
        sa.column("is_system_role", sa.Boolean),
        sa.column("can_be_assigned", sa.Boolean),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    created_at = datetime.now(UTC)
    if op.get_bind().dialect.name == "sqlite":
        created_at = created_at.replace(tzinfo=None)
    op.bulk_insert(
        roles,
        [{**role, "is_system_role": True, "can_be_assigned": True, "created_at": created_at} for role in ROLES],
    )


def downgrade() -> None:
    op.execute("DELETE FROM roles WHERE is_system_role")
