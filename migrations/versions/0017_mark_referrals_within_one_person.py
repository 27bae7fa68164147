"""Whether both accounts of a referral look like one person, kept in its row.

To compare two customers for each of many referrals takes seconds, so triggers do it as rows come and change, whoever writes them: the
portal's import, or the marketplace. SQLite drops a table's triggers with the table: a later migration that rebuilds `referrals` or
`users` (batch_alter_table) must make them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

MARKS = ("same_email", "same_name")
# What mail to an address and its owner go by: no case, no tag behind a plus, none of the dots that Gmail overlooks; no spaces in a name.
IDENTITIES = """
    CREATE VIEW user_identities AS
    SELECT id, plain_name,
        CASE WHEN host IN ('gmail.com', 'googlemail.com') THEN replace(box, '.', '') || '@gmail.com' ELSE box || '@' || host END AS mailbox
    FROM (
        SELECT id, plain_name, host, CASE WHEN {index}(local, '+') > 1 THEN substr(local, 1, {index}(local, '+') - 1) ELSE local END AS box
        FROM (
            SELECT id, plain_name, substr(address, 1, {larger}({index}(address, '@') - 1, 0)) AS local,
                substr(address, {index}(address, '@') + 1) AS host
            FROM (SELECT id, lower(trim(email)) AS address, replace(lower(name), ' ', '') AS plain_name FROM users) AS written
        ) AS parts
    ) AS boxes
"""
SAME_EMAIL = "a.mailbox = b.mailbox AND a.mailbox <> '@'"
SAME_NAME = "a.plain_name = b.plain_name AND a.plain_name <> ''"
BOTH = "FROM user_identities a, user_identities b WHERE a.id = NEW.referrer_id AND b.id = NEW.referred_user_id"
TOUCH = "UPDATE referrals SET referrer_id = referrer_id"


def upgrade() -> None:
    for name in MARKS:
        op.add_column("referrals", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
        where = {"sqlite_where": sa.text(f"{name} = 1"), "postgresql_where": sa.text(name)}
        op.create_index(f"ix_referrals_{name}", "referrals", ["created_at", "id"], **where)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(IDENTITIES.format(index="strpos", larger="greatest"))
        mark_on_postgresql()
    else:
        op.execute(IDENTITIES.format(index="instr", larger="max"))
        mark_on_sqlite()
    op.execute(TOUCH)


def mark_on_sqlite() -> None:
    marks = f"UPDATE referrals SET (same_email, same_name) = (SELECT {SAME_EMAIL}, {SAME_NAME} {BOTH}) WHERE id = NEW.id;"
    op.execute(f"CREATE TRIGGER mark_referral_on_insert AFTER INSERT ON referrals BEGIN {marks} END")
    op.execute(f"CREATE TRIGGER mark_referral_on_update AFTER UPDATE OF referrer_id, referred_user_id ON referrals BEGIN {marks} END")
    op.execute(
        "CREATE TRIGGER mark_referrals_of_user AFTER UPDATE OF name, email ON users"
        f" BEGIN {TOUCH} WHERE referrer_id = NEW.id OR referred_user_id = NEW.id; END"
    )


def mark_on_postgresql() -> None:
    op.execute(
        f"""
        CREATE FUNCTION mark_referral() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            SELECT {SAME_EMAIL}, {SAME_NAME} INTO NEW.same_email, NEW.same_name {BOTH};
            NEW.same_email := coalesce(NEW.same_email, false);
            NEW.same_name := coalesce(NEW.same_name, false);
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION mark_referrals_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {TOUCH} WHERE referrer_id = NEW.id OR referred_user_id = NEW.id; RETURN NULL; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER mark_referral BEFORE INSERT OR UPDATE OF referrer_id, referred_user_id ON referrals"
        " FOR EACH ROW EXECUTE FUNCTION mark_referral()"
    )
    op.execute(
        "CREATE TRIGGER mark_referrals_of_user AFTER UPDATE OF name, email ON users FOR EACH ROW EXECUTE FUNCTION mark_referrals_of_user()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER mark_referrals_of_user ON users")
        op.execute("DROP TRIGGER mark_referral ON referrals")
        op.execute("DROP FUNCTION mark_referrals_of_user()")
        op.execute("DROP FUNCTION mark_referral()")
    else:
        for name in ("mark_referrals_of_user", "mark_referral_on_update", "mark_referral_on_insert"):
            op.execute(f"DROP TRIGGER {name}")
    op.execute("DROP VIEW user_identities")
    for name in MARKS:
        op.drop_index(f"ix_referrals_{name}", "referrals")
        op.drop_column("referrals", name)
