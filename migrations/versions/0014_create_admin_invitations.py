"""Invitations: the way in for a new admin, who chooses the password."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

OPEN = sa.text("accepted_at IS NULL AND withdrawn_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "admin_invitations",
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role_id", sa.String(length=50), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name=op.f("fk_admin_invitations_role_id_roles")),
        sa.ForeignKeyConstraint(["invited_by"], ["admin_users.id"], name=op.f("fk_admin_invitations_invited_by_admin_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_invitations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_admin_invitations_token_hash")),
    )
    op.create_index(
        "ix_admin_invitations_email_open", "admin_invitations", ["email"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )
    op.create_index(op.f("ix_admin_invitations_role_id"), "admin_invitations", ["role_id"], unique=False)


def downgrade() -> None:
    op.drop_table("admin_invitations")
